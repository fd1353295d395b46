from __future__ import annotations

from pathlib import Path

import pytest

from trainables.core.step_progress import StepProgress, StepProgressFile, foremost, read_step_progress


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("trainables.core.step_progress.time.monotonic", lambda: self.now)


def test_it_is_written_every_few_seconds_with_the_speed_since_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, file = Clock(monkeypatch), StepProgressFile(tmp_path)
    seen = []
    for step in range(1, 14):
        clock.now += 60 if step == 1 else 1  # the first step compiles
        file(1, step, 390, 128 * step)
        seen.append(read_step_progress(tmp_path))
    assert seen[:5] == [None] * 5
    assert seen[5:10] == [StepProgress(1, 6, 390, 128.0)] * 5
    assert seen[10:] == [StepProgress(1, 11, 390, 128.0)] * 3
    file.end_epoch()
    assert list(tmp_path.iterdir()) == []
    clock.now += 60
    file(2, 1, 390, 128)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_damage_is_nothing(tmp_path: Path) -> None:
    left = tmp_path / "progress.json"
    for content in ("", "[]", "{", '{"epoch": 1}', '{"epoch": 1, "step": "x", "steps": 2, "images_per_second": null}'):
        left.write_text(content)
        assert read_step_progress(tmp_path) is None
    StepProgressFile(tmp_path)
    assert not left.exists()


def test_a_folder_that_cannot_be_written_stops_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, file = Clock(monkeypatch), StepProgressFile(tmp_path / "none")
    file(1, 1, 9, 10)
    clock.now += 9
    file(1, 2, 9, 20)
    file.end_epoch()
    assert read_step_progress(tmp_path / "none") is None


def test_the_foremost_is_the_epoch_that_ends_next() -> None:
    assert foremost([]) is None
    assert foremost([StepProgress(1, 50, 100), StepProgress(1, 8, 10), StepProgress(1, 60, 100)]).step == 8


def test_what_follows_the_last_epoch_is_written_at_once(tmp_path: Path) -> None:
    file = StepProgressFile(tmp_path)
    file.end_epoch()
    file.say(5, "making artifacts (embedding)")
    found = read_step_progress(tmp_path)
    assert found is not None and found.epoch == 5 and str(found) == "making artifacts (embedding)"
    file.end_epoch()
    assert read_step_progress(tmp_path) is None


def test_a_later_epoch_is_named(tmp_path: Path) -> None:
    assert str(StepProgress(6, 1200, 39_000)) == "epoch 6: step 1,200 of 39,000"
