from __future__ import annotations

import sys

import pytest

from benchmarks import precision


def test_both_precisions_are_timed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--dataset", "digits", "--images", "32", "--rounds", "1", "--network", "conv-tiny"]
    monkeypatch.setattr(sys, "argv", ["precision", *small])
    precision.main()
    said = capsys.readouterr().out
    assert "command: python -m benchmarks.precision --dataset digits" in said
    assert said.count("conv-tiny, digits, augmentation") == 2
    assert "ratio" in said


def test_the_ratio_is_the_median_over_rounds() -> None:
    speeds = {"float32": [100.0, 100.0, 10.0], "bfloat16": [200.0, 150.0, 100.0]}
    assert precision.speedup(speeds) == 2.0
