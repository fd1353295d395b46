"""The trials that confirm, in Optuna studies of their own: searchers, pruners and rankings never see them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

import optuna
from optuna.pruners import NopPruner
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from search_spaces.encoding import same_params
from study.ledger.cell_ledger import Assignment, CellLedger, ReadTrial, as_stored
from study.search.budget import ENDED
from study.search.trial_params import PARAM_SOURCE, PARAMS, params_of
from study.spec.cell import Cell
from study.spec.confirmation import CONFIRM, Setting, seeds_of, settings_at_most, settings_of
from study.spec.objectives import directions
from study.spec.study_spec import StudySpec


class CellConfirmation(CellLedger):
    """The trials that confirm one cell. Their settings and seeds are user attributes: nothing is proposed."""

    def __init__(self, study: StudySpec, cell: Cell, storage: BaseStorage, read_trial: ReadTrial = as_stored) -> None:
        """Open the Optuna study ``<study>/<cell>/confirm``, or create it empty."""
        self.cell, self._read_trial = cell, read_trial
        self._spec, self._storage, self._counts = study, storage, None
        self._study = optuna.create_study(
            study_name=f"{study.name}/{cell.name}/{CONFIRM}",
            storage=storage,
            directions=directions(study.search.metric),
            pruner=NopPruner(),
            load_if_exists=True,
        )

    def begin(self, setting: Setting, seed: int) -> Assignment:
        """Start a trial; what determines it is written with it at once, so that a kill cannot part them."""
        source = " and ".join(setting.names)
        attributes = {"phase": CONFIRM, PARAM_SOURCE: source, PARAMS: setting.params, "seed": seed}
        self._study.add_trial(optuna.trial.create_trial(state=TrialState.RUNNING, user_attrs=attributes))
        return self._confirming(self.trials()[-1])

    def running(self) -> list[Assignment]:
        """Return the trials that were started and not ended."""
        return [self._confirming(trial) for trial in self.trials(TrialState.RUNNING)]

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Note the metric after an epoch; nothing stops a trial that confirms."""
        super().report(number, epoch, value)
        return False

    def of_setting(self, setting: Setting, seed: int) -> FrozenTrial | None:
        """Return the trial of a setting and a seed, or None when there is none yet."""
        same = (trial for trial in self.trials() if trial.user_attrs["seed"] == seed)
        return next((trial for trial in same if same_params(trial.user_attrs[PARAMS], setting.params)), None)

    def _confirming(self, trial: FrozenTrial) -> Assignment:
        attributes = trial.user_attrs
        return Assignment(self.cell, trial.number, dict(attributes[PARAMS]), seed=int(attributes["seed"]))


class Confirmation:
    """The confirmation of a whole study; without ``confirm`` in its file it holds nothing and asks for nothing."""

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
            search: the trials of every cell's search, by its name.
            storage: of the ledger.
            read_trial: turns a trial stored in an earlier format into one of today's.
        """
        self._spec, self._search = study, search
        searched = search.values() if study.confirm is not None else ()
        self.cells = {
            f"{cell.cell.name}/{CONFIRM}": CellConfirmation(study, cell.cell, storage, read_trial) for cell in searched
        }
        self._interrupted = deque(trial for cell in self.cells.values() for trial in cell.running())

    def next(self) -> Assignment | None:
        """Return a trial that was interrupted, else start one, else return None. The search must be over.

        Seed after seed goes through all cells, so that wherever a run is cut off, methods have the same seeds.
        """
        if self._interrupted:
            return self._interrupted.popleft()
        return next((cell.begin(setting, seed) for cell, setting, seed in self._missing()), None)

    def _wanted(self) -> Iterator[tuple[CellConfirmation, Setting, int]]:
        settings = [(cell, setting) for cell in self.cells.values() for setting in self._settings(cell.cell)]
        return ((cell, setting, seed) for seed in seeds_of(self._spec) for cell, setting in settings)

    def _missing(self) -> Iterator[tuple[CellConfirmation, Setting, int]]:
        return (wanted for wanted in self._wanted() if wanted[0].of_setting(*wanted[1:]) is None)

    def _settings(self, cell: Cell) -> list[Setting]:
        metric = self._spec.confirm.metric if self._spec.confirm is not None else None
        best = self._search[cell.name].best(metric)
        return settings_of(cell, None if best is None else params_of(best, cell.space))

    def remaining(self, *, known: bool) -> int:
        """How many trials are yet to be started or ended; ``known`` tells whether the search is over."""
        if not known:
            return self.total(known=False)
        running = sum(len(cell.trials(TrialState.RUNNING)) for cell in self.cells.values())
        return running + sum(1 for _ in self._missing())

    def total(self, *, known: bool) -> int:
        """How many trials confirm; as many as there may be while ``known`` is false: the search goes on."""
        if not known:
            return len(seeds_of(self._spec)) * sum(settings_at_most(cell.cell) for cell in self.cells.values())
        ended = sum(len(cell.trials(*ENDED)) for cell in self.cells.values())
        return ended + self.remaining(known=True)

    def shares_prefix(self, trial: Assignment) -> bool:
        """Tell whether another trial that confirms begins with the same training, so that it is trained once."""
        from trainables.methods.registry import shared_prefix_of

        shared_prefix = shared_prefix_of(trial.config)
        wanted = (Assignment(cell.cell, 0, setting.params, seed) for cell, setting, seed in self._wanted())
        same = [one for one in wanted if one.seed == trial.seed and shared_prefix_of(one.config) == shared_prefix]
        return shared_prefix is not None and len(same) > 1
