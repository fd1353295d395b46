"""A ledger whose lines hold values of another kind is one clear error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from study.report.status import overview
from study.store.study_view import open_view
from tests.study.made_study import MadeStudy
from trainables.core.errors import BadInput


@pytest.mark.parametrize(
    ("key", "value"), [("intermediate_value", "x"), ("params", [1])], ids=["text for a number", "a list"]
)
def test_a_value_of_another_kind_names_the_ledger(tmp_path: Path, key: str, value: object) -> None:
    made = MadeStudy(tmp_path)
    made.complete()
    journal = made.folder.path / "ledger.journal"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        line.pop("crc32", None)
        place = line if key in line else line.get("user_attr", {})
        if key in place:
            place[key] = value
    journal.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    with pytest.raises(BadInput, match=r"ledger\.journal"):
        open_view(made.folder)
    (row,) = overview(tmp_path)
    assert (row["state"], "ledger.journal" in row["question"]) == ("unreadable", True)


def test_brackets_without_end_name_the_ledger(tmp_path: Path) -> None:
    made = MadeStudy(tmp_path)
    (made.folder.path / "ledger.journal").write_text("[" * 100_000 + "\n")
    with pytest.raises(BadInput, match=r"ledger\.journal"):
        open_view(made.folder)
