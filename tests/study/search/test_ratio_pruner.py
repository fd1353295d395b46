from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from search_spaces import Range, Space, distributions_of
from study.search.pruners import build_pruner, first_decision
from study.search.ratio_pruner import RatioPruner, decision_epochs
from study.search.sampler_factory import MethodTrials
from study.spec.search_spec import PrunerSpec
from study.spec.search_tables import CellTrials

SPACE: Space = {"x": Range(low=0, high=1)}
RATIOS = (10.0, 50.0, 200.0)
EPOCHS = 8
Curve = Callable[[float, float, int], float]
"""Value of a setting at a ratio after an epoch."""


def _end(x: float, ratio: float) -> float:
    return 0.9 - 0.1 * math.log10(ratio) - (x - 0.5) ** 2


def _learning(x: float, ratio: float, epoch: int) -> float:
    return _end(x, ratio) - 0.3 * (math.exp(-3 * epoch / EPOCHS) - math.exp(-3)) / (1 - math.exp(-3))


def _trial(number: int, x: float, ratio: float, curve: Curve, epochs: int, sign: int) -> FrozenTrial:
    """Return a trial that trained some epochs; one that trained all is complete, another one runs."""
    state = TrialState.COMPLETE if epochs == EPOCHS else TrialState.RUNNING
    values = {epoch: sign * curve(x, ratio, epoch) for epoch in range(1, epochs + 1)}
    trial = create_trial(
        params={"x": x},
        distributions=distributions_of(SPACE),
        value=values[EPOCHS] if state == TrialState.COMPLETE else None,
        state=state,
        intermediate_values=values,
        user_attrs={"params": {"x": x}},
    )
    trial.number = number
    if state == TrialState.COMPLETE:
        trial.datetime_complete = datetime(2026, 1, 1) + timedelta(seconds=100 * number + ratio)
    return trial


class _Method:
    """A method's cells with complete trials at these settings, each curve a function of setting, ratio and epoch."""

    def __init__(
        self,
        settings: dict[float, tuple[float, ...]],
        *,
        curve: Curve = _learning,
        maximize: bool = True,
        earlier_epochs: int = 0,
    ) -> None:
        self.curve, self.sign, self.earlier = curve, 1 if maximize else -1, earlier_epochs
        self.study = optuna.create_study(direction="maximize" if maximize else "minimize")
        self.cells = [
            CellTrials(
                f"{ratio:g}", "digits", ratio, [self.trial(n, x, ratio, EPOCHS) for n, x in enumerate(settings[ratio])]
            )
            for ratio in RATIOS
        ]

    def trial(self, number: int, x: float, ratio: float, epochs: int) -> FrozenTrial:
        return _trial(number, x, ratio, self.curve, epochs, self.sign)

    def pruner(self, ratio: float, **spec: float) -> RatioPruner:
        method = MethodTrials(f"{ratio:g}", epochs=EPOCHS, earlier_epochs=self.earlier, trials=lambda: self.cells)
        made = build_pruner(PrunerSpec(name="ratio-gp", **spec), self.earlier, EPOCHS, SPACE, method)
        assert isinstance(made, RatioPruner)
        return made

    def stopped_after(self, x: float, ratio: float, **spec: float) -> int | None:
        """Return the epoch after which a new trial is stopped, or None."""
        pruner = self.pruner(ratio, **spec)
        for epoch in range(1, EPOCHS):
            if pruner.prune(self.study, self.trial(99, x, ratio, epoch)):
                return epoch
        return None


EVENLY = dict.fromkeys(RATIOS, (0.1, 0.35, 0.6, 0.9))


def test_decisions_begin_at_the_first_one_and_end_before_the_last_epoch() -> None:
    assert decision_epochs(1, 8) == (1, 2, 3, 5)
    assert decision_epochs(4, 12) == (4, 6, 9)
    assert decision_epochs(1, 1) == ()


@pytest.mark.parametrize("maximize", [True, False])
def test_it_stops_poor_settings_at_once_and_never_the_best(maximize: bool) -> None:
    method = _Method(EVENLY, maximize=maximize)
    for ratio in RATIOS:
        assert method.stopped_after(0.02, ratio) == 1
        assert method.stopped_after(0.98, ratio) == 1
        assert method.stopped_after(0.5, ratio) is None


def test_a_curve_that_disappoints_stops_a_setting_that_looked_good() -> None:
    method = _Method(EVENLY)
    expected = method.curve

    def worse(x: float, ratio: float, epoch: int) -> float:
        return expected(x, ratio, epoch) - 0.04 * epoch

    assert method.stopped_after(0.5, 50.0) is None
    method.curve = worse
    assert method.stopped_after(0.5, 50.0) in (1, 2, 3)


def test_other_ratios_tell_what_is_poor_before_the_cell_knows() -> None:
    method = _Method({10.0: (0.1, 0.35, 0.6, 0.9), 50.0: (0.5,), 200.0: (0.1, 0.35, 0.6, 0.9)})
    assert method.stopped_after(0.98, 50.0) == 1
    assert method.stopped_after(0.52, 50.0) is None


def test_it_stops_nothing_before_it_knows_enough() -> None:
    few = _Method({10.0: (0.5,), 50.0: (0.6,), 200.0: (0.4,)})
    assert few.stopped_after(0.0, 50.0) is None  # three complete trials, four are asked for
    assert few.pruner(50.0, startup_trials=3).chance(few.study, few.trial(99, 0.0, 50.0, 1)) is not None
    without = _Method({10.0: (0.1, 0.35, 0.6, 0.9), 50.0: (), 200.0: (0.1, 0.35, 0.6, 0.9)})
    assert without.stopped_after(0.98, 50.0) is None  # there is no best in the cell yet


def test_a_smaller_least_chance_stops_later() -> None:
    method = _Method(EVENLY)
    trial = method.trial(99, 0.25, 50.0, 1)
    chance = method.pruner(50.0).chance(method.study, trial)
    assert chance is not None and 0 < chance < 0.5
    assert method.pruner(50.0, least_chance=chance * 1.01).prune(method.study, trial)
    assert not method.pruner(50.0, least_chance=chance * 0.99).prune(method.study, trial)


def test_a_best_trial_that_violates_a_constraint_is_no_rival() -> None:
    method = _Method({10.0: (0.1, 0.3, 0.9), 50.0: (0.1, 0.5), 200.0: (0.1, 0.3, 0.9)})
    trial = method.trial(99, 0.25, 50.0, 1)
    before = method.pruner(50.0).chance(method.study, trial)
    method.cells[1].trials[1].set_constraint("many.min", 1.0)
    after = method.pruner(50.0).chance(method.study, trial)
    assert before is not None and after is not None
    assert before < 0.1 < 0.9 < after


def _another_loss_first(x: float, ratio: float, epoch: int) -> float:
    """A curve that is worst at the best setting before the last stage, which begins after six epochs."""
    return 0.4 - 0.2 * math.cos(40 * (x - 0.5)) if epoch <= 6 else _learning(x, ratio, epoch)


def test_before_the_last_stage_it_goes_by_what_is_expected_after_it() -> None:
    settings = dict.fromkeys(RATIOS, tuple(i / 9 for i in range(10)))
    method = _Method(settings, curve=_another_loss_first, earlier_epochs=6)
    assert method.stopped_after(0.5, 50.0) is None
    for x in (0.02, 0.98):
        stopped = method.stopped_after(x, 50.0)
        assert stopped is not None and stopped <= 6


def test_the_first_decision_does_not_wait_for_the_last_stage() -> None:
    assert first_decision(PrunerSpec(name="ratio-gp", warmup_epochs=2), 6) == 2
    assert first_decision(PrunerSpec(name="ratio-gp", patience=3), 6) == 7
    assert first_decision(PrunerSpec(name="median"), 6) == 7


def test_with_patience_it_spares_a_trial_that_still_improves() -> None:
    method = _Method(EVENLY)
    trials = MethodTrials("50", epochs=EPOCHS, trials=lambda: method.cells)
    pruner = build_pruner(PrunerSpec(name="ratio-gp", patience=2), 0, EPOCHS, SPACE, trials)
    assert method.stopped_after(0.02, 50.0) == 1
    assert not any(pruner.prune(method.study, method.trial(99, 0.02, 50.0, epoch)) for epoch in range(1, EPOCHS))
