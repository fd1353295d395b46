from __future__ import annotations

import sys

import pytest
import torch

from benchmarks import training_loop
from benchmarks.conventional import transform_for
from benchmarks.training_loop import CASES, GPU_CASES, Case, first_images, load_images, report
from trainables.core.config import DataConfig
from trainables.core.errors import BadInput
from trainables.data import StudyData
from trainables.data.pipeline.batch_pipeline import BatchPipeline


@pytest.fixture(scope="module")
def digits() -> StudyData:
    return load_images("digits")[0]


def test_every_case_trains_and_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--dataset", "digits", "--images", "32", "--rounds", "1", "--workers", "0"]
    monkeypatch.setattr(sys, "argv", ["training_loop", *small])
    training_loop.main()
    said = capsys.readouterr().out
    for case in CASES:
        assert f"{case.network}, digits 1x8x8, augmentation {case.augmentation}" in said
        assert f"(required: {case.required:g})" in said
    assert "machine:" in said


def test_workers_deliver_every_image_once_an_epoch(digits: StudyData) -> None:
    case = Case("conv-tiny", "digits", "crop", 16, 40, None)
    loop = training_loop.conventional_loop(case, first_images(digits, 40), workers=1, device=torch.device("cpu"))
    assert loop.run_epoch() > 0
    assert sum(len(labels) for _, labels in loop.loader) == 40


def test_both_loops_see_the_same_pixels(digits: StudyData) -> None:
    data = first_images(digits, 4)
    ours = BatchPipeline(data.train, data.mean, data.std).batch(torch.arange(4))
    case = Case("conv-tiny", "digits", "none", 4, 4, None)
    dataset = training_loop.conventional_loop(case, data, workers=0, device=torch.device("cpu")).loader.dataset
    torch.testing.assert_close(torch.stack([dataset[i][0] for i in range(4)]), ours)


@pytest.mark.parametrize(("augmentation", "steps"), [("none", 2), ("crop", 3), ("crop-flip", 4)])
def test_transforms_are_the_papers(digits: StudyData, augmentation: str, steps: int) -> None:
    assert len(transform_for(digits, augmentation).transforms) == steps


def test_digits_stand_in_for_images_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainables.data import load as real

    def load(config: DataConfig) -> StudyData:
        if config.dataset != "digits":
            raise BadInput("no network")
        return real(config)

    monkeypatch.setattr(training_loop, "load", load)
    data, name = load_images("cifar10")
    assert name == "digits, enlarged"
    assert data.train.images.shape[1:] == data.validation.images.shape[1:] == (3, 32, 32)
    assert len(data.mean) == len(data.std) == 3


def test_ratio_is_the_median_over_rounds() -> None:
    said = report(
        GPU_CASES[0], {"ours, bfloat16": [100.0, 200.0, 90.0], "conventional, float32, 8 workers": [10.0] * 3}
    )
    assert "ours, bfloat16 / conventional, float32, 8 workers: 10.00  (required: 10)" in said
