"""Confirmation trials, in separate Optuna studies so that searchers, pruners and rankings never see them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

import optuna
from optuna.pruners import NopPruner
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from search_spaces.encoding import same_params
from study.ledger.cell_ledger import Assignment, CellLedger, ReadTrial, as_stored
from study.search.budget import ENDED, TrialCounter
from study.search.racing import RacedSetting, seeds_wanted_in, table_of
from study.search.trial_params import ENDED_WITH, PARAM_SOURCE, PARAMS, params_of
from study.spec.cell import Cell
from study.spec.confirmed_settings import (
    CONFIRM,
    Setting,
    confirmations_are_known,
    confirmed_at_most,
    seeds_of,
    settings_of,
)
from study.spec.objectives import directions
from study.spec.study_spec import StudySpec


class CellConfirmation(CellLedger):
    """The confirmation trials of one cell. Settings and seeds are user attributes; nothing is sampled."""

    def __init__(self, study: StudySpec, cell: Cell, storage: BaseStorage, read_trial: ReadTrial = as_stored) -> None:
        """Open the Optuna study ``<study>/<cell>/confirm``, or create it empty."""
        self.cell, self._read_trial = cell, read_trial
        self._spec, self._storage = study, storage
        self._counter, self._counts = TrialCounter(study, cell), None
        self._study = optuna.create_study(
            study_name=f"{study.name}/{cell.name}/{CONFIRM}",
            storage=storage,
            directions=directions(study.search.metric),
            pruner=NopPruner(),
            load_if_exists=True,
        )

    def begin(self, setting: Setting, seed: int) -> Assignment:
        """Start a trial; its setting and seed are stored in the same write, so that a kill cannot separate them."""
        source = " and ".join(setting.names)
        attributes = {"phase": CONFIRM, PARAM_SOURCE: source, PARAMS: setting.params, "seed": seed}
        self._study.add_trial(optuna.trial.create_trial(state=TrialState.RUNNING, user_attrs=attributes))
        return self._confirming(self.trials()[-1])

    def running(self) -> list[Assignment]:
        """Return the trials that started and have not ended."""
        return [self._confirming(trial) for trial in self.trials(TrialState.RUNNING)]

    def ended(self) -> list[Assignment]:
        """Return the trials that have ended."""
        return [self._confirming(trial) for trial in self.trials(*ENDED)]

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Store the metric after an epoch; confirmation trials are never pruned."""
        super().report(number, epoch, value)
        return False

    def of_setting(self, setting: Setting, seed: int) -> FrozenTrial | None:
        """Return the trial with this setting and seed, or None if it has not started."""
        same = (trial for trial in self.trials() if trial.user_attrs["seed"] == seed)
        return next((trial for trial in same if same_params(trial.user_attrs[PARAMS], setting.params)), None)

    def tested(self, setting: Setting) -> dict[int, Mapping[str, float] | None]:
        """Return seed -> metrics on the test images of the setting's ended trials; None if a trial has none."""
        same = (trial for trial in self.trials(*ENDED) if same_params(trial.user_attrs[PARAMS], setting.params))
        return {int(t.user_attrs["seed"]): t.user_attrs.get(ENDED_WITH, {}).get("test") for t in same}

    def _confirming(self, trial: FrozenTrial) -> Assignment:
        attributes = trial.user_attrs
        return Assignment(self.cell, trial.number, dict(attributes[PARAMS]), seed=int(attributes["seed"]))


class Confirmation:
    """The confirmation of a whole study; without ``confirm`` in the study file it has no trials."""

    def __init__(
        self,
        study: StudySpec,
        search: Mapping[str, CellLedger],
        storage: BaseStorage,
        read_trial: ReadTrial = as_stored,
    ) -> None:
        """Open the confirmation of every cell.

        Args:
            study: the study.
            search: name of a cell -> its search trials.
            storage: the ledger's Optuna storage.
            read_trial: converts a stored trial to the current format.
        """
        self._spec, self._search = study, search
        searched = search.values() if study.confirm is not None else ()
        self.cells = {
            f"{cell.cell.name}/{CONFIRM}": CellConfirmation(study, cell.cell, storage, read_trial) for cell in searched
        }
        self._interrupted = deque(trial for cell in self.cells.values() for trial in cell.running())

    def next(self) -> Assignment | None:
        """Return an interrupted trial, else start a new one, else return None. The search must be over.

        All cells train one seed before the next begins, so that an interrupted run leaves comparable seeds per method.
        A race asks for a further seed once all trials of its data set and profile have ended.
        """
        if self._interrupted:
            return self._interrupted.popleft()
        return next((cell.begin(setting, seed) for cell, setting, seed in self._missing()), None)

    def _wanted(self) -> Iterator[tuple[CellConfirmation, Setting, int]]:
        wanted = [
            (cell, setting, count)
            for cells in self._tables()
            for (cell, setting), count in zip(*self._raced(cells), strict=True)
        ]
        seeds = enumerate(seeds_of(self._spec))
        return ((cell, setting, seed) for place, seed in seeds for cell, setting, count in wanted if place < count)

    def _tables(self) -> list[list[CellConfirmation]]:
        tables: dict[tuple[str, str], list[CellConfirmation]] = {}
        for cell in self.cells.values():
            tables.setdefault(table_of(cell.cell), []).append(cell)
        return list(tables.values())

    def _raced(self, cells: list[CellConfirmation]) -> tuple[list[tuple[CellConfirmation, Setting]], list[int]]:
        """Return the settings of a table, and for each how many seeds it wants as far as is known now."""
        settings = [(cell, setting) for cell in cells for setting in self._settings(cell.cell)]
        return settings, seeds_wanted_in(
            self._spec, [RacedSetting(cell.cell, setting, cell.tested(setting)) for cell, setting in settings]
        )

    def _missing(self) -> Iterator[tuple[CellConfirmation, Setting, int]]:
        return (wanted for wanted in self._wanted() if wanted[0].of_setting(*wanted[1:]) is None)

    def _settings(self, cell: Cell) -> list[Setting]:
        metric = self._spec.confirm.metric if self._spec.confirm is not None else None
        best = self._search[cell.name].best(metric)
        return settings_of(cell, None if best is None else params_of(best, cell.space))

    def is_winner(self, trial: Assignment) -> bool:
        """Return True for the first seed of a cell's best setting, as the search ranks it now."""
        if not trial.confirms or trial.seed != seeds_of(self._spec)[0]:
            return False
        best = (setting for setting in self._settings(trial.cell) if "best" in setting.names)
        return any(same_params(setting.params, trial.params) for setting in best)

    def remaining(self, *, known: bool) -> int:
        """Return the number of trials yet to start or end; ``known`` is True once the search is over.

        While a race goes on, an upper bound.
        """
        if not known:
            return self.total(known=False)
        left = self._asked_for()
        return self._at_most() - self._ended() if left and self._races else left

    def _asked_for(self) -> int:
        """Return the number of trials that run or are to be started as far as is known now."""
        running = sum(len(cell.trials(TrialState.RUNNING)) for cell in self.cells.values())
        return running + sum(1 for _ in self._missing())

    def _at_most(self) -> int:
        return sum(confirmed_at_most(self._spec, cell.cell) for cell in self.cells.values())

    def _ended(self) -> int:
        return sum(len(cell.trials(*ENDED)) for cell in self.cells.values())

    @property
    def _races(self) -> bool:
        return self._spec.confirm is not None and self._spec.confirm.race is not None

    def total(self, *, known: bool) -> int:
        """Return the number of confirmation trials.

        An upper bound while the search runs (``known`` is False), and while a race does.
        """
        return self._ended() + self.remaining(known=True) if known else self._at_most()

    def races(self) -> bool:
        """Return True while a race may ask for further seeds."""
        return self._races and self._asked_for() > 0

    def total_is_exact(self) -> bool:
        """Return True if the number of trials is known while the search runs."""
        return confirmations_are_known(self._spec, (cell.cell for cell in self.cells.values()))

    def shares_prefix(self, trial: Assignment) -> bool:
        """Return True if another confirmation trial has the same shared prefix, which is then trained once."""
        from trainables.methods.registry import shared_prefix_of

        shared_prefix = shared_prefix_of(trial.config)
        wanted = (Assignment(cell.cell, 0, setting.params, seed) for cell, setting, seed in self._wanted())
        same = [one for one in wanted if one.seed == trial.seed and shared_prefix_of(one.config) == shared_prefix]
        return shared_prefix is not None and len(same) > 1
