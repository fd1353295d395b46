"""Empirical offset: half the product of class mean and class weight, subtracted from a trained head's logits."""

from __future__ import annotations

from torch import Tensor

from trainables.components.heads import Head
from trainables.components.heads.offset_head import half_products
from trainables.components.network import Outputs


class EmpiricalOffset:
    """z_k - w0_k with w0_k = mean_k . w_k / 2, where mean_k is the mean training feature in evaluation mode.

    The value is a factor of w0. It has the single candidate 1, so nothing is selected on validation images.

    Source: Kim, Hong and Kim, 2021, section 2.2.
    """

    values: tuple[float, ...] = (1.0,)
    needs_class_means = True

    def logits(self, head: Head, outputs: Outputs, value: float, class_means: Tensor | None) -> Tensor:
        """Return the adjusted logits (B, K).

        Args:
            head: a head with weight rows ``weight``, (K, d).
            outputs: features (B, d) and the head's logits (B, K).
            value: factor of the offset.
            class_means: mean training feature per class, (K, d).
        """
        assert class_means is not None, "the empirical offset needs class means"
        weight = head.get_parameter("weight")
        return outputs.logits - value * half_products(class_means.to(weight.dtype), weight)
