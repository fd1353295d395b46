"""Regulariser of the affinity loss: the variance of the squared distances between prototypes, without the pairs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_BLOCK = 1024
"""Rows centred and multiplied at a time: they stay in the processor's cache, and blocks are summed in float64."""


def diversity_regulariser(prototypes: Tensor) -> Tensor:
    """Return R, the variance of the pairwise squared distances between prototypes.

    R(w) = E[(||w_j - w_k||^2 - mu)^2] over all pairs j < k, where mu is the mean of ||w_j - w_k||^2 over these pairs.
    R is 0 for a regular simplex and near 32 / d for prototypes drawn from N(0, 2 / d). It grows with the fourth power
    of their scale, and its curvature (near 16 mu / N in high dimensions) with the square. SGD on R alone is stable for
    mu < N (1 + momentum) / (8 lr), which is 24 for ten prototypes, lr 0.1 and momentum 0.9.

    The pairs are never formed. With W centred, a_j = ||w_j||^2, A = sum a and b = a - A/N, sums over ordered pairs give

        N (N - 1) R = 2 N sum_j b_j^2 + 4 (||W'W||_F^2 - A^2/(N - 1)).

    The bracket is the squared distance of W'W from (A/d) I plus A^2 (1/d - 1/(N - 1)) if d < N, and otherwise that of
    W W' from A/(N - 1) times the centring matrix. All terms are at least 0, so that nothing cancels where R is small.
    Time is N d min(N, d) and memory N d. Sums over blocks of rows are float64, and so is everything for float64
    prototypes or N <= 2 d; on a device without float64 it runs on the CPU.

    Args:
        prototypes: w, (N, d), of all classes together.

    Returns:
        R, a scalar >= 0; 0 for a single prototype, which has no pairs.

    Source: Hayat et al. 2019, eqs 7 and 8. The closed form is ours.

    >>> diversity_regulariser(torch.eye(4))
    tensor(0.)
    >>> diversity_regulariser(torch.tensor([[0.0], [1.0], [2.0]]))  # squared distances 1, 1 and 4
    tensor(2.)
    """
    if len(prototypes) < 2:
        return prototypes.sum() * 0
    result: Tensor = _Diversity.apply(prototypes)
    return result


def float64_device(device: torch.device) -> torch.device:
    """Return the device, or the CPU if the device has no float64 (Apple's MPS)."""
    return torch.device("cpu") if device.type == "mps" else device


class _Diversity(torch.autograd.Function):
    """R and its gradient, 8 (N b_j w_j + 2 (W M)_j - sum_i b_i w_i) / (N (N - 1)), with M = W'W - A/(N - 1) I."""

    @staticmethod
    def forward(ctx: Any, prototypes: Tensor) -> Tensor:
        rows = prototypes.detach().to(float64_device(prototypes.device))
        count, dim = rows.shape
        mean = _mean(rows)
        if dim < count:
            squares = torch.empty(count, dtype=torch.float64, device=rows.device)
            weighted, gram = torch.zeros_like(mean), mean.new_zeros(dim, dim)
            for part, centred in _blocks(rows, mean):
                block_squares = torch.linalg.vecdot(centred, centred)
                squares[part] = block_squares
                weighted += centred.T @ block_squares
                gram += centred.T @ centred
            total = squares.sum()
            gram.diagonal().sub_(total / dim)
            bracket = gram.square().sum() + total.square() * (1 / dim - 1 / (count - 1))
            gram.diagonal().add_(total / dim - total / (count - 1))
        else:
            centred = rows.double() - mean
            gram = centred @ centred.T
            squares = gram.diagonal().clone()
            weighted = centred.T @ squares
            total = squares.sum()
            gram.diagonal().sub_(total / (count - 1))
            bracket = (gram + total / (count * (count - 1))).square().sum()
        deviations = squares - total / count
        ctx.save_for_backward(rows, mean, gram, deviations, weighted)
        ctx.device = prototypes.device
        result = (2 * count * deviations.square().sum() + 4 * bracket) / (count * (count - 1))
        return result.to(prototypes.dtype).to(prototypes.device)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        rows, mean, gram, deviations, weighted = ctx.saved_tensors
        count, dim = rows.shape
        factor = 8 * grad.to(rows.device).double() / (count * (count - 1))
        own, gram, weighted = (factor * count * deviations).unsqueeze(1), 2 * factor * gram, factor * weighted
        if dim >= count:
            centred = rows.double() - mean
            small: Tensor = own * centred + gram @ centred - weighted
            return small.to(rows.dtype).to(ctx.device)
        result = torch.empty_like(rows)
        for part, centred in _blocks(rows, mean):
            kind = centred.dtype
            result[part] = torch.addmm(own[part].to(kind) * centred, centred, gram.to(kind)).sub_(weighted.to(kind))
        return result.to(ctx.device)


def _kind(rows: Tensor) -> torch.dtype:
    """Return the type in which blocks are computed: float64, or the rows' own if N > 2 d.

    R is then at least 4 A^2 / (2 d N^2), against which the rounding of a block's products is no larger than that of R
    itself.
    """
    return rows.dtype if len(rows) > 2 * rows.shape[1] else torch.float64


def _mean(rows: Tensor) -> Tensor:
    """Return the mean row in float64.

    Of many float32 rows, which torch sums in float64 twenty times slower, it is the rounded mean plus the blocks' mean
    distance from it.
    """
    if _kind(rows) == torch.float64:
        return rows.mean(0, dtype=torch.float64)
    near = rows.mean(0)
    misses = torch.stack([(part - near).sum(0) for part in torch.split(rows, _BLOCK)])
    mean: Tensor = near + misses.sum(0, dtype=torch.float64) / len(rows)
    return mean


def _blocks(rows: Tensor, mean: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield every block's place and its rows less their mean."""
    kind = _kind(rows)
    high = mean.to(kind)
    low = (mean - high).to(kind)  # what the type cannot hold of the mean
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        yield part, rows[part].to(kind).sub(high).sub_(low)
