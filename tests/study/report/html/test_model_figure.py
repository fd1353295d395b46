"""The figure of the page that shows what the best setting of a method is expected to reach at every ratio."""

from __future__ import annotations

from pathlib import Path

from study.report.html.page import write_page
from study.store.study_view import open_view
from tests.study.ratio_study import ratio_study


def test_the_page_shows_the_model_with_its_best_trials(tmp_path: Path) -> None:
    made = ratio_study(tmp_path, 5)
    write_page(open_view(made.folder), html=tmp_path / "page.html", figures=None)
    page = (tmp_path / "page.html").read_text()
    assert "The best setting of the search at every ratio, validation images" in page
    assert "cce, ratio 100: best trial" in page
