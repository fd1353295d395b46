"""A short run of the program that kills a study at random moments; `make faults` runs a long one."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import pytest

from tests.faults.kill_table import Kill, Round, Tally
from tests.faults.random_kills import BEGIN, END, STUDY, Disturbed, Reference, lab_in, with_tables
from tests.faults.victims import DRIVER, GROUP, WORKER


@pytest.mark.slow
@pytest.mark.timeout(1200)  # two runs of a study, and a start of Ray after every kill
def test_after_kills_of_random_victims_a_study_equals_an_undisturbed_one(tmp_path: Path) -> None:
    reference = Reference(tmp_path, STUDY)
    tally = Tally()
    with lab_in(tmp_path / "disturbed") as lab:
        played = Disturbed(lab, STUDY, reference, Random(0), tally).play(5, time.monotonic() + 600)
    tally.add(played, "a test", reference.seconds)
    assert 1 <= len(played.kills) <= 5
    assert not tally.broken() and not played.faults, played.said()


def _round(*kills: Kill, lost: tuple[str, ...] = ()) -> Round:
    return Round(60.0, [*kills], trials=4, lost=[*lost], doubled=[], parts=40, differing=[], faults=[])


def test_rounds_of_several_calls_add_up_in_a_file(tmp_path: Path) -> None:
    first, second = Tally(), tmp_path / "kills.json"
    first.add(_round(Kill(DRIVER, "search", 1.0, 0.5, 9.0, allowed=2, repeated=2)), "command: one", 50.0)
    first.write(second)
    both = Tally.read(second)
    both.add(
        _round(Kill(DRIVER, "start", 2.0, 0.5, None), Kill(WORKER, "search", 3.0, 0.1, 4.0, 1, 1)), "command: two", 51.0
    )
    assert not both.broken()
    lines = both.tables().splitlines()
    assert lines[:5] == ["```", "command: one", "", "command: two", "```"]
    assert "| driver, -9 | 2 | 0 | 0 | 0 | 2 | 2 | 0 | 2 | 0.5 | 9 | 9 |" in lines
    assert "| all | 3 | 0 | 0 | 0 | 3 | 3 | 0 | 2 | 0.5 | 6 | 9 |" in lines
    assert "| search | 2 |" in lines


def test_tables_stand_between_the_marks_of_a_document() -> None:
    given = f"above\n{BEGIN}\nold\n{END}\nbelow\n"
    assert with_tables(given, "| new |") == f"above\n{BEGIN}\n| new |\n{END}\nbelow\n"
    with pytest.raises(SystemExit, match="no place for the tables"):
        with_tables("none", "| new |")


@pytest.mark.parametrize(
    "broken",
    [
        _round(Kill(GROUP, "search", 1.0, allowed=1, repeated=2)),
        _round(Kill(GROUP, "search", 1.0, lost=1)),
        _round(Kill(GROUP, "search", 1.0, differing=["a trial: ledger"])),
        _round(lost=("a trial",)),
    ],
)
def test_what_was_lost_or_repeated_too_often_is_told(broken: Round) -> None:
    assert Tally([broken]).broken()
