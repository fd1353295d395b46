"""Pages without a result: nothing has ended, the metric is undefined, or no setting has all its folds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from study.report.html.page import Page
from study.report.html.results import results_of
from study.store.study_view import StudyView, open_view
from tests.study.made_study import MadeStudy, spec_of
from tests.study.report.html.conftest import MakeView

FEW = "few is undefined; it is the mean recall of classes with fewer than 20 training images, and there are none."


def sections(view: StudyView, metric: str | None = None) -> dict[int, str]:
    """Return the text of every section of the page, without tags."""
    html = Page(results_of(view, metric=metric)).html()
    found = re.findall(r'<section id="s(\d+)">(.*?)</section>', html, flags=re.S)
    return {int(number): " ".join(re.sub(r"<[^>]+>", " ", text).split()) for number, text in found}


def made(tmp_path: Path, **changes: Any) -> MadeStudy:
    return MadeStudy(tmp_path / "runs", spec_of(**changes))


def test_a_study_that_has_not_begun_says_so_in_every_section_of_results(tmp_path: Path) -> None:
    said = sections(open_view(made(tmp_path, confirm={"seeds": 3}).folder))
    for number in (1, 2, 3, 4, 6, 7):
        assert "No result yet: no trial has begun." in said[number], number
    assert "No best params yet: no trial has begun." in said[5]
    assert "No best trial yet: no trial has begun." in said[8]
    assert "No method has a result to compare." in said[1]
    # no legend, table or explanation of what is not there
    assert "Each point" not in said[2] + said[4] and "Methods by their mean position" not in said[3]
    assert "No importance" not in said[8]
    assert "none began" in said[10]


def test_a_study_with_nothing_complete_counts_what_there_is(tmp_path: Path) -> None:
    study = made(tmp_path)
    study.train(study.start("erm"), range(1, 3))
    study.prune("cce")
    study.fail("no memory", "cce")
    said = sections(open_view(study.folder))
    for number in (1, 2, 3, 4, 5, 6, 7, 8):
        assert "no trial is complete (1 running or interrupted, 1 pruned, 1 failed)." in said[number], number


@pytest.mark.parametrize(("seeds", "images"), [(None, "validation"), (2, "test")])
def test_a_metric_that_is_undefined_everywhere_is_named_as_such(
    seeds: int | None, images: str, make_view: MakeView
) -> None:
    view = make_view(ratios=(2, 10), seeds=seeds)
    said = sections(view, "few")
    for number in (1, 2, 3, 6, 7):
        assert f"No result: {FEW}" in said[number], number
    assert "seeds" not in said[1].replace("over seeds", "") and "p:" not in said[1]
    # what does not depend on the metric stays
    assert f"digits long_tail-10, {images} images" in said[4] and "Each point is a class" in said[4]
    assert "best gamma" in said[5] and "balanced accuracy" in said[8]


def test_a_metric_that_is_undefined_at_one_ratio_keeps_the_others(make_view: MakeView) -> None:
    said = sections(make_view(ratios=(10, 100), seeds=3), "few")
    for number in (1, 2, 3):
        assert f"No result at ratio 10: {FEW}" in said[number], number
    assert "At ratio 100" in said[1] and "At ratio 10," not in said[1]
    assert "rest on 3 seeds" in said[1]
    assert "Of 2 ratios" not in said[1]


def test_a_metric_that_was_not_recorded_is_named_as_such(tmp_path: Path) -> None:
    study = made(tmp_path)
    study.complete("erm")
    said = sections(open_view(study.folder), "top_3")
    assert "No result: the complete trials have not recorded top 3." in said[1]
    assert "No data set" not in said[6] and "have not recorded top 3" in said[6]


def test_one_method_or_one_result_is_not_compared(tmp_path: Path) -> None:
    study = made(tmp_path)
    study.complete("erm")
    said = sections(open_view(study.folder))
    assert "At ratio 10 no two methods have a result to compare." in said[1]
    assert "No comparison: no data set and profile has two methods with a result." in said[6]
    alone = made(tmp_path / "alone", methods=["erm"])
    alone.complete("erm")
    said = sections(open_view(alone.folder))
    assert "No comparison: the study has one method." in said[6]
    assert "No best params: no param was searched." in said[5]


def test_folds_that_have_no_setting_in_common_have_no_result(tmp_path: Path) -> None:
    study = made(tmp_path, data=[{"dataset": "digits", "folds": 2, "profiles": [{"kind": "natural"}]}])
    cell = study.ledger.cells["digits/natural-fold1of2/erm"]
    trial = cell.ask()
    study.train(trial, range(1, 6))
    cell.note_end(trial.number, study.files(trial).history()[-1])
    study.end(trial)
    said = sections(open_view(study.folder))
    for number in (1, 2, 3, 4, 6, 7):
        assert "No result yet: no setting has a complete trial in every fold." in said[number], number
