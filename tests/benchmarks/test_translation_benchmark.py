from __future__ import annotations

import copy
import re
import sys

import pytest
import torch
from torch import nn

from benchmarks import m2m_reference, m2m_translation
from benchmarks.m2m_translation import ImageByImage, long_tailed, report
from benchmarks.training_loop import load_images


def test_every_loop_trains_and_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--dataset", "digits", "--images", "100", "--ratio", "10", "--batch-size", "32"]
    rest = ["--direct-images", "8", "--reference-epochs", "1", "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", ["translation", *small, *rest])
    m2m_translation.main()
    said = capsys.readouterr().out
    assert "conv-tiny, digits 1x8x8, batches of 32" in said
    assert re.search(r"M2m / ERM: \d+\.\d", said) and re.search(r"image by image / M2m: \d+\.\d", said)
    assert "machine:" in said


def test_images_are_long_tailed() -> None:
    counts = long_tailed(load_images("digits")[0], 100, 10).class_counts
    assert counts.sum().item() == pytest.approx(100, abs=5)
    assert counts.tolist() == sorted(counts.tolist(), reverse=True)
    assert counts[0].item() == pytest.approx(10 * counts[-1].item(), rel=0.2)


def test_the_direct_transcription_generates_pixels() -> None:
    data = long_tailed(load_images("digits")[0], 100, 10)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    loop = ImageByImage(network, copy.deepcopy(network), data, 32, 32, torch.device("cpu"))
    labels = data.train.labels[::3].tolist()
    made = loop._over_sampled(loop.pixels[::3], labels)
    assert loop.translated > 0
    assert made.min() >= 0 and made.max() <= 1
    assert not made.requires_grad


def test_ratios_are_medians_over_rounds() -> None:
    said = report({"ERM": [1.0, 1.0, 1.0], "M2m": [3.0, 9.0, 4.0], "direct": [12.0, 18.0, 40.0]})
    assert "M2m / ERM: 4.0" in said and "image by image / M2m: 4.0" in said


def test_references_of_both_seeds_are_compared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--dataset", "digits", "--network", "mlp", "--ratio", "10", "--epochs", "3", "--defer-until", "0.6"]
    monkeypatch.setattr(sys, "argv", ["reference", *small])
    m2m_reference.main()
    said = capsys.readouterr().out
    own, derived = (float(found) for found in re.findall(r"w_f\|\| +(\d\.\d\d)", said))
    assert own < 0.5 < derived
    assert len(re.findall(r"same prediction, test +\d+\.\d%", said)) == 2
    assert len(re.findall(r"epoch 3: sites +\d+\.\d%  accepted +\d+\.\d%", said)) == 2
