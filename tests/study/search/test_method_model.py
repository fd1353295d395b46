from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from search_spaces import Range, Space, distributions_of
from study.search.method_model import MethodModel, NothingToFit, constraint_models, fit_size
from study.search.ratio_evidence import Evidence, Goal
from study.spec.search_tables import CellTrials

SPACE: Space = {"x": Range(low=0, high=1)}
RATIOS = (10.0, 50.0, 200.0)


def _height(x: float, ratio: float) -> float:
    return 0.9 - 0.1 * math.log10(ratio) - (x - 0.5) ** 2 / 4


def _trial(x: float, value: float, *, pruned_after: int | None = None, maximize: bool = True) -> FrozenTrial:
    sign = 1 if maximize else -1
    curve = {epoch: sign * (value - 0.1 * (4 - epoch)) for epoch in range(1, 5)}
    return create_trial(
        params={"x": x},
        distributions=distributions_of(SPACE),
        value=sign * value if pruned_after is None else None,
        state=TrialState.COMPLETE if pruned_after is None else TrialState.PRUNED,
        intermediate_values={e: v for e, v in curve.items() if e <= (pruned_after or 4)},
    )


def _evidence(*, maximize: bool = True, points: Sequence[float] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)) -> Evidence:
    cells = [
        CellTrials(
            f"{ratio:g}",
            "digits",
            ratio,
            [_trial(x, _height(x, ratio), pruned_after=2 if x == 0.8 else None, maximize=maximize) for x in points],
        )
        for ratio in RATIOS
    ]
    for cell in cells:
        for number, trial in enumerate(cell.trials):
            trial.number = number
    return Evidence(SPACE, cells, Goal(maximize, epochs=4))


@pytest.mark.parametrize("maximize", [True, False])
def test_it_says_what_a_setting_reaches_in_a_cell_in_the_metrics_own_unit(maximize: bool) -> None:
    model, sign = MethodModel(_evidence(maximize=maximize)), 1 if maximize else -1
    for ratio in RATIOS:
        mean, deviation = model.expect([{"x": 0.5}, {"x": 0.1}], f"{ratio:g}")
        assert sign * mean == pytest.approx([_height(0.5, ratio), _height(0.1, ratio)], abs=0.01)
        assert (deviation > 0).all() and (deviation < 0.05).all()
    early, _ = model.expect([{"x": 0.5}], "50", share=0.5)
    assert sign * early[0] == pytest.approx(_height(0.5, 50) - 0.2, abs=0.03)


def test_it_says_what_a_setting_would_reach_at_a_ratio_that_was_not_trained() -> None:
    model = MethodModel(_evidence())
    mean, deviation = model.expect_at([{"x": 0.5}, {"x": 0.2}], 100.0, "digits")
    assert mean == pytest.approx([_height(0.5, 100), _height(0.2, 100)], abs=0.02)
    assert (deviation >= model.expect([{"x": 0.5}, {"x": 0.2}], "50")[1]).all()


def test_hyperparameters_are_fitted_to_ever_more_of_the_first_trials() -> None:
    sizes = [fit_size(ended) for ended in range(1, 400)]
    assert sizes == sorted(sizes)
    assert all(size <= ended < 1.6 * size + 1 for ended, size in enumerate(sizes, start=1))
    assert len(set(sizes[8:])) < 12


def test_what_was_fitted_before_changes_nothing() -> None:
    asked = [{"x": 0.3}, {"x": 0.9}]
    first = MethodModel(_evidence()).expect(asked, "50")
    MethodModel(_evidence(points=(0.1, 0.5, 0.9)))
    again = MethodModel(_evidence()).expect(asked, "50")
    assert (np.array(first) == np.array(again)).all()


@pytest.mark.parametrize("points", [(), (0.5,)])
def test_no_or_equal_values_give_no_model(points: Sequence[float]) -> None:
    evidence = _evidence(points=points)
    equal = [
        CellTrials(cell.name, cell.task, cell.ratio, [_trial(0.1 * i, 0.5) for i in range(5)])
        for cell in evidence.cells
    ]
    for nothing in (Evidence(SPACE, equal, Goal(True)), _evidence(points=())):
        with pytest.raises(NothingToFit):
            MethodModel(nothing)


def test_a_constraint_is_modelled_as_soon_as_trials_differ_in_it() -> None:
    # fit_size(20) trials, the first 18, break it alike: the fit after the next is at 27 trials
    trials = [_trial(index / 20, 0.5 + index / 100) for index in range(20)]
    for number, trial in enumerate(trials):
        trial.number = number
        trial.set_constraint("few.min", 0.1 if number < 18 else -0.2)
    evidence = Evidence(SPACE, [CellTrials("10", "digits", 10.0, trials)], Goal(True, epochs=4))
    assert fit_size(20) <= 18
    (model,) = constraint_models(evidence)
    mean, _ = model.expect([{"x": 0.95}, {"x": 0.1}], "10")
    assert mean[0] > 0 > mean[1]
