from __future__ import annotations

import sys

import pytest

from benchmarks import augmentation


def test_every_case_is_timed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["augmentation", "--images", "6", "--rounds", "1", "--size", "8"])
    augmentation.main()
    said = capsys.readouterr().out
    assert "command: python -m benchmarks.augmentation --images 6" in said
    assert all(f"| {name} |" in said for name in augmentation.CASES)
