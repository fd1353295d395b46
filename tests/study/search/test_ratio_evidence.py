from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from search_spaces import Choices, Range, Space, distributions_of
from study.search.ratio_evidence import Compression, Evidence, Goal, coordinate_groups
from study.spec.search_tables import CellTrials

SPACE: Space = {"x": Range(low=0, high=1)}
GOAL = Goal(maximize=True, epochs=4)
BEGAN = datetime(2026, 1, 1)


def _trial(
    number: int,
    x: float,
    value: float | None = None,
    *,
    state: TrialState = TrialState.COMPLETE,
    curve: Sequence[float] = (),
    ended: int | None = None,
    violation: float | None = None,
) -> FrozenTrial:
    trial = create_trial(
        params={"x": x},
        distributions=distributions_of(SPACE),
        value=value,
        state=state,
        intermediate_values={epoch + 1: one for epoch, one in enumerate(curve)},
        user_attrs={"params": {"x": x}},
    )
    trial.number = number
    if state.is_finished():
        trial.datetime_complete = BEGAN + timedelta(seconds=number if ended is None else ended)
    if violation is not None:
        trial.set_constraint("many.min", violation)
    return trial


def _cells(*trials: Sequence[FrozenTrial], tasks: Sequence[str] = ("a", "a", "a")) -> list[CellTrials]:
    return [
        CellTrials(f"cell {i}", tasks[i], ratio, found)
        for i, (ratio, found) in enumerate(zip((10.0, 50.0, 200.0), trials, strict=False))
    ]


def test_trials_stand_in_the_order_in_which_they_ended_in_all_cells() -> None:
    one = [_trial(0, 0.1, 0.5, ended=1), _trial(1, 0.2, 0.6, ended=9)]
    two = [_trial(0, 0.3, 0.4, ended=2), _trial(1, 0.4, 0.3, ended=3)]
    evidence = Evidence(SPACE, _cells(one, two), GOAL)
    found = evidence.observation()
    assert found.rows.points[:, 0].tolist() == [0.1, 0.3, 0.4, 0.2]
    assert found.rows.cell.tolist() == [0, 1, 1, 0]
    assert found.rows.log_ratio == pytest.approx(np.log([10, 50, 50, 10]))
    assert evidence.observation(first=2).rows.points[:, 0].tolist() == [0.1, 0.3]


def test_a_pruned_trial_counts_at_the_epoch_it_reached_and_complete_ones_there_too() -> None:
    trials = [
        _trial(0, 0.1, 0.8, curve=[0.2, 0.4, 0.6, 0.8]),
        _trial(1, 0.2, state=TrialState.PRUNED, curve=[0.1, 0.3]),
        _trial(2, 0.3, state=TrialState.PRUNED),
    ]
    found = Evidence(SPACE, _cells(trials), GOAL).observation()
    rows = list(zip(found.rows.points[:, 0].tolist(), found.rows.fidelity.tolist(), strict=True))
    assert rows == [(0.1, 1.0), (0.1, 0.5), (0.2, 0.5)]
    best = Goal(maximize=True, epochs=4, selects_best=True)
    falling = [_trial(0, 0.2, state=TrialState.PRUNED, curve=[0.5, 0.3])]
    assert Evidence(SPACE, _cells(falling), best).observation().values.tolist() == [0.5]


def test_a_failed_trial_counts_like_the_worst_of_its_cell() -> None:
    trials = [_trial(0, 0.1, 0.8), _trial(1, 0.2, 0.7), _trial(2, 0.9, state=TrialState.FAIL)]
    found = Evidence(SPACE, _cells(trials, [_trial(0, 0.5, state=TrialState.FAIL)]), GOAL).observation()
    assert found.rows.points[:, 0].tolist() == [0.1, 0.2, 0.5, 0.9]
    assert found.values.tolist() == [0.8, 0.7, 0.7, 0.7]  # a cell without a complete trial takes the worst of all
    alone = Evidence(SPACE, _cells([_trial(0, 0.5, state=TrialState.FAIL)]), GOAL).observation()
    assert not len(alone.values)


def test_a_metric_that_is_minimised_changes_its_sign() -> None:
    found = Evidence(SPACE, _cells([_trial(0, 0.1, 2.0), _trial(1, 0.2, 1.0)]), Goal(maximize=False)).observation()
    assert found.values.tolist() == [-2.0, -1.0]


def test_queued_and_running_trials_of_all_cells_are_pending() -> None:
    cells = _cells(
        [_trial(0, 0.1, 0.5), _trial(1, 0.2, state=TrialState.RUNNING)], [_trial(0, 0.3, state=TrialState.WAITING)]
    )
    evidence = Evidence(SPACE, cells, GOAL)
    assert evidence.pending().points[:, 0].tolist() == [0.2, 0.3]
    assert evidence.pending().cell.tolist() == [0, 1]
    assert evidence.tried(0)[:, 0].tolist() == [0.1, 0.2]
    assert evidence.started == 2


def test_distances_far_below_a_cells_best_are_compressed_and_keep_their_order() -> None:
    values, cells = np.array([0.9, 0.89, 0.88, 0.85, 0.1, 0.5]), np.array([0, 0, 0, 0, 0, 1])
    rows = Evidence(SPACE, _cells([], []), GOAL).rows_at(np.zeros((6, 1)), 0)
    compression = Compression.of(values, replace(rows, cell=cells), 2)
    found = compression.of_values(values, cells)
    assert found[:3] == pytest.approx(values[:3])
    assert found[5] == 0.5
    assert 0.1 < found[4] < found[3] < found[2]
    again, deviation = compression.undone(found, np.full(6, 0.01), cells)
    assert again == pytest.approx(values)
    assert deviation[:3] == pytest.approx(0.01)
    assert deviation[4] > 0.1
    farther, _ = compression.undone(found - 100, np.full(6, 0.01), cells)
    assert farther[:5] == pytest.approx(0.9 - compression.largest)


def test_rounding_is_no_usual_distance() -> None:
    values = np.array([0.9, 0.9 - 1e-16, 0.9 - 2e-16, 0.9 - 2e-16, 0.6])
    rows = Evidence(SPACE, _cells([]), GOAL).rows_at(np.zeros((5, 1)), 0)
    assert Compression.of(values, rows, 1).usual == pytest.approx(0.3)


def test_choices_share_one_length_scale() -> None:
    space: Space = {"x": Range(low=0, high=1), "scale": Choices(choices=(1, 2, 3)), "y": Range(low=0, high=1)}
    assert coordinate_groups(space) == (0, 1, 1, 1, 2)


def test_constraints_are_modelled_by_their_own_values() -> None:
    trials = [_trial(i, i / 9, 0.5, violation=i / 9 - 0.5) for i in range(9)]
    found = Evidence(SPACE, _cells(trials), GOAL).violations("many.min")
    assert found.values == pytest.approx([0.5 - i / 9 for i in range(9)])
