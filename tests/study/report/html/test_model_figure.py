"""The figure of the page that shows what the best setting of a method is expected to reach at every ratio."""

from __future__ import annotations

import re
from pathlib import Path

from study.report.html.page import write_page
from study.search.ratio_response import ratio_responses
from study.search.trial_params import params_text
from study.store.study_view import open_view
from tests.study.ratio_study import RATIOS, ratio_study


def test_the_page_shows_the_model_with_its_best_trials(tmp_path: Path) -> None:
    made = ratio_study(tmp_path, 5)
    write_page(open_view(made.folder), html=tmp_path / "page.html", figures=None)
    page = (tmp_path / "page.html").read_text()
    assert "The best setting of the search at every ratio, validation images" in page
    assert "cce, ratio 100: best trial" in page
    assert "the setting behind the line" in page and "No line:" not in page
    (response,) = ratio_responses(made.spec, [(cell.cell, cell.frozen) for cell in open_view(made.folder).cells])
    rows = re.findall(r'<td class="text values">(gamma=\S+) <span class="soft nobreak">(\S+) \[', page)
    ends = {at: response.ratios.index(at) for at in RATIOS}
    assert rows == [(params_text(response.settings[at]), f"{100 * response.mean[at]:.1f}") for at in ends.values()]


def test_without_any_line_it_says_why(tmp_path: Path) -> None:
    for name, ratios, said in (("few", (10, 100), 1), ("one", (10,), 0)):
        made = ratio_study(tmp_path / name, 2, ratios)
        write_page(open_view(made.folder), html=tmp_path / f"{name}.html", figures=None)
        why = "No method has an expected value at every ratio: that needs searched params, and 8 complete trials at two"
        assert (tmp_path / f"{name}.html").read_text().count(why) == said


def test_a_method_without_a_line_is_named(tmp_path: Path) -> None:
    made = ratio_study(tmp_path, 5, methods=("cce", "erm"))
    write_page(open_view(made.folder), html=tmp_path / "page.html", figures=None)
    assert "No line: erm; a line needs searched params, and 8 complete trials" in (tmp_path / "page.html").read_text()
