"""The empirical offset: half of class mean times class weight, taken off a trained head's logits."""

from __future__ import annotations

from torch import Tensor

from trainables.components.heads import Head
from trainables.components.heads.offset_head import half_products
from trainables.components.network import Outputs


class EmpiricalOffset:
    """z_k - w0_k with w0_k = mean_k . w_k / 2, mean_k the class's mean training feature in evaluation mode.

    Source: Kim, Hong and Kim, 2021, section 2.2. Its one value, 1, is a factor of w0: nothing is picked.
    """

    values: tuple[float, ...] = (1.0,)
    needs_class_means = True

    def logits(self, head: Head, outputs: Outputs, value: float, class_means: Tensor | None) -> Tensor:
        """Return changed logits (B, K).

        Args:
            head: with rows of weights ``weight``, (K, d).
            outputs: features (B, d) and the head's own logits (B, K).
            value: factor of the offset.
            class_means: (K, d).
        """
        assert class_means is not None, "the empirical offset is made of class means"
        weight = head.get_parameter("weight")
        return outputs.logits - value * half_products(class_means.to(weight.dtype), weight)
