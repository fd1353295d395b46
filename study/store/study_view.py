"""A stored study, read only: the source of records and reports. Imports neither torch nor Ray nor MLflow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from search_spaces import SPACES
from search_spaces.encoding import same_params
from study.ledger.optuna_internals import study_ids
from study.spec.confirmed_settings import CONFIRM, Setting, seeds_of, settings_of
from study.spec.objectives import Metrics, Ranking, names_of
from study.spec.study_spec import StudySpec
from study.store.ledger_check import check_known, check_results, places_of
from study.store.plugin_records import describe_plugins
from study.store.study_folder import StudyFolder
from study.store.trial_view import STATES, TrialView, trial_view
from trainables.core.errors import BadInput, shown, unknown_name
from trainables.core.metric_names import METRICS
from trainables.core.storage_path import StoragePath

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from study.search.racing import RacedSetting
    from study.spec.cell import Cell

__all__ = [
    "STATES",
    "CellView",
    "StudyView",
    "TrialView",
    "cell_view",
    "listed",
    "open_view",
    "trial_view",
    "with_races",
]


@dataclass(frozen=True)
class CellView:
    """One cell with its started trials in order; ``frozen`` holds the same trials as Optuna objects.

    Confirmation trials are only in ``confirming``.

    Attributes:
        raced: role of a setting -> number of seeds that a race has asked for so far; empty without a race.
    """

    cell: Cell
    metrics: tuple[str, ...]
    trials: tuple[TrialView, ...]
    frozen: tuple[FrozenTrial, ...]
    confirming: tuple[TrialView, ...] = ()
    raced: Mapping[str, int] = field(default_factory=dict)

    @property
    def all_trials(self) -> tuple[TrialView, ...]:
        """The trials of the search, then those of the confirmation."""
        return (*self.trials, *self.confirming)

    @property
    def metric(self) -> str:
        """The study's metric; the first if it has several."""
        return self.metrics[0]

    @property
    def maximize(self) -> bool:
        """True if a larger value of the metric is better."""
        return METRICS[self.metric][1] == "maximize"

    def in_state(self, *states: str) -> list[TrialView]:
        """Return the trials in these states."""
        return [trial for trial in self.trials if trial.state in states]

    def counts(self) -> dict[str, int]:
        """Return the number of trials in each of `STATES`."""
        return {state: len(self.in_state(state)) for state in STATES}

    def notices(self) -> list[str]:
        """Return what the methods' own metrics say of the cell's trials, each with the trials it holds for."""
        found: dict[str, list[int]] = {}
        for trial in self.trials:
            for notice in trial.notices():
                found.setdefault(notice, []).append(trial.number)
        return [f"{listed(numbers, len(self.trials))}: {notice}" for notice, numbers in found.items()]

    def ranked(self) -> list[TrialView]:
        """Return all trials: complete, pruned, running, then failed ones, each group from best to worst."""
        groups = [self.in_state(state) for state in ("COMPLETE", "PRUNED", "RUNNING", "FAIL")]
        return [trial for group in groups for trial in sorted(group, key=self.order)]

    def best(self, metric: str | None = None) -> TrialView | None:
        """Return the best complete trial; pruned trials saw fewer epochs and do not count.

        Args:
            metric: the metric to rank by if the study has several; None takes the first.
        """
        return self._ranking(metric).best(self.in_state("COMPLETE"))

    def better(self, first: TrialView | None, second: TrialView) -> TrialView | None:
        """Return the better of two complete trials, by the rule of `best`; the first among equals."""
        return second if first is None else self._ranking().best([first, second])

    def front(self) -> list[TrialView]:
        """Return the Pareto front of the complete trials, best first; for a single metric, only the best trial."""
        return self._ranking().front(self.in_state("COMPLETE"))

    def settings(self, spec: StudySpec) -> list[Setting]:
        """Return the settings to confirm in this cell, by the search so far; none without ``confirm``."""
        if spec.confirm is None:
            return []
        best = self.best(spec.confirm.metric)
        return settings_of(self.cell, None if best is None else best.params)

    def confirmed(self, setting: Setting) -> list[TrialView]:
        """Return the confirmation trials of a setting, ordered by seed."""
        own = [trial for trial in self.confirming if same_params(trial.params, setting.params)]
        return sorted(own, key=lambda trial: trial.confirms or 0)

    def unconfirmed(self, spec: StudySpec) -> int:
        """Return the number of confirmation trials yet to end, by the search so far."""
        left = 0
        for setting in self.settings(spec):
            wanted = set(seeds_of(spec)[: self.seeds_wanted(spec, setting)])
            left += len(wanted - {trial.confirms for trial in self.confirmed(setting) if trial.state != "RUNNING"})
        return left

    def seeds_wanted(self, spec: StudySpec, setting: Setting) -> int:
        """Return the number of seeds with which a setting is to be confirmed, in a race as far as is known now."""
        seeds = spec.confirm.seeds if spec.confirm is not None else 0
        return max((self.raced.get(name, seeds) for name in setting.names), default=seeds)

    def raced_settings(self, spec: StudySpec) -> list[RacedSetting]:
        """Return the cell's settings with the test metrics that the ledger has of them."""
        from study.search.racing import RacedSetting

        return [
            RacedSetting(
                self.cell,
                setting,
                {
                    t.confirms: t.ended_with.get("test")
                    for t in self.confirmed(setting)
                    if t.confirms and t.state != "RUNNING"
                },
            )
            for setting in self.settings(spec)
        ]

    def _ranking(self, first: str | None = None) -> Ranking[TrialView]:
        return Ranking(self.metrics, lambda trial: trial.values, lambda trial: trial.constraint_violation, first)

    def epochs_trained(self) -> int:
        """Return the number of epochs trained for trials that ended."""
        return sum(trial.epochs_trained for trial in self.in_state("COMPLETE", "PRUNED", "FAIL"))

    def epochs_saved(self) -> int:
        """Return the number of epochs saved by pruning and by shared trainings."""
        budget = self.cell.base.training.epochs
        stopped = sum(budget - trial.epochs for trial in self.in_state("PRUNED"))
        return stopped + sum(trial.epochs_shared for trial in self.trials)

    def order(self, trial: TrialView) -> tuple[float, ...]:
        """Return a sort key that orders trials of one state from best to worst."""
        if trial.values is not None:
            return self._ranking().order(trial)
        if trial.value is None:
            return (float("inf"),)
        return (-trial.value if self.maximize else trial.value,)


def listed(numbers: list[int], trials: int) -> str:
    """Name trials of a cell of so many trials.

    >>> listed([0, 2], 5), listed([0, 1], 2), listed([4], 9)
    ('trials 0, 2', 'all 2 trials', 'trial 4')
    """
    if len(numbers) == trials > 1:
        return f"all {trials} trials"
    return f"trial{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


@dataclass(frozen=True)
class StudyView:
    """A study and its cells, in the order of the study file."""

    spec: StudySpec
    folder: StudyFolder
    cells: tuple[CellView, ...]

    @property
    def state(self) -> str:
        """``running`` while a process drives it, ``finished`` once every budget is spent, else ``interrupted``."""
        if self.folder.is_driven():
            return "running"
        over = self.is_spent() and not any(cell.unconfirmed(self.spec) for cell in self.cells)
        return "finished" if over else "interrupted"

    def is_spent(self) -> bool:
        """Return True if the search has reached its limits and all its trials have ended."""
        return self.remaining() == 0

    def remaining(self) -> int:
        """Return the number of search trials yet to start or end under the current limits."""
        from study.search.budget import count_trials, remaining

        return remaining(self.spec, [count_trials(self.spec, cell.cell, cell.frozen) for cell in self.cells])


def cell_view(
    cell: Cell,
    trials: Iterable[FrozenTrial],
    metric: Metrics,
    study_path: StoragePath,
    confirming: Iterable[FrozenTrial] = (),
) -> CellView:
    """Build the view of a cell; queued trials are left out."""
    frozen = tuple(trial for trial in trials if trial.state.name in STATES)
    views, confirm = (tuple(trial_view(cell, t, study_path) for t in part) for part in (frozen, confirming))
    return CellView(cell, names_of(metric), views, frozen, confirm)


def open_view(folder: StudyFolder) -> StudyView:
    """Read a stored study from its file and its ledger.

    Raises:
        BadInput: the study does not exist (the nearest name is given), or its ledger cannot be opened, was changed or
            is lost.
    """
    from pydantic import ValidationError

    from study.spec.cell import expand
    from study.spec.validation import error_lines

    if not folder.spec_path.exists():
        folder.read_spec()  # raises, with the nearest name
    describe_plugins(folder.path)
    # checked when it was stored; checking the methods' params again would import torch
    try:
        spec = StudySpec.model_validate(folder.read_mapping())
    except ValidationError as error:
        raise BadInput("\n".join(f"{folder.spec_path}: {line}" for line in error_lines(error))) from None
    for number, method in enumerate(spec.methods):
        if method.name not in SPACES:  # another version of the program may know it
            unknown = unknown_name("method", method.name, SPACES)
            raise BadInput(f"{folder.spec_path}: methods[{number}]: {unknown}")
    cells = expand(spec)
    try:
        return StudyView(spec, folder, _cell_views(spec, cells, folder))
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, BadInput):
            raise
        # a journal line that is sound for Optuna, but holds a value of another kind
        where = folder.read_ledger or spec.records.ledger or folder.path / "ledger.journal"
        why = shown(f"{type(error).__name__}: {error}".removesuffix(": "), 300)
        raise BadInput(
            f"{where}: the ledger of study '{folder.name}' is damaged ({why}); put back a copy of it"
        ) from None


def _cell_views(spec: StudySpec, cells: list[Cell], folder: StudyFolder) -> tuple[CellView, ...]:
    trials = stored_trials(spec, cells, folder)
    for place, stored in trials.items():
        check_results(spec, place, stored, folder.path)
    if not any(trials.values()):
        check_known(spec, dict.fromkeys(places_of(cells), 0), folder.path)
    views = (
        cell_view(
            cell,
            trials.get(cell.name, ()),
            spec.search.metric,
            folder.path,
            trials.get(f"{cell.name}/{CONFIRM}", ()),
        )
        for cell in cells
    )
    return with_races(spec, tuple(views))


def with_races(spec: StudySpec, cells: tuple[CellView, ...]) -> tuple[CellView, ...]:
    """Return all cells of a study, each with the number of seeds that a race has asked for; without a race as given."""
    if spec.confirm is None or spec.confirm.race is None:
        return cells
    from study.search.racing import seeds_wanted_in, table_of

    wanted: dict[str, dict[str, int]] = {}
    for place in dict.fromkeys(table_of(cell.cell) for cell in cells):
        table = [one for cell in cells if table_of(cell.cell) == place for one in cell.raced_settings(spec)]
        for one, seeds in zip(table, seeds_wanted_in(spec, table), strict=True):
            wanted.setdefault(one.cell.name, {}).update(dict.fromkeys(one.setting.names, seeds))
    return tuple(replace(cell, raced=wanted.get(cell.cell.name, {})) for cell in cells)


def stored_trials(spec: StudySpec, cells: Iterable[Cell], folder: StudyFolder) -> dict[str, list[FrozenTrial]]:
    """Return the trials in a study's ledger: name of a cell or of its confirmation -> trials."""
    from study.ledger.storage import open_storage

    trials: dict[str, list[FrozenTrial]] = {}
    ledger = folder.read_ledger or spec.records.ledger
    if ledger is not None or (folder.path / "ledger.journal").exists():
        read_trial = folder.trial_reader()
        storage = open_storage(folder.path, ledger, writable=False)
        ids = study_ids(storage)
        for place in places_of(cells):
            if f"{spec.name}/{place}" in ids:
                stored = storage.get_all_trials(ids[f"{spec.name}/{place}"], deepcopy=False)
                trials[place] = [read_trial(trial) for trial in stored]
    return trials
