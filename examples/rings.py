"""Drawn rings of four sizes, as a data set of a plug-in: a function that reads a split, and one object."""

import numpy as np

from trainables.data.sources.own_dataset import OwnDataset
from trainables.data.sources.source import LabelledImages

CLASSES = ("dot", "small ring", "ring", "large ring")


def read(split, data_dir):
    """Draw noisy rings of 16 x 16 pixels; a real data set would read files below ``data_dir`` here."""
    per_class = {"train": 100, "test": 25}[split]
    labels = np.repeat(np.arange(len(CLASSES)), per_class)
    rng = np.random.default_rng({"train": 0, "test": 1}[split])
    rows, columns = np.mgrid[-7.5:8.5, -7.5:8.5]
    distance = np.hypot(rows + rng.normal(0, 1, (len(labels), 1, 1)), columns + rng.normal(0, 1, (len(labels), 1, 1)))
    images = 200 * np.exp(-((distance - 1.5 * labels[:, None, None]) ** 2)) + rng.normal(25, 15, distance.shape)
    return LabelledImages(images.clip(0, 255).astype(np.uint8)[:, None], labels, CLASSES)


RINGS = OwnDataset(name="rings", title="Drawn rings", read=read)
