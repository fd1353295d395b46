"""The contextual searcher: expected improvement under one model of a method over all ratios."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from scipy.linalg import LinAlgError
from scipy.special import log_ndtr
from scipy.stats import qmc

from search_spaces import Choices, Space
from search_spaces.encoding import encode
from study.search.expected_improvement import log_augmentation, log_expected_improvement
from study.search.method_model import MethodModel, NothingToFit, constraint_models
from study.search.ratio_evidence import Evidence, Goal
from study.search.ratio_model import RatioModel
from study.search.trial_params import BY_MODEL, BY_SOBOL, QUEUED_PARAMS
from study.search.unit_cube import CHOSEN, Floats, unit_point
from study.spec.search_tables import CellTrials, SearcherContext

_CANDIDATES = 1024
_AROUND_BEST = 64
_ROUNDS, _BEST, _STEPS = 4, 5, 32
_FIRST_STEP, _SHRINK = 0.1, 0.4
_SAME = 1e-9
_ATTEMPTS = 64
_PRIOR_WIDTH = 0.3
"""Standard deviation of the prior around the preset's setting, in ranges."""


class Places:
    """Maps places, points of [0, 1]^p with one coordinate per param, to the coordinates of `unit_point`."""

    def __init__(self, space: Space) -> None:
        self.space = space

    def natural(self, place: Floats) -> dict[str, Any]:
        """Return the natural params at a place, (p,)."""
        return {name: d.from_unit(float(x)) for (name, d), x in zip(self.space.items(), place, strict=True)}

    def coordinates(self, places: Floats) -> Floats:
        """Return the coordinates, (m, D), of the params at places, (m, p)."""
        columns = [self._columns(name, places[:, i]) for i, name in enumerate(self.space)]
        return np.concatenate(columns, axis=1) if columns else np.zeros((len(places), 0))

    def _columns(self, name: str, places: Floats) -> Floats:
        dimension = self.space[name]
        if isinstance(dimension, Choices):
            count = len(dimension.choices)
            chosen = np.clip((places * count).astype(int), 0, count - 1)
            return np.asarray(np.equal.outer(chosen, np.arange(count)) * CHOSEN)
        distribution = dimension.distribution()
        if isinstance(distribution, IntDistribution):
            return _whole(distribution, places)[:, None]
        return places[:, None]

    def at(self, points: Floats) -> Floats:
        """Return the places, (m, p), of points of the unit cube, (m, D); of a choice the middle of its share."""
        columns, begin = [], 0
        for dimension in self.space.values():
            if isinstance(dimension, Choices):
                count = len(dimension.choices)
                columns.append((points[:, begin : begin + count].argmax(axis=1) + 0.5) / count)
                begin += count
            else:
                columns.append(points[:, begin])
                begin += 1
        return np.stack(columns, axis=1)


def _whole(distribution: IntDistribution, places: Floats) -> Floats:
    """Return the places of the whole numbers nearest to places on the scale of the range."""
    low, high = float(distribution.low), float(distribution.high)
    if distribution.log:
        span = math.log(high / low)
        return np.asarray(np.log(np.clip(np.rint(low * np.exp(places * span)), low, high) / low) / span)
    return np.asarray((np.clip(np.rint(low + places * (high - low)), low, high) - low) / (high - low))


class RatioGpSearcher(BaseSampler):
    """Proposes the setting with the largest expected improvement in a cell, judged by the trials of all ratios.

    Everything follows from the trials in the ledger and the seed. While the model knows too little, if all values are
    equal, or if the covariance cannot be factorised, the next point of a Sobol sequence that all cells of the method
    share is proposed.

    Attributes:
        param_source: what proposed the params, `BY_MODEL` or `BY_SOBOL`; empty before, and for a queued trial.
    """

    def __init__(self, context: SearcherContext) -> None:
        """Propose the trial of ``context``."""
        self._context, self._places = context, Places(context.space)
        self._random = RandomSampler(seed=context.seed)
        self.param_source = ""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the whole space: all params are proposed together."""
        return dict(self._context.distributions)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the proposal, in Optuna's names and values; nothing for a queued trial, whose params are given."""
        space = self._context.space
        if not space or QUEUED_PARAMS in trial.system_attrs:
            return {}
        cells = self._cells(study)
        context = self._context
        maximize = study.direction == StudyDirection.MAXIMIZE
        goal = Goal(maximize, context.epochs, context.selects_best, context.earlier_epochs)
        evidence = Evidence(space, cells, goal)
        own = evidence.index(self._context.cell)
        place = self._proposal(evidence, own)
        self.param_source = BY_SOBOL if place is None else BY_MODEL
        if place is None:
            place = self._sobol_place(evidence, own)
        return encode(space, self._places.natural(place))

    def _cells(self, study: Study) -> list[CellTrials]:
        """Return the trials of all cells, the own ones only up to the trial that is sampled."""
        earlier = study.get_trials(deepcopy=False)[: self._context.number]
        cells = list(self._context.method_trials()) or [CellTrials(self._context.cell, "", 1.0, ())]
        return [
            CellTrials(cell.name, cell.task, cell.ratio, earlier if cell.name == self._context.cell else cell.trials)
            for cell in cells
        ]

    def _sobol_place(self, evidence: Evidence, own: int) -> Floats:
        """Return the next new point of the sequence that the method's cells share."""
        tried = evidence.tried(own)
        sequence = qmc.Sobol(len(self._context.space), seed=self._context.method_seed)
        if evidence.started:
            sequence.fast_forward(evidence.started)
        for _ in range(_ATTEMPTS):
            place = sequence.random(1)
            if not _equals_any(self._places.coordinates(place), tried)[0]:
                break
        return np.asarray(place[0])

    def _proposal(self, evidence: Evidence, own: int) -> Floats | None:
        if not evidence.has_settings(len(self._context.space) + 2):
            return None
        try:
            model = MethodModel(evidence, own).process
            return _Acquisition(self._context, self._places, evidence, own, model).best()
        except (NothingToFit, LinAlgError):
            return None

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw at random; a trial with given params may lack some."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)


def _equals_any(points: Floats, tried: Floats) -> np.ndarray:
    """Return for each point, (m, D), whether it is one of those that were tried, (k, D)."""
    if not len(tried):
        return np.zeros(len(points), dtype=bool)
    return np.asarray((np.abs(points[:, None, :] - tried[None]).max(axis=2, initial=0.0) < _SAME).any(axis=1))


class _Acquisition:
    """The logarithm of augmented expected improvement in a cell times chance of feasibility and the preset's prior."""

    def __init__(
        self, context: SearcherContext, places: Places, evidence: Evidence, own: int, model: RatioModel
    ) -> None:
        self._context, self._places, self._evidence, self._own, self._model = context, places, evidence, own, model
        self._pending, self._tried = evidence.pending(), evidence.tried(own)
        self._rng = np.random.default_rng(context.seed)
        self._limits = [one.process for one in constraint_models(evidence, own)]
        self._best = self._incumbent()
        ended = sum(trial.state.is_finished() for trial in evidence.cells[own].trials)
        # the density to the power strength / n (Hvarfner et al. 2022, "piBO", equation 6)
        self._prior_weight = context.preset_prior / max(1, ended)
        preset = {name: context.preset[name] for name in context.space if name in context.preset}
        self._preset = unit_point(context.space, preset) if len(preset) == len(context.space) else None

    def _incumbent(self) -> float | None:
        """Return the best expected value of a trial of the cell, pending ones too; None if none is feasible."""
        points = self._tried
        if not len(points):  # nothing was tried here: what is expected of the settings of other cells
            points = np.concatenate([self._evidence.tried(cell) for cell in range(len(self._evidence.cells))])
        rows = self._evidence.rows_at(points, self._own)
        allowed = np.ones(len(points), dtype=bool)
        for limit in self._limits:
            allowed &= limit.mean(rows) >= 0
        return float(self._model.mean(rows)[allowed].max()) if allowed.any() else None

    def values(self, places: Floats) -> Floats:
        """Return the acquisition at places, (m, p); -inf where the cell has tried the setting."""
        points = self._places.coordinates(places)
        rows = self._evidence.rows_at(points, self._own)
        found = np.zeros(len(places))
        if self._best is not None:
            mean, deviation = self._model.predict(rows, self._pending)
            found += log_expected_improvement(mean, deviation, self._best)
            found += log_augmentation(deviation, self._model.noise(rows))
        for limit in self._limits:
            mean, deviation = limit.predict(rows)
            found += log_ndtr(mean / deviation)
        if self._preset is not None and self._prior_weight:
            found -= self._prior_weight * ((points - self._preset) ** 2).sum(axis=1) / (2 * _PRIOR_WIDTH**2)
        return np.where(_equals_any(points, self._tried), -np.inf, found)

    def best(self) -> Floats | None:
        """Return the best place that was found; None if every candidate was tried."""
        count = len(self._context.space)
        sequence = qmc.Sobol(count, seed=self._rng)
        places = np.concatenate([sequence.random(_CANDIDATES), self._near_best()])
        found = self.values(places)
        step = _FIRST_STEP
        for _ in range(_ROUNDS):
            order = np.argsort(-found, kind="stable")[:_BEST]
            more = np.concatenate([self._moved(places[i], _STEPS, step) for i in order])
            places, found = np.concatenate([places[order], more]), np.concatenate([found[order], self.values(more)])
            step *= _SHRINK
        best = int(np.argmax(found))
        return None if found[best] == -np.inf else np.asarray(places[best])

    def _near_best(self) -> Floats:
        """Return the settings of all cells that promise most here, and places around them."""
        settings = np.unique(self._model.rows.points, axis=0)
        expected = self._model.mean(self._evidence.rows_at(settings, self._own))
        order = np.argsort(-expected, kind="stable")[:_BEST]
        places = self._places.at(settings[order])
        return np.concatenate([places, *(self._moved(place, _AROUND_BEST, _FIRST_STEP) for place in places)])

    def _moved(self, place: Floats, count: int, step: float) -> Floats:
        """Return places around one: ranges moved by normal steps, and some choices drawn again."""
        moved = place + self._rng.normal(0, step, (count, len(place)))
        moved = np.where((moved < 0) | (moved > 1), place, moved)
        drawn, again = self._rng.random(moved.shape), self._rng.random(moved.shape) < 0.2
        for i, dimension in enumerate(self._context.space.values()):
            if isinstance(dimension, Choices):
                moved[:, i] = np.where(again[:, i], drawn[:, i], place[i])
        return np.asarray(moved)
