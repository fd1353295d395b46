from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from study.replay.recorded_curves import read_surrogates
from study.replay.replay_outcome import CellOutcome, estimate, in_all, outcomes, over_seeds
from study.replay.simulator import simulate
from study.store.study_view import open_view
from tests.study.replay.conftest import EPOCHS, Recorded

ONE = CellOutcome(10, 4, 0, 30, 20, 0.8, 0.02, 2, 7, 1)


def test_measures_of_a_replay_are_those_of_its_ledger(recorded: Callable[..., Recorded]) -> None:
    made = recorded()
    spec = made.folder.read_spec(("search.pruner=median",))
    landscapes = read_surrogates(open_view(made.folder), spec)
    done = simulate(spec, landscapes)
    ((name, found),) = outcomes(done, landscapes, tolerance=0.005).items()
    (cell,) = done.ledger.cells.values()
    assert (found.trials, found.pruned, found.failed) == (25, cell.state_counts()["PRUNED"], 0)
    assert found.epochs_trained + found.epochs_saved == 25 * EPOCHS
    chosen = cell.best()
    assert chosen is not None
    assert found.best_found == done.truth[f"{name}/{chosen.number:05d}"]
    assert found.regret == pytest.approx(landscapes[name]["balanced_accuracy"].best(maximize=True) - found.best_found)
    assert found.rank == 1 + sum(value > found.best_found for value in done.truth.values())
    near = [n for n, value in enumerate(done.truth.values(), 1) if value >= found.best_found + found.regret - 0.005]
    assert found.trials_until == min(near)
    assert found.reached == 1


def test_what_is_never_reached_counts_as_the_budget(recorded: Callable[..., Recorded]) -> None:
    made = recorded()
    spec = made.folder.read_spec(("search.trials=1",))
    landscapes = read_surrogates(open_view(made.folder), spec)
    (found,) = outcomes(simulate(spec, landscapes), landscapes, tolerance=0.0).values()
    assert (found.trials_until, found.reached) == (1, 0)


def test_a_smaller_loss_is_better(recorded: Callable[..., Recorded]) -> None:
    made = recorded()
    spec = made.folder.read_spec(("search.metric=loss",))
    landscapes = read_surrogates(open_view(made.folder), spec)
    (found,) = outcomes(simulate(spec, landscapes), landscapes, tolerance=0.005).values()
    assert found.rank == 1
    assert found.regret == pytest.approx(0, abs=0.01)


def test_intervals_are_students() -> None:
    found = estimate([1.0, 2.0, math.nan, 3.0])
    assert (found.mean, found.low, found.high) == pytest.approx((2.0, -0.4841, 4.4841), abs=1e-3)
    assert estimate([1.0]).low is None
    assert estimate([math.nan]).mean is None


def test_costs_are_summed_over_cells_and_the_rest_is_averaged() -> None:
    lost = replace(ONE, best_found=math.nan, regret=math.nan, rank=math.nan)
    replays = [{"a": ONE, "b": replace(ONE, regret=0.04)}, {"a": ONE, "b": lost}]
    found = in_all(replays)
    assert found["epochs_trained"].mean == 60
    assert found["regret"].mean == pytest.approx((0.03 + 0.02) / 2)
    assert over_seeds(replays, "b")["regret"].mean == 0.04
