from __future__ import annotations

import sys

import pytest

from benchmarks import sweep_overhead
from benchmarks.sweeps import SweepTimes


def test_overhead_is_what_neither_ray_nor_training_took() -> None:
    times = SweepTimes(trials=10, concurrency=2, wall=20.0, ray=5.0, training=10.0)
    assert times.overhead == pytest.approx(1.0)


def test_both_sweeps_do_their_work(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    smallest = [
        "--trials",
        "2",
        "--few-trials",
        "1",
        "--stock-trials",
        "1",
        "--epochs",
        "1",
        "--rounds",
        "1",
        "--concurrency",
        "1",
    ]
    monkeypatch.setattr(sys, "argv", ["sweep_overhead", *smallest])
    sweep_overhead.main()
    said = capsys.readouterr().out
    assert "ours     1 trials" in said
    assert "ours     2 trials" in said
    assert "for a further trial" in said
    assert "stock    1 trials" in said
    assert "stock / ours:" in said
