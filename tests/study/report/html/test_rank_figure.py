"""The critical-difference diagram against the worked example of Demsar, 2006, section 3.2.4 and figure 1 (a)."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from study.report.html.picture import Picture, drawing
from study.report.html.result_figures import rank_figure
from study.report.ranks import Ranks, critical_difference, ranks_of
from study.tracking.plots.palette import Style
from tests.study.report.test_ranks import AUC, METHODS

BAR = "#555555"
STYLES = {name: Style(name, place, f"#00000{place}", "o", ()) for place, name in enumerate(METHODS)}


def _drawn(ranks: Ranks) -> tuple[Picture, Any]:
    with drawing():
        picture = rank_figure(ranks, STYLES, "test", "ranks")
        picture.figure.canvas.draw()
    (axes,) = picture.figure.axes
    return picture, axes


def _bars(axes: Any) -> list[tuple[float, float]]:
    return [tuple(line.get_xdata()) for line in axes.lines if line.get_color() == BAR]


def _ranks(level: float) -> Ranks:
    found = ranks_of(METHODS, AUC, maximize=True)
    return dataclasses.replace(found, critical=critical_difference(4, 14, level))


def test_marks_stand_at_the_mean_ranks_on_a_linear_axis() -> None:
    ranks = _ranks(0.05)
    _, axes = _drawn(ranks)
    assert axes.get_xscale() == "linear" and not axes.xaxis_inverted()
    marks = {line.get_color(): line.get_xdata()[:2] for line in axes.lines if len(line.get_xdata()) == 3}
    expected = dict(zip(ranks.methods, ranks.mean, strict=True))
    assert len(marks) == 4
    for name, style in STYLES.items():
        assert list(marks[style.colour]) == [expected[name]] * 2
    assert [round(expected[name], 3) for name in METHODS] == [3.143, 2.0, 2.893, 1.964]
    ticks = {text.get_text(): text.get_position()[0] for text in axes.texts if text.get_text().isdigit()}
    assert ticks == {"1": 1, "2": 2, "3": 3, "4": 4}
    # the pixel of a mark lies between those of the ticks as its rank does between their numbers
    pixel = {at: axes.transData.transform((at, 0))[0] for at in (1, 4, expected["C4.5"])}
    share = (pixel[expected["C4.5"]] - pixel[1]) / (pixel[4] - pixel[1])
    assert share == pytest.approx((expected["C4.5"] - 1) / 3)


def test_every_method_is_labelled_with_its_rank_on_its_own_side() -> None:
    _, axes = _drawn(_ranks(0.05))
    said = {text.get_text(): text.get_ha() for text in axes.texts}
    assert {name: said[name] for name in ("C4.5+m+cf 1.96", "C4.5+m 2.00", "C4.5+cf 2.89", "C4.5 3.14")} == {
        "C4.5+m+cf 1.96": "right",
        "C4.5+m 2.00": "right",
        "C4.5+cf 2.89": "left",
        "C4.5 3.14": "left",
    }


@pytest.mark.parametrize(
    ("level", "critical", "joined"),
    [
        # "not even the difference between the best and the worst is significant"
        (0.05, 1.25, [("C4.5+m+cf", "C4.5")]),
        # figure 1 (a): C4.5 is worse than C4.5+m and C4.5+m+cf; C4.5+cf may belong to either group
        (0.10, 1.12, [("C4.5+m+cf", "C4.5+cf"), ("C4.5+cf", "C4.5")]),
    ],
)
def test_bars_join_exactly_the_methods_within_the_critical_difference(
    level: float, critical: float, joined: list[tuple[str, str]]
) -> None:
    ranks = _ranks(level)
    _, axes = _drawn(ranks)
    mean = dict(zip(ranks.methods, ranks.mean, strict=True))
    bars = _bars(axes)
    assert len(bars) == len(joined)
    for (left, right), (first, last) in zip(bars, joined, strict=True):
        assert left == pytest.approx(mean[first], abs=0.03) and left <= mean[first]
        assert right == pytest.approx(mean[last], abs=0.03) and right >= mean[last]
        covered = {name for name, rank in mean.items() if left <= rank <= right}
        assert covered == {name for name, rank in mean.items() if mean[first] <= rank <= mean[last]}
    lengths = [line.get_xdata()[1] - line.get_xdata()[0] for line in axes.lines if list(line.get_ydata()) == [1.6, 1.6]]
    assert [round(float(length), 2) for length in lengths] == [critical]
    assert f"critical difference {critical:.2f}" in [text.get_text() for text in axes.texts]
    levels = [line.get_ydata()[0] for line in axes.lines if line.get_color() == BAR]
    assert len(set(levels)) == len(levels)  # bars do not lie on one another


def test_a_method_that_differs_from_all_others_has_no_bar() -> None:
    values = [[0.9, 0.5 + 0.01 * (turn % 2), 0.505] for turn in range(40)]
    ranks = ranks_of(["best", "a", "b"], values, maximize=True)
    styles = {name: Style(name, place, f"#00000{place}", "o", ()) for place, name in enumerate(ranks.methods)}
    with drawing():
        (axes,) = rank_figure(ranks, styles, "test", "ranks").figure.axes
    ((left, right),) = _bars(axes)
    assert left > 1.9 and right < 3.1


def test_its_svg_carries_the_methods_marks() -> None:
    picture, _ = _drawn(_ranks(0.05))
    svg = picture.svg()
    assert all(f'data-m="{place}"' in svg for place in range(4))
    assert "C4.5+m+cf 1.96" in svg
