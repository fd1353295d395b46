"""What a method's trials say: rows and values for the model over all ratios, from the trials of its cells."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from search_spaces import Choices, Space
from study.search.ratio_model import Layout, RatioModel, Rows, fit_params
from study.search.trial_params import params_of
from study.search.unit_cube import Floats, unit_point
from study.spec.search_tables import CellTrials

MOST_FITTED = 400
"""Largest number of rows to which hyperparameters are fitted; the cost of a step is cubic."""
MOST_ROWS = 1500
"""Largest number of rows that the model holds."""
_FIRST_FIT, _GROWTH = 8, 1.5
_KEPT_FITS = 256
"""Fits that a process keeps: some for each method of a study."""

_fits: OrderedDict[bytes, Floats] = OrderedDict()


@dataclass(frozen=True)
class Goal:
    """What counts as a trial's result.

    Attributes:
        maximize: True if larger is better.
        epochs: epochs of a complete trial.
        selects_best: True if a trial's result is that of its best epoch, not of its last.
    """

    maximize: bool
    epochs: int = 1
    selects_best: bool = False

    @property
    def sign(self) -> int:
        """1 if larger is better, else -1."""
        return 1 if self.maximize else -1

    def reached(self, trial: FrozenTrial) -> tuple[int, float] | None:
        """Return last epoch and result up to there of a trial without a value, or None before the first epoch."""
        last = max(trial.intermediate_values, default=0)
        return (last, self.at(trial, last)) if last else None

    def at(self, trial: FrozenTrial, epoch: int) -> float:
        """Return what a trial's result was after an epoch that it has."""
        if not self.selects_best:
            return trial.intermediate_values[epoch]
        past = [value for number, value in trial.intermediate_values.items() if number <= epoch]
        return max(past) if self.maximize else min(past)


@dataclass(frozen=True)
class Observation:
    """Values of some trials, in the order in which the trials ended.

    Attributes:
        rows: where they were trained.
        values: larger is better, (n,); far below the best of a cell compressed, as `compressed` says.
    """

    rows: Rows
    values: Floats


class Evidence:
    """The trials of a method's cells.

    Attributes:
        layout: what rows may differ in.
        cells: the cells, in the order of the study.
    """

    def __init__(self, space: Space, cells: Sequence[CellTrials], goal: Goal) -> None:
        """Take the trials as they are in the ledger; running ones are pending."""
        self.space, self.cells, self.goal = space, list(cells), goal
        tasks = list(dict.fromkeys(cell.task for cell in cells))
        self._tasks = [tasks.index(cell.task) for cell in cells]
        self._log_ratios = [math.log(cell.ratio) for cell in cells]
        self.layout = Layout(
            coordinate_groups(space), len(self.cells), len(tasks), goal.epochs > 1, float(np.median(self._log_ratios))
        )
        self._ended = sorted(
            (
                (trial.datetime_complete.timestamp() if trial.datetime_complete else 0.0, index, trial.number, trial)
                for index, cell in enumerate(cells)
                for trial in cell.trials
                if trial.state.is_finished()
            ),
            key=lambda ended: ended[:3],
        )
        self._points: dict[tuple[int, int], Floats] = {}

    def index(self, name: str) -> int:
        """Return the index of a cell."""
        return next(i for i, cell in enumerate(self.cells) if cell.name == name)

    @property
    def started(self) -> int:
        """Number of trials of all cells, queued ones aside."""
        return sum(trial.state != TrialState.WAITING for cell in self.cells for trial in cell.trials)

    def rows_at(self, points: Floats, cell: int, fidelity: float = 1.0) -> Rows:
        """Return rows of a cell at points of the unit cube, (m, D)."""
        count = len(points)
        return Rows(
            points,
            np.full(count, self._log_ratios[cell]),
            np.full(count, cell),
            np.full(count, self._tasks[cell]),
            np.full(count, fidelity),
        )

    def tried(self, cell: int) -> Floats:
        """Return the points of every trial of a cell whose params are known, (m, D), queued and running ones too."""
        return self._stacked([self._point(cell, trial) for trial in self.cells[cell].trials])

    def pending(self) -> Rows:
        """Return the queued and running trials of all cells."""
        waiting = (TrialState.RUNNING, TrialState.WAITING)
        found = self.rows_at(self._stacked([]), 0)
        for index, cell in enumerate(self.cells):
            points = [self._point(index, trial) for trial in cell.trials if trial.state in waiting]
            found = found.followed_by(self.rows_at(self._stacked(points), index))
        return found

    def _stacked(self, points: Sequence[Floats | None]) -> Floats:
        known = [point for point in points if point is not None]
        return np.array(known).reshape(len(known), len(self.layout.groups))

    def _point(self, cell: int, trial: FrozenTrial) -> Floats | None:
        at = cell, trial.number
        if at not in self._points:
            params = params_of(trial, self.space)
            if params.keys() != self.space.keys():
                return None  # interrupted during sampling
            self._points[at] = unit_point(self.space, params)
        return self._points[at]

    def observation(self, first: int | None = None) -> Observation:
        """Return the values of the trials that ended first, of all if ``first`` is None.

        A complete trial counts with its value. A pruned one counts with its result so far at the share of the epochs
        that it reached; complete trials then also count at the share that half of the pruned trials reached, so that
        the model can tell an early epoch from a poor setting. A failed trial counts like the worst complete one of its
        cell, so that a region that diverges is left.
        """
        ended = self._ended[:first]
        stops = [
            stop[0]
            for _, _, _, trial in ended
            if trial.state == TrialState.PRUNED and (stop := self.goal.reached(trial)) is not None
        ]
        half = sorted(stops)[len(stops) // 2] if stops else 0
        found: list[tuple[int, Floats, float, float]] = []
        failed: list[tuple[int, Floats]] = []
        for _, cell, _, trial in ended:
            point = self._point(cell, trial)
            if point is None:
                continue
            if trial.state == TrialState.FAIL:
                failed.append((cell, point))
            elif trial.state == TrialState.COMPLETE:
                found.append((cell, point, 1.0, self.goal.sign * trial.values[0]))
                if 0 < half < self.goal.epochs and half in trial.intermediate_values:
                    found.append((cell, point, half / self.goal.epochs, self.goal.sign * self.goal.at(trial, half)))
            elif (reached := self.goal.reached(trial)) is not None:
                epoch, value = reached
                found.append((cell, point, min(1.0, epoch / self.goal.epochs), self.goal.sign * value))
        found = [row for row in found if math.isfinite(row[3])]
        for cell, point in failed:
            worst = min((row[3] for row in found if row[0] == cell and row[2] == 1), default=None)
            if worst is not None:
                found.append((cell, point, 1.0, worst))
        cells = np.array([row[0] for row in found], dtype=np.int64)
        rows = Rows(
            self._stacked([row[1] for row in found]),
            np.array(self._log_ratios)[cells],
            cells,
            np.array(self._tasks)[cells],
            np.array([row[2] for row in found], dtype=np.float64),
        )
        return Observation(
            rows, compressed(np.array([row[3] for row in found], dtype=np.float64), cells, rows.fidelity)
        )

    def violations(self, name: str, first: int | None = None) -> Observation:
        """Return by how much complete trials satisfy a constraint, (n,); negative values violate it."""
        found = [
            (cell, point, -trial.constraints[name])
            for _, cell, _, trial in self._ended[:first]
            if trial.state == TrialState.COMPLETE
            and name in trial.constraints
            and (point := self._point(cell, trial)) is not None
        ]
        cells = np.array([row[0] for row in found], dtype=np.int64)
        rows = Rows(
            self._stacked([row[1] for row in found]),
            np.array(self._log_ratios)[cells],
            cells,
            np.array(self._tasks)[cells],
            np.ones(len(found)),
        )
        return Observation(rows, np.array([row[2] for row in found], dtype=np.float64))

    @property
    def ended(self) -> int:
        """Number of trials that ended."""
        return len(self._ended)


def coordinate_groups(space: Space) -> tuple[int, ...]:
    """Return the index of the param to which each coordinate of `unit_point` belongs."""
    sizes = [len(d.choices) if isinstance(d, Choices) else 1 for d in space.values()]
    return tuple(index for index, size in enumerate(sizes) for _ in range(size))


def compressed(values: Floats, cells: np.ndarray, fidelity: Floats) -> Floats:
    """Return values in which distances to a cell's best grow only logarithmically beyond the median distance.

    A few settings that fail would otherwise set the scale of the model, and what is best would be told apart badly. The
    better half of all settings keeps its values.

    Args:
        values: larger is better, (n,).
        cells: index of the cell, (n,).
        fidelity: share of the epochs, (n,).
    """
    if not len(values):
        return values
    best = np.full(cells.max() + 1, -np.inf)
    np.maximum.at(best, cells, values)
    short = best[cells] - values
    known = short[(fidelity == 1) & (short > 0)]
    if not len(known):
        return values
    usual = float(np.median(known))
    beyond = usual * (1 + np.log(np.maximum(short, usual) / usual))
    return np.asarray(best[cells] - np.where(short > usual, beyond, short))


def fit_size(ended: int) -> int:
    """Return the number of trials, the first to end, to which hyperparameters are fitted.

    It grows by half from fit to fit, so that few fits are needed and each holds until the next.

    >>> [fit_size(ended) for ended in (5, 8, 11, 12, 100)]
    [5, 8, 8, 12, 90]
    """
    if ended < _FIRST_FIT:
        return ended
    size = float(_FIRST_FIT)
    while int(size * _GROWTH) <= ended:
        size = int(size * _GROWTH)
    return int(size)


def fitted(layout: Layout, observation: Observation) -> Floats:
    """Return the hyperparameters of a model of these values.

    They follow from the rows alone. The process keeps the latest results, which saves time and changes nothing.

    Raises:
        LinAlgError: the covariance is not positive definite.
    """
    rows, values = observation.rows, observation.values
    if len(rows) > MOST_FITTED:
        some = np.linspace(0, len(rows) - 1, MOST_FITTED).astype(int)
        rows, values = rows.take(some), values[some]
    digest = hashlib.sha256(repr(layout).encode())
    for part in (rows.points, rows.log_ratio, rows.cell, rows.task, rows.fidelity, values):
        digest.update(np.ascontiguousarray(part, dtype=np.float64).tobytes())
    key = digest.digest()
    if key not in _fits:
        _fits[key] = fit_params(layout, rows, values)
        while len(_fits) > _KEPT_FITS:
            _fits.popitem(last=False)
    _fits.move_to_end(key)
    return _fits[key]


def model_of(
    evidence: Evidence, cell: int, observe: Callable[[int | None], Observation] | None = None
) -> RatioModel | None:
    """Return the model of a method, for questions about one of its cells; None if its values tell nothing yet.

    Args:
        evidence: the trials.
        cell: index of the cell asked about: it is kept whole where there are more than `MOST_ROWS` rows.
        observe: returns the values of the first trials to end; None takes the objective.

    Raises:
        LinAlgError: the covariance is not positive definite.
    """
    observe = observe or evidence.observation
    whole, early = observe(None), observe(fit_size(evidence.ended))
    if len(early.values) < 2 or np.ptp(early.values) == 0 or np.ptp(whole.values) == 0:
        return None
    kept = _kept(whole, cell)
    return RatioModel(evidence.layout, whole.rows.take(kept), whole.values[kept], fitted(evidence.layout, early))


def _kept(whole: Observation, cell: int) -> np.ndarray:
    """Return the rows to condition on: the cell's own, then those of the nearest ratios, the best of each first."""
    rows = whole.rows
    if len(rows) <= MOST_ROWS:
        return np.arange(len(rows))
    here = rows.log_ratio[rows.cell == cell]
    away = np.abs(rows.log_ratio - here[0]) if len(here) else np.zeros(len(rows))
    order = np.lexsort((-whole.values, rows.cell, away, rows.cell != cell))
    return np.sort(order[:MOST_ROWS])
