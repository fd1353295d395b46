"""The answer in words, from made results."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from scipy.stats import ttest_rel

from study.report.html.findings import limits_of, overall_of, verdicts_of
from study.report.html.results import Place, Results, Score, leads_of
from study.report.significance import holm

SEEDS = range(5)
ERM = [0.70, 0.71, 0.69, 0.70, 0.72]
BETTER = [0.73, 0.75, 0.72, 0.73, 0.76]
SIMILAR = [0.70, 0.72, 0.68, 0.71, 0.71]
WORSE = [0.60, 0.62, 0.59, 0.60, 0.63]


def results(
    by_ratio: dict[float, dict[str, list[float]]], *, baseline: str | None = "erm", images: str = "test", **spec: Any
) -> Results:
    places = []
    for ratio, values in by_ratio.items():
        scores = {m: Score(m, dict(enumerate(own))) for m, own in values.items()}
        tested = images == "test" and baseline in scores
        tests = leads_of(scores.values(), scores[baseline or ""], True) if tested else []
        cells: Any = {method: () for method in values}
        places.append(Place("mnist", f"long_tail-{ratio:g}", "long_tail", ratio, cells, scores, True, tuple(tests)))
    methods = list(dict.fromkeys(method for values in by_ratio.values() for method in values))
    about: dict[str, Any] = {
        "name": "made",
        "confirm": None,
        "data": [],
        "search": SimpleNamespace(metrics=("balanced_accuracy",)),
    }
    view: Any = SimpleNamespace(
        spec=SimpleNamespace(**(about | spec)),
        state="finished",
        cells=[SimpleNamespace(cell=SimpleNamespace(method=method), confirming=()) for method in methods],
    )
    over = "seeds" if images == "test" else "trial"
    return Results(view, "balanced_accuracy", images, over, baseline, tuple(places))


def test_the_winner_is_named_with_its_lead_and_p_value() -> None:
    (verdict,) = verdicts_of(results({100: {"erm": ERM, "cce": SIMILAR, "bs": BETTER}}))
    p = holm([float(ttest_rel(SIMILAR, ERM).pvalue), float(ttest_rel(BETTER, ERM).pvalue)])[1]
    assert p is not None and p < 0.001
    assert verdict.sentence == (
        "At ratio 100, bs beats tuned erm in balanced accuracy by 3.4 ± 0.5 points (p < .001 after Holm over "
        "2 methods); no other method does."
    )
    assert (verdict.winner, verdict.lead, verdict.significant) == ("bs", "+3.4 ± 0.5 points", True)


def test_a_lead_within_noise_is_no_win() -> None:
    (verdict,) = verdicts_of(results({100: {"erm": ERM, "cce": SIMILAR, "bad": WORSE}}))
    assert "no method beats tuned erm significantly" in verdict.sentence
    assert "Significantly worse than erm: bad by 9.6" in verdict.sentence
    assert not verdict.significant


def test_without_a_baseline_the_best_is_compared_with_the_others() -> None:
    found = results({100: {"a": BETTER, "b": SIMILAR, "c": WORSE}}, baseline=None)
    (verdict,) = verdicts_of(found)
    assert verdict.sentence.startswith(
        "At ratio 100, a has the best mean balanced accuracy, 73.8, significantly better"
    )
    assert any("no ERM" in limit for limit in limits_of(found))


def test_one_seed_is_not_tested_and_few_seeds_are_named() -> None:
    one = results({100: {"erm": ERM[:1], "bs": BETTER[:1]}})
    assert "no test against erm is possible" in verdicts_of(one)[0].sentence
    assert any("rest on 1 seed." in limit for limit in limits_of(one))
    assert not any("little power" in limit for limit in limits_of(results({100: {"erm": ERM, "bs": BETTER}})))


@pytest.mark.parametrize(
    ("missing", "said"), [(1, "1 trial of the confirmation has"), (3, "3 trials of the confirmation have")]
)
def test_confirmation_trials_without_a_result_may_still_run(missing: int, said: str) -> None:
    found = results({100: {"erm": ERM, "bs": BETTER}})
    (place,) = found.places
    place.scores["bs"] = replace(place.scores["bs"], missing=missing)
    assert any(limit == f"{said} failed, or {said.split()[-1]} not ended yet." for limit in limits_of(found))


def test_an_unconfirmed_study_says_that_it_is_one() -> None:
    found = results({100: {"erm": ERM[:1], "bs": BETTER[:1]}}, images="validation")
    assert verdicts_of(found)[0].sentence == "At ratio 100, bs is best, +3.0 points against tuned erm; not tested."
    assert any(limit.startswith("Not confirmed") for limit in limits_of(found))
    assert overall_of(found) == ""


def test_wins_are_counted_over_the_ratios() -> None:
    found = results({10: {"erm": ERM, "bs": SIMILAR}, 100: {"erm": ERM, "bs": BETTER, "bad": WORSE}})
    assert overall_of(found) == (
        "bs beats tuned erm significantly at 1 of 2 ratios (100); significantly worse than erm: bad at 1 (100)."
    )


@pytest.mark.parametrize(("method", "mark"), [("bs", "best"), ("erm", "worse"), ("near", "level")])
def test_marks_of_the_table(method: str, mark: str) -> None:
    near = [value + shift for value, shift in zip(BETTER, (-0.02, 0.015, -0.01, 0.005, -0.005), strict=True)]
    (place,) = results({100: {"erm": ERM, "near": near, "bs": BETTER}}).places
    assert place.marks(method) == mark
