"""The whole page of synthetic studies: its parts, its honesty, its files."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from study.cli.app import app
from study.report.html.page import Page, write_page
from study.report.html.results import results_of
from study.store.study_view import StudyView
from tests.study.made_study import MadeStudy, spec_of
from tests.study.report.html.conftest import MakeView
from trainables.core.errors import BadInput

VOID = {"meta", "br", "line", "circle", "rect", "path", "use", "image", "stop"}


class Checker(HTMLParser):
    """Collects ids, links, headings and unbalanced tags."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids += [str(found["id"])] if "id" in found else []
        for name in ("src", "href"):
            target = found.get(name) or found.get(f"xlink:{name}") or "#"
            self.outside += [] if target.startswith(("#", "data:")) else [target]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def checked(html: str) -> Checker:
    found = Checker()
    found.feed(html)
    assert found.open == []
    assert found.outside == [], "the page must open offline"
    assert len(found.ids) == len(set(found.ids)), [name for name in found.ids if found.ids.count(name) > 1][:5]
    return found


def page_of(view: StudyView) -> str:
    return Page(results_of(view)).html()


def test_a_confirmed_study_shows_test_images_in_every_title_of_results(make_view: MakeView) -> None:
    html = page_of(make_view(seeds=2, trials=9))
    checked(html)
    assert "confirmed, test images" in html
    assert "Does &lt;b&gt;CCE&lt;/b&gt; help?" in html
    headings = re.findall(r"<h2>(.*?)</h2>", html)
    assert [heading.split()[0] for heading in headings] == [str(number) for number in range(1, 11)]
    assert all("images" in heading for heading in headings[:8])
    captions = re.findall(r'aria-label="([^"]*)"', html)
    pictures = [caption for caption in captions if caption != "methods"]
    assert len(pictures) > 8
    assert all("test images" in caption or "validation images" in caption for caption in pictures)
    assert "with fewer than 5" in html.lower()


def test_an_unconfirmed_study_speaks_of_validation_images_alone(make_view: MakeView) -> None:
    html = page_of(make_view())
    checked(html)
    assert "not confirmed, validation images" in html
    titles = [*re.findall(r"<h[1-3]>(.*?)</h[1-3]>", html), *re.findall(r'aria-label="([^"]*)"', html)]
    assert not [title for title in titles if "test images" in title]
    assert "study resume made --set confirm.seeds=5" in html


def test_hover_texts_and_marks_stand_in_the_drawings(make_view: MakeView) -> None:
    html = page_of(make_view(seeds=2))
    assert re.search(r"<title>cce, ratio 100: \d+\.\d ± \d+\.\d \(2 seeds\)</title>", html)
    assert 'data-m="0"' in html and 'data-m="1"' in html


def test_many_methods_keep_a_style_of_their_own_or_are_grey(make_view: MakeView) -> None:
    from trainables.methods.registry import METHODS

    methods = [name for name in METHODS if not name.startswith("m2m")][:20]
    page = Page(results_of(make_view(ratios=(100,), trials=1, methods=methods)))
    shown = [style for style in page.styles.values() if style.shown]
    assert 13 <= len(shown) <= 14
    assert len({(style.colour, style.marker, style.dash) for style in shown}) == len(shown)
    assert len({(style.colour, style.dash) for style in shown}) == len(shown)


def test_five_places_have_a_critical_difference_and_two_have_none(make_view: MakeView) -> None:
    assert "No critical-difference diagram" in page_of(make_view(trials=1))


def test_failed_and_interrupted_trials_are_counted(tmp_path: Path) -> None:
    made = MadeStudy(tmp_path / "runs", spec_of(confirm={"seeds": 3}))
    made.complete("erm")
    made.prune("cce", epochs=2)
    made.fail("NonFiniteLoss: step 3", "cce")
    made.fail("NonFiniteLoss: step 14", "cce")
    made.train(made.start("erm"), range(1, 3))
    result = CliRunner().invoke(
        app, ["report", "made", "--storage", str(tmp_path / "runs"), "--html", str(tmp_path / "p.html")]
    )
    assert result.exit_code == 0, result.output
    html = (tmp_path / "p.html").read_text()
    checked(html)
    assert "The study is interrupted" in html
    assert "NonFiniteLoss: step #" in html
    assert "Not confirmed" in html
    assert (
        "with the --storage of this study: study resume made</li>" in html
    )  # the file already asks for a confirmation


def test_a_study_without_a_result_has_a_page_too(tmp_path: Path) -> None:
    made = MadeStudy(tmp_path / "runs")
    made.fail("no memory", "cce")
    from study.store.study_view import open_view

    html = page_of(open_view(made.folder))
    checked(html)
    assert "No result yet: no trial is complete (1 failed)." in html


def test_pictures_are_written_as_svg_and_pdf(make_view: MakeView, tmp_path: Path) -> None:
    view = make_view(ratios=(100,), trials=2)
    folder = tmp_path / "figures"
    assert write_page(view, html=None, figures=folder) == [folder]
    names = {path.stem for path in folder.iterdir()}
    assert {path.suffix for path in folder.iterdir()} == {".svg", ".pdf"}
    assert {"ratio-0", "classes-0", "confusion-0", "progress-0"} <= names
    assert "validation images" in (folder / "ratio-0.svg").read_text()


def test_bad_paths_and_names_are_refused(make_view: MakeView, tmp_path: Path) -> None:
    view = make_view(ratios=(100,), trials=1)
    with pytest.raises(BadInput, match=r"--html .*page\.pdf: must end in \.html"):
        write_page(view, html=tmp_path / "page.pdf", figures=None)
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"--figures .*file: cannot be written"):
        write_page(view, html=None, figures=tmp_path / "file")
    with pytest.raises(BadInput, match=r"--html .*: cannot be written"):
        write_page(view, html=tmp_path / "file" / "p.html", figures=None)
    with pytest.raises(BadInput, match="cce"):
        write_page(view, html=tmp_path / "p.html", figures=None, baseline="cc")
