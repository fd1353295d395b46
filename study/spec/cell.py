"""The cells of a study: one for every data set, profile and method."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from search_spaces import SPACES, Space
from study.spec.confirm_spec import BASELINE
from study.spec.study_spec import DataSpec, MethodSpec, StudySpec
from trainables.components.lr_schedule import stage_start
from trainables.core.config import DataConfig, MethodConfig, TrialConfig
from trainables.core.errors import BadInput
from trainables.core.hf_name import hf_name, is_hf

_TRAINING = "training."


@dataclass(frozen=True)
class Cell:
    """One data set x imbalance profile x method.

    Attributes:
        name: ``dataset/profile/method``, unique in the study; also its folder under ``cells``.
        base: the configuration without searched params; trial 0 has its setting.
        space: searched name -> dimension; training params have the prefix ``training.``.
    """

    name: str
    dataset: str
    profile: str
    method: str
    base: TrialConfig
    space: Space

    @property
    def ratio(self) -> float:
        """The imbalance ratio, at least 1."""
        return self.base.data.profile.ratio

    @property
    def name_without_fold(self) -> str:
        """The cell's name, equal for the folds of a cross-validation.

        It seeds the searcher, so that searchers without feedback (grid, random, qmc) propose the same params in every
        fold.
        """
        config = self.base.data.model_copy(update={"folds": None, "fold": None})
        return self.name if self.base.data.folds is None else f"{self.dataset}/{profile_name(config)}/{self.method}"

    @property
    def pruning_start_epoch(self) -> int:
        """Epoch at which the last stage has begun in every trial; searched params cannot be judged earlier."""
        from trainables.methods.registry import last_stage_start, method_named

        searched = self.space.get(method_named(self.base.method.name).defer_field or "")
        begin = max(map(float, searched.examples)) if searched else last_stage_start(self.base.method)
        return stage_start(begin, self.base.training.epochs)

    @property
    def has_reference(self) -> bool:
        """True if a trial needs the trained network of another method beside its own."""
        from trainables.methods.registry import method_named

        return method_named(self.base.method.name).reference is not None

    @property
    def searched_training(self) -> list[str]:
        """The searched names that are params of the training."""
        return [name for name in self.space if name.startswith(_TRAINING)]

    @property
    def own_references(self) -> bool:
        """True if each trial may need a reference of its own: it has another seed or other training params."""
        return self.has_reference and bool(not self.space or self.searched_training)

    def startable(self, left: int, *, first: bool) -> int:
        """Return the number of full trials that fit an epoch budget, with the references that they may need.

        Args:
            left: epochs that are left.
            first: True if no trial has trained the cell's reference yet.
        """
        epochs = self.base.training.epochs
        if self.own_references:
            return max(0, left // (2 * epochs))
        return max(0, left // epochs - (self.has_reference and first))

    def preset_params(self) -> dict[str, Any]:
        """Return the value of every searched name in the base configuration."""
        return self.params_of(self.base)

    def params_of(self, config: TrialConfig) -> dict[str, Any]:
        """Return the value of every searched name in a configuration of the same method."""
        from trainables.methods.registry import build_params

        values = build_params(config.method)
        return {
            name: getattr(config.training, name.removeprefix(_TRAINING))
            if name.startswith(_TRAINING)
            else getattr(values, name)
            for name in self.space
        }

    def trial(self, params: dict[str, Any], number: int) -> TrialConfig:
        """Return the configuration of a trial with these searched params.

        A cell without searched params repeats its one setting with different seeds.
        """
        own = {n: v for n, v in params.items() if not n.startswith(_TRAINING)}
        training = {n.removeprefix(_TRAINING): v for n, v in params.items() if n.startswith(_TRAINING)}
        method = self.base.method
        return self.base.model_copy(
            update={
                "method": MethodConfig(
                    name=method.name,
                    preset=method.preset,
                    params={**method.params, **own},
                ),
                "training": self.base.training.model_copy(update=training),
                "seed": self.base.seed if self.space else self.base.seed + number,
            }
        )


def profile_name(data: DataConfig) -> str:
    """Return the name of a profile, for example ``long_tail-100``, ``fraction-odd-10`` or ``natural-fold1of3``."""
    fold = "" if data.folds is None or data.fold is None else f"-fold{data.fold + 1}of{data.folds}"
    profile = data.profile
    if profile.kind == "natural":
        return f"natural{fold}"
    which = "" if profile.minority == "last" else f"-{profile.minority}"
    return f"{profile.kind}{which}-{profile.ratio:g}{fold}"


def dataset_label(spec: DataSpec) -> str:
    """Return the name of a data set in cells."""
    noise = f"-noise{spec.label_noise:g}" if spec.label_noise else ""
    name = hf_name(spec.dataset).label if is_hf(spec.dataset) else spec.dataset
    return spec.label or f"{name}{noise}"


def searched_space(method: MethodSpec, study: StudySpec) -> Space:
    """Return the search space of a method's cells.

    It is the method's own space or the study file's, without params set by hand, and with the searched training params.
    """
    own = method.search if method.search is not None else SPACES[method.name]
    training = {f"{_TRAINING}{name}": dimension for name, dimension in study.search.training.items()}
    return {**{name: d for name, d in own.items() if name not in method.params}, **training}


def expand(study: StudySpec) -> list[Cell]:
    """Return every cell of a study, in the order of the study file: data set, profile, method.

    Raises:
        BadInput: two cells have the same name.
    """
    cells = [
        _cell(study, data, config, method)
        for data in study.data
        for config in data.configs()
        for method in study.methods
    ]
    _unique(cell.name for cell in cells)
    return cells


def baseline_of(cells: Iterable[Cell]) -> str | None:
    """Return the label of the method that races and reports compare the others with: the first ERM, if there is one."""
    return next((cell.method for cell in cells if cell.base.method.name == BASELINE), None)


def _cell(study: StudySpec, data: DataSpec, config: DataConfig, method: MethodSpec) -> Cell:
    dataset, profile, label = dataset_label(data), profile_name(config), method.label or method.name
    base = TrialConfig(data=config, model=study.model, method=method.config(), training=study.training, seed=study.seed)
    return Cell(f"{dataset}/{profile}/{label}", dataset, profile, label, base, searched_space(method, study))


def _unique(names: Iterable[str]) -> None:
    seen = set()
    for name in names:
        if name in seen:
            raise BadInput(
                f"two cells are named {name}: give one data set or method a `label` of its own, or "
                "remove a ratio that stands twice"
            )
        seen.add(name)
