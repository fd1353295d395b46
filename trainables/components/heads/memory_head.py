"""Memory head of OLTR: features are combined with a memory of class centroids before classification."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.components.heads.cosine_head import unit_rows
from trainables.components.heads.distances import squared_distances
from trainables.components.heads.head import at_least_float32, without_autocast
from trainables.components.heads.linear_head import LinearHead


class MemoryHead(LinearHead):
    """Linear head that switches to OLTR's dynamic meta-embedding and cosine classifier once it has a memory c.

    Before `remember`, z = Hx. Afterwards

        m = x + tanh(Fx) * sum_k softmax(Hx)_k c_k,  v = (r / min_k ||x - c_k||) m,
        z_k = scale * ||v|| / (1 + ||v||) * cos(v, w_k).

    The factor is computed as ||v|| / (1 + ||v||) = r ||m|| / (r ||m|| + min_k ||x - c_k||), without division by the
    distance. Logits and gradients therefore stay finite where a feature equals its centroid (a class of one image).

    Source: Liu, Miao, Zhan, Wang, Gong and Yu, 2019, dynamic meta-embedding. The squashing of lengths, the
    initialisation of W and the reuse of the first stage's classifier as H follow the released code.

    Args:
        feature_dim: number of features d.
        num_classes: number of classes K.
        scale: factor of the cosines.
        reach: r, the reachability of a feature at distance 1 from its nearest centroid.

    Attributes:
        weight, bias: H, (K, d) and (K,): the classifier of the first stage, then the association with the memory.
        selector: F, the concept selector, (d, d) with bias.
        directions: rows w_k, (K, d); their lengths do not affect the logits.
        memory: c, (K, d), a buffer.
        attends: True once the memory is set.

    >>> head = MemoryHead(3, 2)
    >>> head.remember(torch.eye(2, 3))
    >>> head(torch.eye(2, 3)).abs().max() <= 16
    tensor(True)
    """

    memory: Tensor

    def __init__(self, feature_dim: int, num_classes: int, scale: float = 16.0, reach: float = 10.0) -> None:
        super().__init__(feature_dim, num_classes)  # first, so that H equals the weights of a plain linear head
        self.scale, self.reach = scale, reach
        self.selector = nn.Linear(feature_dim, feature_dim)
        bound = 1 / math.sqrt(feature_dim)
        self.directions = nn.Parameter(torch.empty(num_classes, feature_dim).uniform_(-bound, bound))
        self.register_buffer("memory", torch.zeros(num_classes, feature_dim))
        # a plain attribute: reading a tensor on the device would synchronise in every step
        self.attends = False

    @torch.no_grad()
    def remember(self, centroids: Tensor) -> None:
        """Set the memory to the centroids (K, d) and use it in all later forward passes."""
        self.memory.copy_(centroids)
        self.attends = True

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits (B, K) of features (B, d)."""
        association = super().forward(features)
        if not self.attends:
            return association
        with without_autocast(features):
            features = at_least_float32(features)
            embedded = self._embedded(features, association)
            squashed = unit_rows(embedded) * self._squashed_length(features, embedded)
            return F.linear(squashed, self.scale * unit_rows(self.directions.to(features.dtype)))

    def _embedded(self, features: Tensor, association: Tensor) -> Tensor:
        remembered = association.softmax(dim=1) @ self.memory.to(features.dtype)
        weight, bias = (p.to(features.dtype) for p in (self.selector.weight, self.selector.bias))
        return features + F.linear(features, weight, bias).tanh() * remembered

    def _squashed_length(self, features: Tensor, embedded: Tensor) -> Tensor:
        memory = self.memory.to(features.dtype)
        nearest = memory[squared_distances(features.detach(), memory).argmin(dim=1)]
        # from the difference itself: the expanded square is inaccurate for the small distances, which matter most
        distance = torch.linalg.vector_norm(features - nearest, dim=1, keepdim=True)
        length = self.reach * torch.linalg.vector_norm(embedded, dim=1, keepdim=True)
        squashed: Tensor = length / (length + distance).clamp_min(torch.finfo(features.dtype).tiny)
        return squashed

    def get_extra_state(self) -> Tensor:
        """Return `attends` as a tensor for the state dict."""
        return torch.tensor(self.attends)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore `attends` from the state dict."""
        self.attends = bool(state)
