from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from study.search.ratio_response import SearchedCell, has_responses, ratio_responses
from study.store.study_view import open_view
from tests.study.made_study import MadeStudy
from tests.study.ratio_study import RATIOS, ratio_study, value_at


def _searched(made: MadeStudy) -> list[SearchedCell]:
    return [(cell.cell, cell.frozen) for cell in open_view(made.folder).cells]


def test_the_best_value_follows_the_ratio_inside_its_band(tmp_path: Path) -> None:
    made = ratio_study(tmp_path, 5)
    assert has_responses(made.spec, _searched(made))
    (response,) = ratio_responses(made.spec, _searched(made))  # ERM has nothing to search
    assert (response.method, response.dataset, response.trials) == ("cce", "digits", 5 * len(RATIOS))
    assert (response.profile_kind, response.task) == ("long_tail", "digits/long_tail-last")
    assert response.ratios[0] == 10 and response.ratios[-1] == pytest.approx(100)
    assert all(later < before for before, later in zip(response.mean[:-1], response.mean[1:], strict=True))
    assert {*RATIOS} <= {*response.ratios} and list(response.ratios) == sorted({*response.ratios})
    best = {ratio: max(value_at(ratio, 0), 0) for ratio in (10, 30, 100)}
    for ratio, value in best.items():
        index = min(range(len(response.ratios)), key=lambda i: abs(math.log(response.ratios[i] / ratio)))
        assert response.low[index] < value < response.high[index] + 0.05
        assert response.mean[index] == pytest.approx(value, abs=0.05)
        assert value_at(ratio, response.settings[index]["gamma"]) == pytest.approx(value, abs=0.05)
    assert all(
        0 <= low <= mean <= high <= 1
        for low, mean, high in zip(response.low, response.mean, response.high, strict=True)
    )


@pytest.mark.parametrize(
    ("trials", "ratios", "metrics"),
    [(1, RATIOS, 1), (9, (10,), 1), (3, RATIOS, 2)],
    ids=["too few trials", "one ratio", "two metrics"],
)
def test_no_model_is_made_of(tmp_path: Path, trials: int, ratios: tuple[int, ...], metrics: int) -> None:
    made = ratio_study(tmp_path, trials, ratios, metric=["balanced_accuracy", "geometric_mean"][:metrics])
    assert not has_responses(made.spec, _searched(made))
    assert ratio_responses(made.spec, _searched(made)) == []


def _train(made: MadeStudy, trials: int, metrics: Callable[[float, float], dict[str, float]]) -> None:
    """Complete trials of every cell; ``metrics`` are those of a ratio and a gamma, as its place between 0 and 1."""
    for cell in made.ledger.cells.values():
        for _ in range(trials):
            trial = cell.ask()
            place = trial.cell.space["gamma"].to_unit(trial.params["gamma"])
            made.train(trial, range(1, 2), **metrics(trial.cell.ratio, place))
            record = made.files(trial).history()[-1]
            cell.note_end(trial.number, record, {})
            cell.complete(trial.number, record["balanced_accuracy"])


def test_it_stays_in_the_range_of_the_metric(tmp_path: Path) -> None:
    made = ratio_study(tmp_path, 5, (2, 20), made=0)
    _train(made, 5, lambda ratio, place: {"balanced_accuracy": min(1.0, 1.01 - 0.1 * place - 0.005 * (ratio > 2))})
    (response,) = ratio_responses(made.spec, _searched(made))
    assert all(
        0 <= low <= mean <= high <= 1
        for low, mean, high in zip(response.low, response.mean, response.high, strict=True)
    )


def test_settings_that_break_a_constraint_are_left_out(tmp_path: Path) -> None:
    def metrics(ratio: float, place: float) -> dict[str, float]:
        return {"balanced_accuracy": 0.9 - 0.1 * math.log10(ratio) - 0.2 * place, "accuracy": 0.9 - 0.8 * place}

    spaces = {"free": {}, "bound": {"constraints": {"accuracy": {"max": 0.5}}}}  # from place .5 on
    found = {}
    for name, changes in spaces.items():
        made = ratio_study(tmp_path / name, 12, (10, 100), made=0, searcher="qmc", **changes)
        _train(made, 12, metrics)
        (found[name],) = ratio_responses(made.spec, _searched(made))
    assert found["free"].mean[0] > 0.78
    assert found["bound"].mean[0] < 0.8 - 0.2 * 0.45
    never = ratio_study(tmp_path / "never", 12, (10, 100), made=0, constraints={"accuracy": {"max": 0.1}})
    _train(never, 12, lambda ratio, place: metrics(ratio, place) | {"accuracy": 0.5})
    assert ratio_responses(never.spec, _searched(never)) == []


@pytest.mark.parametrize("failed", [30, 100])
def test_a_ratio_where_all_trials_failed_has_no_result_and_bends_nothing(tmp_path: Path, failed: int) -> None:
    made = ratio_study(tmp_path, 8, (10, 30, 100), made=0)
    for cell in made.ledger.cells.values():
        for _ in range(8):
            trial = cell.ask()
            ratio = trial.cell.ratio
            if ratio == failed:
                cell.fail(trial.number, "diverged")
                continue
            made.train(trial, range(1, 2), balanced_accuracy=value_at(ratio, float(trial.params["gamma"])))
            made.end(trial)
    (response,) = ratio_responses(made.spec, _searched(made))
    assert response.ratios[-1] == pytest.approx(30 if failed == 100 else 100)
    middle = len(response.ratios) // 2
    assert response.mean[middle] == pytest.approx(value_at(response.ratios[middle], 0), abs=0.05)
