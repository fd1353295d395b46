from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainables.core.config import TrialConfig
from trainables.data import Split, load
from trainables.training.mistakes import mistakes, most_confident
from trainables.training.trainer import Trainer

MakeTrial = Callable[..., TrialConfig]


def trained(config: TrialConfig) -> Trainer:
    trainer = Trainer(config, load(config.data))
    trainer.run_epoch()
    return trainer


def probabilities(trainer: Trainer, split: Split) -> np.ndarray:
    """Classify image by image, without the batches of the training room."""
    trainer.network.eval()
    found = []
    for image in split.images if split.rows is None else split.images[split.rows]:
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (trainer.data.mean, trainer.data.std))
        with torch.no_grad():
            logits = trainer.network(((image.float() / 255 - mean) / std).unsqueeze(0)).logits[0]
        found.append(logits.softmax(0).numpy())
    return np.stack(found)


def test_the_gallery_holds_the_most_confident_mistakes(make_trial: MakeTrial) -> None:
    trainer = trained(make_trial(epochs=1))
    split = trainer.data.validation
    found, given = mistakes(trainer, split), probabilities(trainer, split)
    assert found is not None
    labels, predicted = split.labels.numpy(), given.argmax(axis=1)
    wrong = predicted != labels
    assert wrong.sum() > 20
    assert wrong[found["rows"]].all()
    assert np.array_equal(found["predicted"], predicted[found["rows"]])
    assert np.array_equal(found["images"], split.images.numpy()[found["rows"]])
    assert np.allclose(found["confidence"], given.max(axis=1)[found["rows"]], atol=1e-5)
    for k, wrong_k, total in zip(found["classes"], found["wrong"], found["total"], strict=True):
        own = np.flatnonzero(wrong & (labels == k))
        assert (wrong_k, total) == (len(own), (labels == k).sum())
        best = sorted(given.max(axis=1)[own], reverse=True)[:8]
        assert np.allclose(found["confidence"][found["labels"] == k], best, atol=1e-5)
    counts = trainer.data.class_counts.numpy()[found["classes"]]
    assert len(counts) == 10 and (np.diff(counts) >= 0).all()


def test_it_is_the_adjusted_prediction_that_is_wrong(make_trial: MakeTrial) -> None:
    trainer = trained(make_trial("empirical-offset", epochs=1))
    found, evaluation = mistakes(trainer, trainer.data.validation), trainer.evaluation
    assert found is not None and evaluation is not None
    confusion = evaluation.confusion.numpy()
    expected = {int(k): int(confusion[k].sum() - confusion[k, k]) for k in range(10)}
    assert dict(zip(found["classes"].tolist(), found["wrong"].tolist(), strict=True)) == expected
    plain = probabilities(trainer, trainer.data.validation).argmax(axis=1)[found["rows"]]
    assert (plain != found["predicted"]).any()


def test_colour_images_in_a_file_give_the_same_gallery(
    make_trial: MakeTrial, write_images: Callable[..., Path], tmp_path: Path
) -> None:
    write_images(tmp_path / "tiny", images=20)
    galleries = []
    for budget in (8.0, 0.0):
        data = {"dataset": "tiny", "data_dir": str(tmp_path), "memory_budget_gb": budget}
        data["profile"] = {"kind": "long_tail", "ratio": 4}
        config = make_trial(epochs=1, data=data)
        trainer = trained(TrialConfig.model_validate({**config.model_dump(), "model": {"name": "conv-tiny"}}))
        assert (trainer.data.test().rows is None) == (budget > 0)
        galleries.append(mistakes(trainer, trainer.data.test()))
    memory, file = galleries
    assert memory is not None and file is not None
    assert memory["images"].shape[1:] == (3, 32, 32) and len(memory["images"]) > 0
    assert memory.keys() == file.keys()
    assert all(np.array_equal(memory[name], file[name]) for name in memory)


class Guesses:
    """A trainer that predicts class 0 throughout."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.data: Any = type("Data", (), {"class_counts": torch.arange(classes, 0, -1)})

    def outputs(self, split: Split) -> Any:
        logits = torch.zeros(len(split.labels), self.classes)
        logits[:, 0] = 1.0
        return type("Outputs", (), {"logits": logits})


@pytest.mark.parametrize(("size", "expected"), [((3, 224, 112), (3, 64, 32)), ((1, 64, 64), (1, 64, 64))])
def test_large_images_are_scaled_down_and_the_gallery_is_capped(
    size: tuple[int, int, int], expected: tuple[int, int, int]
) -> None:
    images = torch.full((300, *size), 7, dtype=torch.uint8)
    found = mistakes(Guesses(30), Split(images, torch.arange(300) % 30))
    assert found is not None
    assert found["images"].shape == (8 * 19, *expected)  # class 0 has no mistake, and 20 of 30 classes are shown
    assert (found["images"] == 7).all()


def test_what_is_no_image_has_no_gallery() -> None:
    for images in (torch.zeros(4, 12, 1, 1), torch.zeros(4, 4, 8, 8, dtype=torch.uint8)):
        assert mistakes(Guesses(4), Split(images, torch.arange(4))) is None


def test_ties_keep_the_order_of_the_images() -> None:
    confidence = np.array([0.5, 0.9, 0.5, 0.7], dtype=np.float32)
    assert most_confident(np.array([0, 2, 3]), confidence, most=2).tolist() == [3, 0]
