"""Nearest neighbours of images within their class, in raw pixels."""

from __future__ import annotations

import torch
from torch import Tensor

_ROWS, _NUMBERS = 512, 2**23


def nearest_neighbours(images: Tensor, k: int) -> Tensor:
    """Return the k nearest neighbours of each image, nearest first; ties go to the lower index.

    Squared Euclidean distances are computed in float64, where those of bytes are exact, so the neighbours do not
    depend on device or chunk size.

    Args:
        images: (n, ...), uint8, n at least 1.
        k: number of neighbours, at least 1.

    Returns:
        Int64 (n, min(k, n-1)), rows of ``images``, on their device.

    >>> nearest_neighbours(torch.tensor([[0], [250], [200], [10]], dtype=torch.uint8), 2)
    tensor([[3, 2],
            [2, 3],
            [1, 3],
            [0, 2]])
    """
    flat = images.flatten(1)
    size = max(1, min(_ROWS, _NUMBERS // flat.shape[1]))
    lengths = torch.cat([chunk.double().square().sum(dim=1) for chunk in torch.split(flat, size)])
    found = []
    for start in range(0, len(flat), size):
        rows = flat[start : start + size].double()
        products = torch.cat([rows @ columns.double().T for columns in torch.split(flat, size)], dim=1)
        distances = lengths[start : start + size].unsqueeze(1) + lengths - 2 * products
        distances[:, start : start + size].fill_diagonal_(torch.inf)  # no image is its own neighbour
        found.append(distances.sort(dim=1, stable=True).indices[:, : min(k, len(flat) - 1)])
    return torch.cat(found)
