"""Gaussian clouded logits (GCL): cosines reduced by noise that is larger for rarer classes."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.losses.cross_entropy import cross_entropy, promoted, target_mask


def cloud_sizes(class_counts: Tensor) -> Tensor:
    """Return the cloud sizes d_j = log(n_max / n_j) / max_k log(n_max / n_k); the rarest class has size 1.

    Args:
        class_counts: n, training images per class, shape (K,), each at least 1.

    Returns:
        Float64, shape (K,), in [0, 1]; all 0 for equal counts, for which the released code divides 0 by 0.

    Raises:
        ValueError: if a class has no training images.

    Source: Li, Cheung and Lu, 2022, with the normalisation of their released code.

    >>> cloud_sizes(torch.tensor([100, 10, 1]))
    tensor([0.0000, 0.5000, 1.0000], dtype=torch.float64)
    """
    counts = class_counts.double()
    if not bool((counts > 0).all()):
        raise ValueError(f"`class_counts` must be at least 1 in every class, got {class_counts.tolist()}")
    sizes = torch.log(counts.max() / counts)
    return sizes / sizes.max() if bool(sizes.max() > 0) else sizes


def cloud_noise(cosines: Tensor) -> Tensor:
    """Draw |e| per cosine, with e from N(0, 1/9) clamped to [-1, 1]: shape (B, K), in [0, 1].

    Samples come from torch's global generator, in the dtype of the cosines.

    >>> _ = torch.manual_seed(0)
    >>> bool((cloud_noise(torch.zeros(100, 3)) <= 1).all())
    True
    """
    return (torch.randn_like(cosines) / 3).abs().clamp(max=1)


def gaussian_clouded_loss(
    cosines: Tensor, labels: Tensor, *, clouds: Tensor, margin: float, scale: float, all_classes: bool = False
) -> Tensor:
    """Return CE(s * (z - (m + c_y) * onehot_y)) per example, where the cloud c is cloud size times noise.

    Args:
        cosines: z, shape (B, K), raw cosines in [-1, 1].
        labels: y, int64, shape (B,).
        clouds: c, shape (B, K) or (1, K), in units of the cosine; zeros disable the noise.
        margin: m, subtracted from the target's cosine in addition to the cloud.
        scale: s.
        all_classes: subtract c_j from every cosine z_j instead of from the target's alone.

    Returns:
        Shape (B,), nats, at least 0.

    Source: Li, Cheung and Lu, 2022; ``all_classes`` follows their released code.

    >>> z, y, c = torch.zeros(1, 2), torch.tensor([0]), torch.tensor([[0.5, 9.0]])
    >>> gaussian_clouded_loss(z, y, clouds=c, margin=0.5, scale=1.0)  # log(1 + e)
    tensor([1.3133])
    """
    z, is_target = promoted(cosines), target_mask(labels, cosines.shape[1])
    clouds = clouds.to(z.dtype)
    clouded = z - clouds if all_classes else torch.where(is_target, z - clouds, z)
    return cross_entropy(scale * torch.where(is_target, clouded - margin, clouded), labels)
