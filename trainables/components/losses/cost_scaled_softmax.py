"""Cost-sensitive softmax (CoSen): pairwise class costs multiply the exponentials."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.losses.cross_entropy import cross_entropy, promoted


def frequency_costs(class_counts: Tensor) -> Tensor:
    """Return the costs xi_{p,q} = max(h_p, h_q), xi_{p,p} = h_p, where h_p = n_p / sum n.

    Args:
        class_counts: n, training images per class, shape (K,), each at least 1.

    Returns:
        xi, float64, shape (K, K), symmetric, in (0, 1]; rows are true classes.

    Raises:
        ValueError: if a class has no training images.

    Source: Khan, Hayat, Bennamoun, Sohel and Togneri, 2018: the histogram factor H of the target cost matrix.
    Deviation: its other two factors, class separability and the confusion matrix, are omitted.

    >>> frequency_costs(torch.tensor([3, 1]))
    tensor([[0.7500, 0.7500],
            [0.7500, 0.2500]], dtype=torch.float64)
    """
    if not bool((class_counts > 0).all()):
        raise ValueError(f"`class_counts` must be at least 1 in every class, got {class_counts.tolist()}")
    shares = class_counts.double() / class_counts.sum()
    return torch.maximum(shares.unsqueeze(1), shares.unsqueeze(0))


def cost_scaled_loss(logits: Tensor, labels: Tensor, *, costs: Tensor) -> Tensor:
    """Return -log(xi_{y,y} e^z_y / sum_k xi_{y,k} e^z_k) = CE(z + log xi_y) per example.

    Args:
        logits: z, shape (B, K).
        labels: y, int64, shape (B,).
        costs: xi, shape (K, K), positive, on the device of the logits; invariant to the scale of each row.

    Returns:
        Shape (B,), nats, at least 0.

    Source: Khan et al., 2018, cross entropy with their cost-sensitive softmax.

    >>> costs = frequency_costs(torch.tensor([3, 1]))
    >>> cost_scaled_loss(torch.zeros(2, 2), torch.tensor([0, 1]), costs=costs)  # log 2 and log 4
    tensor([0.6931, 1.3863])
    """
    z = promoted(logits)
    return cross_entropy(z + torch.log(costs.to(z.dtype))[labels], labels)
