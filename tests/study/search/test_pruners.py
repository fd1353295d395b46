from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from study.search.pruners import _Hyperband, build_pruner
from study.spec.search_spec import PrunerSpec

EPOCHS = 40
DIRECTIONS = {"maximize": 1, "minimize": -1}


def _study(curves: list[list[float]], direction: str = "maximize", ended: str = "COMPLETE") -> optuna.Study:
    """Return a study whose trials have the values of ``curves`` after epochs 1, 2, ..."""
    study = optuna.create_study(direction=direction)
    for curve in curves:
        _add(study, curve, TrialState[ended])
    return study


def _add(study: optuna.Study, curve: list[float], state: TrialState) -> None:
    values = {epoch: DIRECTIONS[study.direction.name.lower()] * value for epoch, value in enumerate(curve, 1)}
    value = values[len(curve)] if state == TrialState.COMPLETE else None
    study.add_trial(optuna.trial.create_trial(state=state, value=value, intermediate_values=values))


def _pruned(study: optuna.Study, curve: list[float], pruning_start_epoch: int = 0, **spec: Any) -> bool:
    """Return True if a running trial with these values so far is pruned now."""
    _add(study, curve, TrialState.RUNNING)
    pruner = build_pruner(PrunerSpec(**spec), pruning_start_epoch, EPOCHS)
    return bool(pruner.prune(study, study.get_trials(deepcopy=False)[-1]))


FOUR = [[0.2] * 10, [0.4] * 10, [0.6] * 10, [0.8] * 10]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    ("spec", "curve", "stops"),
    [
        # median of 0.2, 0.4, 0.6, 0.8 is 0.5
        ({"name": "median"}, [0.49], True),
        ({"name": "median"}, [0.51], False),
        ({"name": "median"}, [0.9, 0.1], False),  # its best so far counts
        ({"name": "median"}, [0.1, 0.1, 0.1], True),
        ({"name": "median", "warmup_epochs": 3}, [0.1, 0.1], False),
        ({"name": "median", "warmup_epochs": 3}, [0.1, 0.1, 0.1], True),
        ({"name": "median", "startup_trials": 5}, [0.1], False),
        ({"name": "median", "startup_trials": 4}, [0.1], True),
        ({"name": "percentile", "percentile": 25.0}, [0.7], False),  # the best quarter begins at 0.65
        ({"name": "percentile", "percentile": 25.0}, [0.6], True),
        ({"name": "percentile", "percentile": 75.0}, [0.4], False),  # the best three quarters at 0.35
        ({"name": "percentile", "percentile": 75.0}, [0.3], True),
        ({"name": "none"}, [0.0] * 9, False),
    ],
)
def test_median_and_percentile(spec: dict[str, Any], curve: list[float], stops: bool, direction: str) -> None:
    assert _pruned(_study(FOUR, direction), [], **spec) is False
    assert _pruned(_study(FOUR, direction), curve, **spec) is stops


def test_trials_that_were_stopped_or_failed_are_not_compared_with() -> None:
    for ended in ("PRUNED", "FAIL"):
        assert not _pruned(_study(FOUR, ended=ended), [0.1], name="median", startup_trials=0)


@pytest.mark.parametrize("name", ["median", "percentile", "successive-halving"])
@pytest.mark.parametrize(
    ("epochs", "stops"),
    [(1, False), (7, False), (8, False), (9, False), (10, True)],  # the last stage is epochs 9 and on, warm-up 2
)
def test_nothing_is_decided_before_the_last_stage_and_its_warm_up(name: str, epochs: int, stops: bool) -> None:
    curve = [0.1] * epochs
    assert _pruned(_study(FOUR), curve, pruning_start_epoch=8, name=name, warmup_epochs=2) is stops


def test_values_of_an_earlier_stage_save_nobody() -> None:
    good_before_the_switch = [0.95] * 8 + [0.1]
    assert _pruned(_study(FOUR), good_before_the_switch, pruning_start_epoch=8, name="median")
    assert not _pruned(_study(FOUR), good_before_the_switch, pruning_start_epoch=0, name="median")


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    ("others", "own", "stops"),
    [
        ([], 0.1, False),  # the first trial at a rung continues
        ([0.5], 0.6, False),
        ([0.5], 0.4, True),  # of two, one goes on
        ([0.5, 0.4], 0.45, True),  # of three, the best third
        ([0.5, 0.4], 0.5, False),  # equal to the best
        ([0.9, 0.8, 0.3, 0.2, 0.1], 0.85, False),  # of six, the best two
        ([0.9, 0.8, 0.3, 0.2, 0.1], 0.5, True),
    ],
)
def test_successive_halving_at_its_first_rung(others: list[float], own: float, stops: bool, direction: str) -> None:
    study = _study([[value] for value in others], direction, ended="PRUNED")
    assert _pruned(study, [own], name="successive-halving", reduction_factor=3) is stops


@pytest.mark.parametrize(
    ("warmup", "factor", "rungs"), [(1, 3, [1, 3, 9, 27]), (2, 2, [2, 4, 8, 16, 32]), (4, 3, [4, 12]), (5, 4, [5, 20])]
)
@pytest.mark.parametrize("pruning_start_epoch", [0, 8])
def test_rungs_count_from_the_last_switch(warmup: int, factor: int, rungs: list[int], pruning_start_epoch: int) -> None:
    better = [[0.9] * 40]
    spec = {"name": "successive-halving", "warmup_epochs": warmup, "reduction_factor": factor}
    stops = [e for e in range(1, 36) if _pruned(_study(better), [0.1] * e, pruning_start_epoch, **spec)]
    assert stops == [pruning_start_epoch + rung for rung in rungs if pruning_start_epoch + rung < 36]


@pytest.mark.parametrize("name", ["median", "successive-halving"])
def test_judging_again_judges_the_same(name: str) -> None:
    study = _study(FOUR)
    _add(study, [0.1], TrialState.RUNNING)
    before = [trial.system_attrs for trial in study.get_trials(deepcopy=True)]
    for _ in range(3):
        pruner = build_pruner(PrunerSpec(name=name), 0, EPOCHS)
        assert pruner.prune(study, study.get_trials(deepcopy=False)[-1])
    assert [trial.system_attrs for trial in study.get_trials()] == before


def test_a_trial_without_values_goes_on() -> None:
    for name in ("none", "median", "percentile", "successive-halving", "hyperband"):
        assert not _pruned(_study(FOUR), [], name=name)
        assert not _pruned(_study(FOUR), [], name=name, patience=1)
    assert not _pruned(_study(FOUR), [], name="threshold", lower=0.5)


@pytest.mark.parametrize(
    ("bounds", "curve", "pruning_start_epoch", "stops"),
    [
        ({"lower": 0.3}, [0.29], 0, True),
        ({"lower": 0.3}, [0.3], 0, False),
        ({"upper": 0.3}, [0.31], 0, True),
        ({"upper": 0.3}, [0.3], 0, False),
        ({"lower": 0.1, "upper": 0.3}, [0.2], 0, False),
        ({"lower": 0.1, "upper": 0.3}, [0.4], 0, True),
        ({"lower": 0.3}, [0.1, 0.4], 0, False),  # the newest value counts
        ({"lower": 0.3, "warmup_epochs": 2}, [0.1], 0, False),
        ({"lower": 0.3, "warmup_epochs": 2}, [0.1, 0.1], 0, True),
        ({"lower": 0.3}, [0.1] * 8, 8, False),  # the last stage has not begun
        ({"lower": 0.3}, [0.1] * 9, 8, True),
    ],
)
def test_threshold(bounds: dict[str, Any], curve: list[float], pruning_start_epoch: int, stops: bool) -> None:
    assert _pruned(_study([]), curve, pruning_start_epoch, name="threshold", **bounds) is stops


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    ("spec", "curve", "stops"),
    [
        # alone: prunes a trial without improvement for this many epochs after its best
        ({"name": "none", "patience": 2}, [0.5, 0.4, 0.4], False),
        ({"name": "none", "patience": 2}, [0.5, 0.4, 0.4, 0.4], True),
        ({"name": "none", "patience": 2}, [0.5, 0.4, 0.4, 0.5], False),  # as good as its best
        ({"name": "none", "patience": 2, "min_delta": 0.2}, [0.5, 0.4, 0.4, 0.4], False),
        ({"name": "none", "patience": 1}, [0.1, 0.2, 0.3, 0.4], False),
        # around a pruner: prunes only what that pruner would, and only if it no longer improves
        ({"name": "median", "patience": 1}, [0.1, 0.2, 0.3], False),
        ({"name": "median", "patience": 1}, [0.3, 0.2, 0.1], True),
        ({"name": "median", "patience": 1}, [0.9, 0.8, 0.7], False),
        ({"name": "successive-halving", "patience": 1}, [0.1, 0.2, 0.3], False),
        ({"name": "successive-halving", "patience": 1}, [0.3, 0.2, 0.1], True),
        ({"name": "successive-halving", "patience": 1}, [0.3, 0.2, 0.1, 0.1], False),  # no rung
    ],
)
def test_patience(spec: dict[str, Any], curve: list[float], stops: bool, direction: str) -> None:
    assert _pruned(_study(FOUR, direction), curve, **spec) is stops


def test_patience_counts_from_the_last_switch() -> None:
    curve = [0.9] * 8 + [0.1, 0.2, 0.3, 0.4]
    assert not _pruned(_study([]), curve, pruning_start_epoch=8, name="none", patience=1)
    assert _pruned(_study([]), curve, pruning_start_epoch=0, name="none", patience=1)


@pytest.mark.parametrize(
    ("warmup", "factor", "pruning_start_epoch", "rungs"),
    [(1, 3, 0, [1, 3, 9, 27]), (4, 3, 0, [4, 12, 36]), (1, 3, 36, [1, 3]), (5, 2, 30, [5, 10]), (50, 3, 0, [50])],
)
def test_brackets_begin_at_the_rungs_that_the_last_stage_holds(
    warmup: int, factor: int, pruning_start_epoch: int, rungs: list[int]
) -> None:
    assert _Hyperband(pruning_start_epoch, warmup, factor, EPOCHS)._rungs == rungs


def test_brackets_are_as_likely_as_in_optuna() -> None:
    ours = _Hyperband(0, 1, 3, EPOCHS)
    theirs = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=EPOCHS, reduction_factor=3)
    study = optuna.create_study(study_name="s", direction="maximize")
    trial = optuna.trial.create_trial(value=0.0)
    theirs._try_initialization(study)
    assert ours._shares == theirs._trial_allocation_budgets
    for trial.number in range(60):
        assert ours.bracket(study, trial.number) == theirs._get_bracket_id(study, trial)


def test_hyperband_compares_inside_a_bracket_alone() -> None:
    study = optuna.create_study(study_name="s", direction="maximize")
    pruner = _Hyperband(0, 1, 3, EPOCHS)
    for _ in range(60):
        _add(study, [0.9] * 30, TrialState.COMPLETE)
    for _ in range(40):
        number = len(study.trials)
        own = pruner._rungs[pruner.bracket(study, number)]
        stops = []
        for epoch in range(1, 30):
            trial = optuna.trial.create_trial(
                state=TrialState.RUNNING, intermediate_values={e: 0.1 for e in range(1, epoch + 1)}
            )
            trial.number = number
            if pruner.prune(study, trial):
                stops.append(epoch)
        assert stops == [rung for rung in (1, 3, 9, 27) if rung >= own]
        _add(study, [0.1], TrialState.PRUNED)


def test_a_bracket_does_not_see_the_others() -> None:
    study = optuna.create_study(study_name="s", direction="maximize")
    pruner = _Hyperband(0, 1, 3, EPOCHS)
    numbers = {pruner.bracket(study, n): n for n in reversed(range(60))}
    for n in range(60):
        _add(study, [0.9] * 30 if pruner.bracket(study, n) == 1 else [], TrialState.PRUNED)
    for bracket, stops in ((0, False), (1, True)):
        trial = optuna.trial.create_trial(state=TrialState.RUNNING, intermediate_values={e: 0.1 for e in (1, 2, 3)})
        trial.number = numbers[bracket]
        assert pruner.prune(study, trial) is stops


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"name": "threshold"}, "`lower`, `upper` or both must be given"),
        ({"name": "threshold", "lower": 0.5, "upper": 0.5}, "`lower` must be < `upper`"),
        ({"name": "median", "patience": 0}, "greater than or equal to 1"),
        ({"name": "median", "min_delta": -1}, "greater than or equal to 0"),
        ({"name": "wilcoxon"}, "unknown pruner 'wilcoxon'. Allowed: hyperband, median"),
    ],
)
def test_what_a_pruner_cannot_be(spec: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        PrunerSpec(**spec)
