"""The list of tables: data, hours from measured rates, cells and trials."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from study.report.recorded_rates import Rate
from study.reproduce.needed_data import need_of
from study.reproduce.published import table_named
from study.reproduce.reproduction_cost import Cost, cost_of
from study.reproduce.reproduction_list import hours_text, listed, print_list
from study.reproduce.reproduction_plan import Changes, plan


def test_data_are_here_bundled_downloaded_by_hand_or_not_to_be_had(tmp_path: Path) -> None:
    (tmp_path / "sun397" / "train").mkdir(parents=True)
    found = {name: need_of(name, tmp_path) for name in ("sun397", "digits", "svhn", "imagenet-lt", "reuters", "faces")}
    access = [need.access for need in found.values()]
    assert access == ["here", "bundled", "downloaded", "by hand", "not to be had", "not to be had"]
    assert [need.trains for need in found.values()] == [True, True, True, False, False, False]
    assert "how its texts became vectors" in found["reuters"].said


def test_a_line_says_what_a_table_needs(tmp_path: Path) -> None:
    line = listed(table_named("m2m/table-1"), tmp_path, None).to_json()
    assert (line["cells"], line["trials"], line["runnable"]) == (52, 208, "yes")
    assert [need["dataset"] for need in line["data"]] == ["cifar10", "cifar100"]
    assert line["figures"] == 88
    runnable = {
        name: listed(table_named(name), tmp_path, None).runnable for name in ("elm/table-2", "affinity/table-3")
    }
    assert runnable == {"elm/table-2": "with data", "affinity/table-3": "no"}


def test_hours_come_from_the_shipped_rates_of_one_core(tmp_path: Path) -> None:
    found = cost_of(plan(table_named("cce/table-2")), tmp_path)
    assert found.source == "one core" and found.hours is not None
    # 85,587 images in an epoch of the four profiles, 4 methods, 4 trainings of 200 epochs
    assert found.hours * 3600 / (4 * 4 * 200) == pytest.approx(sum((20_431, 12_406, 27_500, 25_250)) * 0.102, rel=0.3)
    tenth = cost_of(plan(table_named("cce/table-2"), Changes(scale=0.1)), tmp_path)
    assert tenth.hours == pytest.approx(found.hours * 0.1 * 2 / 4)


def test_hours_that_are_measured_now_replace_them(tmp_path: Path) -> None:
    planned = plan(table_named("cce/table-2"), Changes(only=("erm/long_tail-10",)))
    measured = cost_of(planned, tmp_path, lambda spec, cells: ({("cifar10", "long_tail-10"): Rate(36.0, "now")}, 1.0))
    assert (measured.source, measured.cells, measured.trials) == ("measured now", 1, 4)
    assert measured.hours is not None and measured.hours > 0


def test_unknown_hours_are_a_question_mark(tmp_path: Path) -> None:
    assert cost_of(plan(table_named("m2m/table-2")), tmp_path).source == "unknown"
    texts = [
        hours_text(Cost(1, 1, hours, source))
        for hours, source in ((None, "unknown"), (1234.5, "one core"), (0.25, "recorded"))
    ]
    assert texts == ["?", "1,234 core", "0.25"]


def test_the_list_is_printed_with_what_its_data_are(tmp_path: Path) -> None:
    lines = [listed(table_named(name), tmp_path, None) for name in ("cce/table-9", "affinity/table-2")]
    console = Console(width=200)
    with console.capture() as capture:
        print_list(lines, console)
    assert "cifar10 (downloaded)" in capture.get() and "dil-5 (by hand)" in capture.get()
    assert "dil-5 is had by hand: sold under a licence" in capture.get()
    assert "one processor core" in capture.get()
