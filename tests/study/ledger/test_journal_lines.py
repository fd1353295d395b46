"""A line of the journal that an editor has spoilt is one error with line and field."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from study.ledger.journal_lines import line_fault
from study.store.study_view import open_view
from tests.study.made_study import MadeStudy, spec_of
from trainables.core.errors import BadInput

Line = dict[str, Any]


def _confirms(line: Line) -> bool:
    return bool(line.get("user_attrs", {}).get("phase"))


def _is_end(line: Line) -> bool:
    return line["op_code"] == 6 and line["state"] == 1


def _is_epoch(line: Line) -> bool:
    return "intermediate_value" in line


def _is_note(line: Line) -> bool:
    return line["op_code"] == 8


def _in_attributes(name: str, value: object) -> Callable[[Line], None]:
    return lambda line: line["user_attrs"].update({name: value})


def _to(name: str, value: object) -> Callable[[Line], None]:
    return lambda line: line.update({name: value})


def _ends_with(line: Line) -> bool:
    return line["op_code"] == 8 and "ended_with" in line["user_attr"]


def _in_end(name: str, value: object) -> Callable[[Line], None]:
    return lambda line: line["user_attr"]["ended_with"].update({name: value})


SPOILT: dict[str, tuple[Callable[[Line], bool], Callable[[Line], object], str]] = {
    "a phase that is a number": (_confirms, _in_attributes("phase", 5), "`user_attrs.phase` must be a text, got 5"),
    "another phase": (_confirms, _in_attributes("phase", "x"), "`user_attrs.phase` must be 'confirm', got 'x'"),
    "a seed in words": (_confirms, _in_attributes("seed", "x"), "`user_attrs.seed` must be a whole number, got 'x'"),
    "no seed": (_confirms, lambda line: line["user_attrs"].pop("seed"), "`user_attrs` lacks `seed`"),
    "emptied params": (_confirms, _in_attributes("params", None), "`user_attrs.params` must be a mapping, got null"),
    "an emptied attribute": (_is_note, _to("user_attr", {}), "`user_attr` must be a mapping with one name, got {}"),
    "an attribute that is no mapping": (_is_note, _to("user_attr", 3), "`user_attr` must be a mapping, got 3"),
    "a metric in words": (
        _ends_with,
        _in_end("metrics", {"few": "x"}),
        "`user_attr.ended_with.metrics.few` must be a number, got 'x'",
    ),
    "metrics in a list": (
        _ends_with,
        _in_end("metrics", [1]),
        "`user_attr.ended_with.metrics` must be a mapping, got [1]",
    ),
    "an emptied value": (_is_epoch, _to("intermediate_value", ""), "`intermediate_value` must be a number, got ''"),
    "a step in words": (_is_epoch, _to("step", "1"), "`step` must be a whole number, got '1'"),
    "values in words": (_is_end, _to("values", ["x"]), '`values` must be a list of numbers or null, got ["x"]'),
    "a state that is true": (_is_end, _to("state", True), "`state` must be a whole number, got true"),
    "a state that does not exist": (_is_end, _to("state", 17), "is damaged (ValueError: 17 is not a valid TrialState)"),
    "no time": (_is_end, _to("datetime_complete", ""), "is damaged (ValueError: Invalid isoformat string: '')"),
    "an operation in words": (_is_end, _to("op_code", "6"), "`op_code` must be a whole number from 0 to 10, got '6'"),
    "no trial": (_is_end, lambda line: line.pop("trial_id"), "lacks the field `trial_id`"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_spoilt_field_is_named_with_its_line(case: str, tmp_path: Path) -> None:
    picks, spoil, message = SPOILT[case]
    made = MadeStudy(tmp_path, spec_of(confirm={"seeds": 1}, search={"trials": 1}))
    for method in ("cce", "erm"):
        made.complete(method)
    made.confirm(lambda _: 0.5)
    journal = made.folder.path / "ledger.journal"
    lines = journal.read_text().splitlines()
    number = next(number for number, line in enumerate(lines) if picks(json.loads(line)))
    spoilt = json.loads(lines[number])
    del spoilt["crc32"]
    spoil(spoilt)
    lines[number] = json.dumps(spoilt)
    journal.write_text("\n".join(lines) + "\n")
    with pytest.raises(BadInput) as raised:
        open_view(made.folder)
    place, _, rest = str(raised.value).partition(f"{journal}: line {number + 1}")
    assert place == "", raised.value
    assert message in rest
    assert rest.endswith("put back a copy of it, or start a new study")


def test_a_cut_field_is_named_with_line_and_character(tmp_path: Path) -> None:
    made = MadeStudy(tmp_path)
    made.complete()
    journal = made.folder.path / "ledger.journal"
    journal.write_text(journal.read_text().replace('"directions":[2]', '"directions":', 1))
    with pytest.raises(BadInput, match=r"ledger\.journal: line 1 was changed after it was written"):
        open_view(made.folder)
    first, _, rest = journal.read_text().partition("\n")
    journal.write_text(first.partition(',"crc32"')[0] + "}\n" + rest)
    with pytest.raises(BadInput, match=r"ledger\.journal: line 1 is not JSON: Expecting value at character \d+; put"):
        open_view(made.folder)


def test_every_line_that_is_written_is_sound(tmp_path: Path) -> None:
    made = MadeStudy(tmp_path, spec_of(confirm={"seeds": 1}, search={"trials": 3}))
    made.complete(), made.prune(), made.fail("no"), made.complete("erm"), made.complete("erm"), made.complete("erm")
    made.confirm(lambda _: 0.5)
    lines = (made.folder.path / "ledger.journal").read_text().splitlines()
    assert [fault for line in lines if (fault := line_fault(json.loads(line))) is not None] == []
