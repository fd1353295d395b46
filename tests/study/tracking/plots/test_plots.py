from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from study.tracking.plots.trial_plots import confusion_picture, false_positives_picture


def open_png(content: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(content))
    assert picture.format == "PNG"
    return picture.convert("RGB")


@pytest.mark.parametrize("classes", [1, 2, 10, 20, 21, 100, 1000])
def test_every_number_of_classes_is_drawn(classes: int) -> None:
    counts = np.diag(np.arange(classes) + 5)
    counts[0, -1] += 3
    names = [f"a rather long name {k}" for k in range(classes)]
    picture = open_png(confusion_picture(counts, names, "a caption"))
    assert 300 < picture.width < 1400
    assert picture.height < 1400
    curve = np.cumsum(counts.sum(axis=0) - np.diag(counts))
    assert open_png(false_positives_picture(curve, names, "a caption")).size == (640, 370)


def test_rows_are_true_classes() -> None:
    """Images of class 0 predicted as class 1 darken the upper right cell, not the lower left one."""

    def dark(counts: list[list[int]]) -> np.ndarray:
        picture = np.asarray(open_png(confusion_picture(counts, ["a", "b"], ""))).sum(axis=2) < 300
        return np.argwhere(picture)

    above, below = dark([[0, 40], [0, 0]]).mean(axis=0), dark([[0, 0], [40, 0]]).mean(axis=0)
    assert above[0] < below[0]
    assert above[1] > below[1]


def test_a_class_without_images_and_one_never_predicted_are_drawn() -> None:
    counts = [[3, 0, 0], [1, 0, 0], [0, 0, 0]]
    open_png(confusion_picture(counts, ["a", "b", "c"], ""))
    open_png(false_positives_picture([0, 0, 0], ["a", "b", "c"], ""))


def test_large_counts_fit_their_cell() -> None:
    open_png(confusion_picture([[1_234_567, 2], [3, 99_999]], ["a", "b"], ""))
