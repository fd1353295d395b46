"""Center loss: squared distance of features to their class centre."""

from __future__ import annotations

from torch import Tensor

from trainables.components.losses.cross_entropy import promoted


def center_loss(features: Tensor, labels: Tensor, *, centers: Tensor) -> Tensor:
    """Return ||f - c_y||^2 per example, without the factor 1/2 of the paper.

    Args:
        features: f, shape (B, d).
        labels: y, int64, shape (B,).
        centers: c, shape (K, d), on the device of the features; receives no gradient.

    Returns:
        Shape (B,), in squared units of the features, at least 0.

    Source: Wen, Zhang, Li and Qiao, 2016, eq 2; Kim, Hong and Kim, 2021, eq 6, which omits the factor 1/2.

    >>> import torch
    >>> center_loss(torch.tensor([[3.0, 4.0]]), torch.tensor([1]), centers=torch.zeros(2, 2))
    tensor([25.])
    """
    f = promoted(features)
    return (f - centers.detach().to(f.dtype)[labels]).square().sum(dim=1)
