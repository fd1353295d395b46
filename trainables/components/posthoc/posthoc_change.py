"""Post-hoc adjustments of a trained head, and the selection of their value on validation images.

Each candidate value costs one evaluation of stored logits and no training.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from trainables.components.heads import Head
from trainables.components.network import Outputs
from trainables.core.metrics import confusion_matrix, from_confusion


class PostHoc(Protocol):
    """A one-parameter family of adjustments to the logits of a trained network.

    Attributes:
        values: candidate values, starting with the weakest adjustment; a single value is used without selection.
        needs_class_means: True if `logits` needs the mean training feature per class.
    """

    values: tuple[float, ...]
    needs_class_means: bool

    def logits(self, head: Head, outputs: Outputs, value: float, class_means: Tensor | None) -> Tensor:
        """Return the adjusted logits (B, K).

        Args:
            head: the trained head, in evaluation mode.
            outputs: features (B, d) and the head's logits (B, K).
            value: one of ``values``.
            class_means: mean training feature per class in evaluation mode, (K, d), if ``needs_class_means``.
        """


class Picked(NamedTuple):
    """The selected value, its logits (N, K) on their device, and its confusion matrix (K, K) on the CPU."""

    value: float
    logits: Tensor
    confusion: Tensor


def pick(
    posthoc: PostHoc, head: Head, outputs: Outputs, labels: Tensor, class_means: Tensor | None, only: float | None
) -> Picked:
    """Select the candidate value with the best balanced accuracy on the given outputs; ties go to the first.

    Args:
        posthoc: the adjustment and its candidate values.
        head: the trained head.
        outputs: features (N, d) and logits (N, K) of a whole split.
        labels: int64 (N,).
        class_means: as in `PostHoc.logits`.
        only: use this value without selection, as on test images, which must not influence a choice.
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
