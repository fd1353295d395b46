"""A trial's folder after kills at any moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainables.trial_folder import TrialFolder, write_atomically


def test_history_merges_attempts_by_epoch(tmp_path: Path) -> None:
    first, second = TrialFolder(tmp_path), TrialFolder(tmp_path)
    for epoch in (1, 2, 3):
        first.append_epoch({"epoch": epoch, "loss": 1 / epoch})
    for epoch in (3, 4):
        second.append_epoch({"epoch": epoch, "loss": 1 / epoch})
    assert [record["epoch"] for record in TrialFolder(tmp_path).history()] == [1, 2, 3, 4]
    assert sorted(len(attempt) for attempt in first.attempts()) == [2, 3]


def test_a_line_cut_off_anywhere_costs_that_line_alone(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path)
    folder.append_epoch({"epoch": 1, "loss": 0.5})
    folder.append_epoch({"epoch": 2, "loss": 0.25})
    [file] = tmp_path.glob("epochs-*.jsonl")
    whole = file.read_bytes()
    second = whole.index(b"\n") + 1
    for size in range(second, len(whole) - 2):
        file.write_bytes(whole[:size])
        assert [record["epoch"] for record in TrialFolder(tmp_path).history()] == [1]


def test_numbers_that_are_none_survive(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path)
    folder.append_epoch({"epoch": 1, "few": float("nan")})
    [record] = folder.history()
    assert record["few"] != record["few"]


def test_an_empty_folder_has_nothing(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path / "never")
    assert folder.history() == []
    assert folder.config() is None
    assert folder.evaluation() is None


def test_a_damaged_evaluation_is_as_good_as_none(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path)
    folder.write_evaluation({"epoch": 1, "recall": [1.0]})
    assert folder.evaluation() == {"epoch": 1, "recall": [1.0]}
    (tmp_path / "evaluation.json").write_text('{"epoch": 1, "rec')
    assert folder.evaluation() is None


def test_a_failed_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    write_atomically(target, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
