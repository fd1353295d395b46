"""The page of a cross-validation: means over the folds of one setting, and no test of them."""

from __future__ import annotations

import re
import statistics

import numpy as np
import pytest

from study.report.cross_validation import folded_settings
from study.report.html.class_results import class_results_of
from study.report.html.page import Page
from study.report.html.results import Place, Results, results_of
from study.store.study_view import CellView, StudyView
from tests.study.report.html.conftest import MakeView
from tests.study.report.html.test_page import checked

FOLDS = 3


@pytest.fixture
def view(make_view: MakeView) -> StudyView:
    """Two methods at two ratios in three folds, of which only the preset is common to all."""
    data = [{"dataset": "digits", "folds": FOLDS, "profiles": [{"kind": "long_tail", "ratio": [10, 100]}]}]
    return make_view(data=data)


def _setting(place: Place, method: str) -> list[dict[str, float]]:
    """Return the last epoch results of the best setting, per fold, read independently of the page."""
    cells: tuple[CellView, ...] = place.cells[method]
    assert len(cells) == FOLDS
    (best, *_) = folded_settings(cells)
    return [next(t for t in cell.trials if t.params == best.params and t.values).result() for cell in cells]


@pytest.mark.parametrize("metric", ["balanced_accuracy", "worst_recall"])
def test_values_are_means_over_the_folds_of_the_best_common_setting(metric: str, view: StudyView) -> None:
    results = results_of(view, metric=metric)
    assert results.over == "folds" and [place.ratio for place in results.places] == [10, 100]
    for place in results.places:
        for method in ("erm", "cce"):
            values = [one[metric] for one in _setting(place, method)]
            assert list(place.scores[method].values.values()) == pytest.approx(values)
            assert place.scores[method].mean == pytest.approx(statistics.fmean(values))


def test_recall_per_class_is_that_of_the_same_trials(view: StudyView) -> None:
    results: Results = results_of(view)
    place = results.places[1]
    found = class_results_of(results, place)
    assert found is not None
    for method in ("erm", "cce"):
        assert found.recall[method].shape == (FOLDS, 10)
        expected = [one["balanced_accuracy"] for one in _setting(place, method)]
        assert found.recall[method].mean(axis=1) == pytest.approx(np.array(expected))


def test_no_test_is_made_and_every_section_speaks_of_folds(view: StudyView) -> None:
    page = Page(results_of(view))
    html = page.html()
    checked(html)
    assert all(verdict.p == "" and verdict.sentence.endswith("; not tested.") for verdict in page.verdicts)
    assert len(page.verdicts) == 2
    assert "≈" not in html and "Bonferroni" not in html and "common seeds" not in html
    assert "no significance test is made; no test image was read" in html
    text = " ".join(re.sub(r"<[^>]+>", " ", html).split())
    assert "Lines: mean over folds; bands: one standard deviation" in text
    assert "±: standard deviation over folds" in text
    assert "its recall, mean over the folds" in text
    assert "No best params: every fold of the cross-validation has a search of its own" in text
    assert re.search(rf"cce, ratio 100: \d+\.\d ± \d+\.\d \({FOLDS} folds\)", html)
    assert "fold1of3" not in text.split("8 Search")[0].split("5 Best params")[0]
