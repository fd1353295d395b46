"""A fixed, class-balanced sample of images for pictures: the same for all methods on the same data."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

MOST_CLASSES = 20
"""Classes in a picture; more could not be told apart."""
_FEWEST = 10
"""Images of a class to which a smaller class does not reduce the others."""


def pictured_classes(class_counts: Ints, most: int = MOST_CLASSES) -> Ints:
    """Return the classes in pictures, from most to least frequent: all, or ``most`` evenly spread over the ranks.

    >>> pictured_classes(np.array([5, 90, 20, 10]), most=3)
    array([1, 3, 0])
    """
    ranked = np.argsort(-class_counts, kind="stable")
    if len(ranked) <= most:
        return ranked
    return ranked[np.linspace(0, len(ranked) - 1, most).round().astype(np.int64)]


def balanced_sample(labels: Ints, classes: Ints, per_class: int, seed: int) -> Ints:
    """Return rows of images, class by class: equally many of each, drawn without replacement.

    All classes have as many images as the smallest, but a class of fewer than 10 gives all it has and costs the others
    none: one rare class must not empty the picture.

    Args:
        labels: (N,), of all images.
        classes: the classes to draw from; one without images is left out.
        per_class: most images of a class.
        seed: of the draw.

    Returns:
        Rows (n,), rising within a class.
    """
    rows = [found for k in classes if len(found := np.flatnonzero(labels == k))]
    size = min(per_class, max(_FEWEST, min(map(len, rows), default=0)))
    # each class has its own stream, so that its images do not depend on which other classes are drawn
    drawn = [np.random.default_rng([seed, int(labels[own[0]])]).permutation(own)[:size] for own in rows]
    return np.concatenate([np.sort(own) for own in drawn]) if drawn else np.zeros(0, np.int64)
