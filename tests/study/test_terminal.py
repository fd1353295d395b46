from __future__ import annotations

import re

import pytest

from study.terminal import console, plain_table

LONG = "a-folder-of-photographs/long_tail-100/" + "a-method-with-a-long-label-" * 5


def _print() -> None:
    table = plain_table("a title")
    table.add_column("cell", no_wrap=True)
    table.add_column("best", justify="right", no_wrap=True)
    table.add_column("values", min_width=22, overflow="fold")
    table.add_row("digits/erm", "0.5", "")
    table.add_row(LONG, "0.25", ", ".join(f"value{k}=0.12345" for k in range(9)))
    console().print(table, highlight=False)


@pytest.mark.parametrize("columns", [None, "", "80"])
def test_in_a_pipe_nothing_is_cut_or_padded(
    columns: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    _print()
    lines = capsys.readouterr().out.splitlines()
    assert lines == [line.rstrip() for line in lines]
    assert any(line.startswith(f"{LONG} 0.25 value0=0.12345") for line in lines)
    assert lines[0] == "a title"
    assert max(len(line) for line in lines) < len(LONG) + 40  # the values are folded all the same


def test_cells_of_several_words_in_a_column_that_does_not_wrap_are_not_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    table = plain_table()
    for _ in range(10):
        table.add_column("mean over seeds", justify="right", no_wrap=True)
    table.add_row(*["0.1234 +-0.0123"] * 10)
    console().print(table)
    assert capsys.readouterr().out.splitlines()[1] == " ".join(["0.1234 +-0.0123"] * 10)


def test_a_narrow_table_keeps_to_the_width_of_a_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    table = plain_table()
    table.add_column("values", overflow="fold")
    table.add_row("word " * 60)
    console().print(table)
    assert 100 < max(len(line) for line in capsys.readouterr().out.splitlines()) <= 120


def test_a_sentence_in_a_pipe_is_not_broken(capsys: pytest.CaptureFixture[str]) -> None:
    console().print("one " * 200, highlight=False)
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_terminal_has_its_own_width(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # Rich then treats any output as a terminal
    monkeypatch.setenv("COLUMNS", "60")
    _print()
    said = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert max(map(len, said.splitlines())) == 60
