"""Changes of a trained head whose one value is picked on validation: evaluations, not trainings."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from trainables.components.heads import Head
from trainables.components.network import Outputs
from trainables.core.metrics import confusion_matrix, from_confusion


class PostHoc(Protocol):
    """A family of changes to the logits of a trained network, one for every candidate value.

    Attributes:
        values: the candidates, the one that changes least first; a single one is taken as it is.
        needs_class_means: whether `logits` is given the mean training feature of every class.
    """

    values: tuple[float, ...]
    needs_class_means: bool

    def logits(self, head: Head, outputs: Outputs, value: float, class_means: Tensor | None) -> Tensor:
        """Return changed logits (B, K).

        Args:
            head: the trained head, in evaluation mode.
            outputs: features (B, d) and the head's own logits (B, K).
            value: one of ``values``.
            class_means: (K, d), mean features of the training images in evaluation mode, if asked for.
        """


class Picked(NamedTuple):
    """The value that was best, the logits (N, K) it gives and their confusion counts (K, K), on the CPU."""

    value: float
    logits: Tensor
    confusion: Tensor


def pick(
    posthoc: PostHoc, head: Head, outputs: Outputs, labels: Tensor, class_means: Tensor | None, only: float | None
) -> Picked:
    """Return the candidate of best balanced accuracy on these outputs; of equals, the first.

    Args:
        posthoc: candidates and what they do.
        head: the trained head.
        outputs: of a whole split, (N, d) and (N, K).
        labels: int64 (N,).
        class_means: as `PostHoc.logits` takes them.
        only: the one value to use instead of picking: test images decide nothing.
    """
    candidates = posthoc.values if only is None else (only,)
    best: tuple[float, Picked] | None = None
    for value in candidates:
        logits = posthoc.logits(head, outputs, value, class_means)
        confusion = confusion_matrix(logits.argmax(dim=1), labels, logits.shape[1]).cpu()
        score = from_confusion(confusion.numpy(), confusion.sum(dim=1).numpy())["balanced_accuracy"]
        if best is None or score > best[0]:
            best = score, Picked(value, logits, confusion)
    assert best is not None
    return best[1]
