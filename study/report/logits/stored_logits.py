"""The kept logits of a confirmed study, setting by setting, and how far they agree with the recorded results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from study.report.confirmed_results import Row, confirmed_tables
from study.report.confirmed_tables import metrics_as_json
from study.store.study_view import CellView, StudyView
from trainables.core.errors import BadInput
from trainables.core.logit_file import LOGIT_FILE, KeptLogits, has_logits, read_logits
from trainables.core.storage_path import StoragePath
from trainables.methods.registry import softmax_scale

Ints = npt.NDArray[np.int64]
Setting = TypeVar("Setting")


@dataclass(frozen=True)
class KeptTrial:
    """A confirmation trial that keeps its logits.

    Attributes:
        key: the trial's name.
        seed: its seed.
        folder: its folder.
        confusion: int64 (K, K), the recorded confusion matrix on test images.
        scale: factor of the head's logits before the softmax of its training.
    """

    key: str
    seed: int
    folder: StoragePath
    confusion: Ints
    scale: float = 1.0

    def read(self) -> KeptLogits:
        """Return its logits as the softmax of its training takes them, of validation and test images.

        Raises:
            BadInput: the file is gone, is damaged, or lacks a split.
        """
        kept = read_logits(self.folder)
        if kept is None or {"validation", "test"} - set(kept.splits):
            raise BadInput(f"{self.folder / LOGIT_FILE}: must hold logits of validation and of test images")
        return kept.scaled(self.scale)

    def agreement(self, kept: KeptLogits) -> Agreement:
        """Compare its kept test logits with its recorded confusion matrix."""
        test = kept.splits["test"]
        difference = confusion_of(test.predictions, test.labels, len(self.confusion)) - self.confusion
        rounded = int((test.logits.argmax(axis=1) != test.predictions).sum())
        return Agreement(1, len(test.labels), int(np.abs(difference).sum()) // 2, rounded)


@dataclass(frozen=True)
class Agreement:
    """Agreement of kept logits with recorded results; a sum is of several trials.

    Attributes:
        trials: number of trials.
        images: their test images.
        unlike_recorded: images that the kept predictions count in another entry of the confusion matrix, at least.
        rounded: images whose prediction is another one after the rounding to float16.
    """

    trials: int = 0
    images: int = 0
    unlike_recorded: int = 0
    rounded: int = 0

    def __add__(self, other: Agreement) -> Agreement:
        """Return the agreement of both."""
        return Agreement(
            self.trials + other.trials,
            self.images + other.images,
            self.unlike_recorded + other.unlike_recorded,
            self.rounded + other.rounded,
        )

    def line(self) -> str:
        """Return a sentence."""
        like = (
            "agree with the recorded confusion matrices"
            if not self.unlike_recorded
            else f"differ from the recorded confusion matrices in {self.unlike_recorded} of {self.images} test images"
        )
        return (
            f"Kept predictions of {self.trials} trials {like}. Rounding to float16 changes the prediction of "
            f"{self.rounded} of {self.images} test images."
        )


@dataclass(frozen=True)
class KeptSetting:
    """The trials of one setting of a method; ``row`` holds its recorded results, ``lacking`` counts trials without."""

    row: Row
    trials: tuple[KeptTrial, ...]
    lacking: int

    @property
    def label(self) -> str:
        """``best``, ``preset`` or ``best = preset``."""
        return f"{self.row.setting} = preset" if self.row.shared else self.row.setting


@dataclass(frozen=True)
class Place:
    """All settings on one data set and profile that keep logits, methods in the order of ``study report``."""

    dataset: str
    profile: str
    protocol: str
    settings: tuple[KeptSetting, ...]

    @property
    def name(self) -> str:
        """Data set and profile."""
        return f"{self.dataset} {self.profile}"


def places_of(view: StudyView) -> list[Place]:
    """Return where a study keeps logits; none is read yet.

    Raises:
        BadInput: the study has no confirmation, or keeps no logits.
    """
    cells = {(cell.cell.dataset, cell.cell.profile, cell.cell.method): cell for cell in view.cells}
    places, lacking = [], 0
    for table in confirmed_tables(view):
        rows = [row for row in table.rows if not (row.shared and row.setting == "preset")]
        found = [_kept(view, cells[table.dataset, table.profile, row.method], row) for row in rows]
        lacking += sum(one.lacking for one in found)
        places.append(Place(table.dataset, table.profile, table.protocol, tuple(one for one in found if one.trials)))
    if not any(place.settings for place in places):
        raise _no_logits(view, lacking)
    return places


def _no_logits(view: StudyView, lacking: int) -> BadInput:
    name = view.spec.name
    if not lacking:
        return BadInput(f"study '{name}' keeps no logits yet: no trial of its confirmation has ended")
    seeds = view.spec.confirm.seeds if view.spec.confirm is not None else 0
    return BadInput(
        f"study '{name}' keeps no logits: its {lacking} confirmed trials ended under `artifacts.logits: none` "
        f"or before logits were kept. `{view.folder.command('resume')} --set artifacts.logits=confirm "
        f"--set confirm.seeds={seeds + 5}` trains five more seeds, which keep theirs"
    )


def _kept(view: StudyView, cell: CellView, row: Row) -> KeptSetting:
    setting = next(one for one in cell.settings(view.spec) if row.setting in one.names)
    trials, lacking = [], 0
    for trial in cell.confirmed(setting):
        test = trial.tested() if trial.state == "COMPLETE" else None
        if test is None or trial.confirms is None:
            continue
        if not has_logits(trial.folder):
            lacking += 1
            continue
        confusion = np.asarray(test["confusion"], dtype=np.int64)
        scale = softmax_scale(trial.config.method)
        trials.append(KeptTrial(trial.key, trial.confirms, trial.folder, confusion, scale))
    return KeptSetting(row, tuple(trials), lacking)


def lacking_line(places: Iterable[Place]) -> str | None:
    """Return a sentence on confirmed trials that are left out, since they keep no logits; None if there are none."""
    lacking = sum(setting.lacking for place in places for setting in place.settings)
    return f"Trials left out, since they keep no logits: {lacking}." if lacking else None


def confusion_of(predictions: Ints, labels: Ints, classes: int) -> Ints:
    """Count images by true and predicted class, int64 (K, K), rows are true classes.

    >>> confusion_of(np.array([0, 1, 1]), np.array([0, 0, 1]), 2)
    array([[1, 1],
           [0, 1]])
    """
    return np.bincount(labels * classes + predictions, minlength=classes**2).reshape(classes, classes)


def with_scores(row: Row, scores: Mapping[int, Mapping[str, float]]) -> Row:
    """Return a row with other results: ``scores`` holds the metrics of every seed."""
    names = next(iter(scores.values()))
    return replace(row, by_seed={name: {seed: one[name] for seed, one in scores.items()} for name in names})


def places_as_json(
    places: Iterable[tuple[Place, Iterable[Setting]]], as_json: Callable[[Setting], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return places as JSON-ready values, each with a row for each of its settings."""
    return [
        {
            "dataset": place.dataset,
            "profile": place.profile,
            "protocol": place.protocol,
            "rows": [as_json(one) for one in settings],
        }
        for place, settings in places
    ]


def row_as_json(setting: KeptSetting, row: Row, **about: Any) -> dict[str, Any]:
    """Return mean, standard deviation and values by seed of a row's metrics as JSON-ready values."""
    who = {"method": row.method, "setting": row.setting, "best_is_preset": row.shared, "n": row.n}
    return {**who, "lacking": setting.lacking, **about, "metrics": metrics_as_json(row)}
