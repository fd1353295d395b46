"""What a method's trials say: rows and values for the model over all ratios, from the trials of its cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from search_spaces import Choices, Space
from study.search.ratio_model import Layout, Rows
from study.search.trial_params import params_of
from study.search.unit_cube import Floats, Ints, unit_point
from study.spec.search_tables import CellTrials


@dataclass(frozen=True)
class Goal:
    """What counts as a trial's result.

    Attributes:
        maximize: True if larger is better.
        epochs: epochs of a complete trial.
        selects_best: True if a trial's result is that of its best epoch, not of its last.
        earlier_epochs: epochs before the last stage of a trial, which trains another loss than the stages before.
    """

    maximize: bool
    epochs: int = 1
    selects_best: bool = False
    earlier_epochs: int = 0

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
        if not self.selects_best or epoch <= self.earlier_epochs:
            return trial.intermediate_values[epoch]
        past = [value for at, value in trial.intermediate_values.items() if self.earlier_epochs < at <= epoch]
        return max(past) if self.maximize else min(past)


@dataclass(frozen=True)
class Observation:
    """Values of some trials, in the order in which the trials ended.

    Attributes:
        rows: where they were trained.
        values: larger is better, (n,).
    """

    rows: Rows
    values: Floats


_ROUNDING = 1e-9
"""Distances below this share of the largest one are rounding."""


@dataclass(frozen=True)
class Compression:
    """Maps values so that distances to a cell's best grow only logarithmically beyond the usual distance.

    A few settings that fail would otherwise set the scale of the model, and what is best would be told apart badly. The
    better half of all settings keeps its values.

    Attributes:
        best: best value of every cell, (cells,), -inf without one.
        usual: median distance of complete trials to the best of their cell; 0 changes nothing.
        largest: largest distance.
    """

    best: Floats
    usual: float
    largest: float = 0.0

    @classmethod
    def of(cls, values: Floats, rows: Rows, cells: int) -> Compression:
        """Return the compression of values, (n,), larger is better."""
        best = np.full(cells, -np.inf)
        np.maximum.at(best, rows.cell, values)
        short = best[rows.cell] - values
        largest = float(short.max(initial=0.0))
        known = short[(rows.fidelity == 1) & (short > _ROUNDING * largest)]
        return cls(best, float(np.median(known)) if len(known) else 0.0, largest)

    def of_values(self, values: Floats, cell: Ints) -> Floats:
        """Return compressed values, (n,), of trials of these cells, (n,)."""
        if not self.usual:
            return values
        short = self.best[cell] - values
        beyond = self.usual * (1 + np.log(np.maximum(short, self.usual) / self.usual))
        return np.asarray(self.best[cell] - np.where(short > self.usual, beyond, short))

    def undone(self, mean: Floats, deviation: Floats, cell: Ints) -> tuple[Floats, Floats]:
        """Return mean and deviation in the unit of the values; the deviation to first order.

        No mean falls short of the best of its cell by more than the largest known distance.
        """
        if not self.usual:
            return mean, deviation
        short = self.best[cell] - mean
        far = np.isfinite(short) & (short > self.usual)
        with np.errstate(over="ignore"):
            longer = self.usual * np.exp(np.where(far, short, self.usual) / self.usual - 1)
        longer = np.minimum(longer, max(self.largest, self.usual))
        return np.where(far, self.best[cell] - longer, mean), deviation * np.where(far, longer / self.usual, 1.0)


NO_COMPRESSION = Compression(np.zeros(0), 0.0)
"""Leaves values as they are."""


class _Row(NamedTuple):
    """A value of the trial that ended as number ``order`` after a share of its epochs."""

    cell: int
    point: Floats
    share: float
    value: float
    order: int


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
            coordinate_groups(space),
            len(self.cells),
            len(tasks),
            goal.epochs > 1,
            float(np.median(self._log_ratios)),
            goal.earlier_epochs / goal.epochs,
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
        """Return the index of a cell.

        Raises:
            ValueError: no cell has that name.
        """
        return [cell.name for cell in self.cells].index(name)

    def task(self, name: str) -> int:
        """Return the index of a data set.

        Raises:
            ValueError: no cell has that data set.
        """
        return self._tasks[[cell.task for cell in self.cells].index(name)]

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
            np.full(count, -1),
        )

    def tried(self, cell: int) -> Floats:
        """Return the points of every trial of a cell whose params are known, (m, D), queued and running ones too."""
        return self._stacked([self._point(cell, trial) for trial in self.cells[cell].trials])

    def has_settings(self, least: int) -> bool:
        """Return True if all cells together have at least so many different settings."""
        found: set[bytes] = set()
        for index, cell in enumerate(self.cells):
            for trial in cell.trials:
                if (point := self._point(index, trial)) is not None:
                    found.add(point.tobytes())
                if len(found) >= least:
                    return True
        return False

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

    def observation(self, first: int | None = None, epochs: Sequence[int] | None = None) -> Observation:
        """Return the values of the trials that ended first, of all if ``first`` is None.

        A complete trial counts with its value. A pruned one counts with its result so far at the share of the epochs
        that it reached. A failed trial counts like the worst complete one of its cell, or of all cells if its own has
        none, so that a region that diverges is left. So that the model can tell an early epoch from a poor setting, a
        complete trial also counts at one earlier epoch: at each of ``epochs`` in turn, if None at each at which a
        trial was pruned.
        """
        ended = self._ended[:first]
        if epochs is None:
            pruned = (trial for *_, trial in ended if trial.state == TrialState.PRUNED)
            epochs = sorted({stop[0] for trial in pruned if (stop := self.goal.reached(trial)) is not None})
        epochs = [epoch for epoch in epochs if 0 < epoch < self.goal.epochs]
        found: list[_Row] = []
        failed: list[_Row] = []
        complete = 0
        for order, (_, cell, _, trial) in enumerate(ended):
            point = self._point(cell, trial)
            if point is None:
                continue
            if trial.state == TrialState.FAIL:
                failed.append(_Row(cell, point, 1.0, math.nan, order))
            elif trial.state == TrialState.COMPLETE:
                found.append(_Row(cell, point, 1.0, self.goal.sign * trial.values[0], order))
                early = epochs[complete % len(epochs)] if epochs else 0
                if early in trial.intermediate_values:
                    found.append(self._early(cell, point, trial, early, order))
                complete += 1
            elif (reached := self.goal.reached(trial)) is not None:
                found.append(self._early(cell, point, trial, reached[0], order))
        found = [row for row in found if math.isfinite(row.value)]
        worst: dict[int, float] = {}
        for row in found:
            if row.share == 1:
                worst[row.cell] = min(row.value, worst.get(row.cell, math.inf))
        if worst:
            found += [row._replace(value=worst.get(row.cell, min(worst.values()))) for row in failed]
        return self._observed(found)

    def complete(self, cell: int) -> Floats:
        """Return the points of a cell's complete trials that satisfy the constraints, (m, D)."""
        return self._stacked(
            [
                self._point(cell, trial)
                for trial in self.cells[cell].trials
                if trial.state == TrialState.COMPLETE and all(at <= 0 for at in trial.constraints.values())
            ]
        )

    def curve(self, cell: int, trial: FrozenTrial, epochs: Sequence[int]) -> Observation | None:
        """Return what a running trial had reached after those of ``epochs`` that it has trained.

        It is None if the trial's params are not known.
        """
        point = self._point(cell, trial)
        if point is None:
            return None
        known = [epoch for epoch in epochs if epoch in trial.intermediate_values]
        return self._observed([self._early(cell, point, trial, epoch, len(self._ended)) for epoch in known])

    def _early(self, cell: int, point: Floats, trial: FrozenTrial, epoch: int, order: int) -> _Row:
        share = min(1.0, epoch / self.goal.epochs)
        return _Row(cell, point, share, self.goal.sign * self.goal.at(trial, epoch), order)

    def violations(self, name: str, first: int | None = None) -> Observation:
        """Return by how much complete trials satisfy a constraint, (n,); negative values violate it."""
        found = [
            _Row(cell, point, 1.0, -trial.constraints[name], order)
            for order, (_, cell, _, trial) in enumerate(self._ended[:first])
            if trial.state == TrialState.COMPLETE
            and math.isfinite(trial.constraints.get(name, math.nan))
            and (point := self._point(cell, trial)) is not None
        ]
        return self._observed(found)

    def _observed(self, found: Sequence[_Row]) -> Observation:
        cells = np.array([row.cell for row in found], dtype=np.int64)
        rows = Rows(
            self._stacked([row.point for row in found]),
            np.array(self._log_ratios)[cells],
            cells,
            np.array(self._tasks)[cells],
            np.array([row.share for row in found], dtype=np.float64),
            np.array([row.order for row in found], dtype=np.int64),
        )
        return Observation(rows, np.array([row.value for row in found], dtype=np.float64))

    @property
    def ended(self) -> int:
        """Number of trials that ended."""
        return len(self._ended)


def coordinate_groups(space: Space) -> tuple[int, ...]:
    """Return the index of the param to which each coordinate of `unit_point` belongs."""
    sizes = [len(d.choices) if isinstance(d, Choices) else 1 for d in space.values()]
    return tuple(index for index, size in enumerate(sizes) for _ in range(size))
