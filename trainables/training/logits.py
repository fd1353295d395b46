"""Logits of a finished training on validation and test images, to be kept."""

from __future__ import annotations

import numpy as np

from trainables.core.logit_file import KeptLogits, SplitLogits
from trainables.data import Split
from trainables.training.trainer import Trainer


def logits(trainer: Trainer, *, of_test: bool) -> KeptLogits:
    """Return the logits of all validation images, with ``of_test`` of all test images too.

    They are those that an evaluation counts: a post-hoc method's change is included.

    Raises:
        ValueError: a logit is infinite or NaN.
    """
    data = trainer.data
    splits = {"validation": data.validation, **({"test": data.test()} if of_test else {})}
    kept = {name: _kept(trainer, name, split) for name, split in splits.items()}
    counts = tuple(int(count) for count in data.class_counts)
    return KeptLogits(trainer.posthoc_value, tuple(data.class_names), counts, kept)


def _kept(trainer: Trainer, name: str, split: Split) -> SplitLogits:
    found = trainer.outputs(split).logits.float().numpy()
    finite = np.isfinite(found).all(axis=1)
    if not finite.all():
        raise ValueError(f"the logits of {np.count_nonzero(~finite)} {name} images are not finite")
    return SplitLogits.of(found, split.labels.numpy())
