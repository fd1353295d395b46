"""Prototype head of the affinity loss: similarity to the nearest of several prototypes per class."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from trainables.components.heads.distances import manhattan_distances, squared_distances
from trainables.components.heads.head import Head, at_least_float32, without_autocast
from trainables.components.heads.prototype_diversity import diversity_regulariser

DISTANCES = {"l2_squared": squared_distances, "l1": manhattan_distances}
SIMILARITIES = ("gaussian", "inverse")
SIGMA_UNITS = ("median", "absolute")


class PrototypeHead(Head):
    """Log affinities log d_j with d_j = max_t exp(-||f - w_jt||^2 / sigma).

    Source: Hayat et al. 2019, "Gaussian affinity for max-margin class imbalanced learning", eqs 3, 7 to 10.
    The logits are log d_j, which still rank the classes where every d_j underflows; the loss exponentiates them.

    Args:
        feature_dim: number of features d.
        num_classes: number of classes C, at least 2.
        prototypes: m, prototypes per class, at least 1.
        sigma: spread of the clusters, > 0, in the unit `sigma_unit`.
        sigma_unit: ``absolute`` follows the paper. ``median`` (a deviation) multiplies sigma by the median distance D
            between features and prototypes in the first batch, so that one sigma suits 2 and 512 features alike.
            With ``median`` the logits are NaN until `calibrate` has run or a state dict is loaded.
        diversity_weight: factor of the regulariser in `penalty`, >= 0; 1 in the paper.
        distance: ``l2_squared`` D = ||f - w||^2, or ``l1`` D = ||f - w||_1 (table 4).
        similarity: ``gaussian`` exp(-D / sigma), or ``inverse`` 1 / (1 + D / sigma), which for an absolute sigma of 1
            is the paper's 1 / (1 + D) (table 4). The paper reports that l1 did not converge with one of the two: with
            the inverse similarity according to table 4, with the Gaussian one according to the text.

    Attributes:
        weight: prototypes w_jt, (C, m, d), initialised from N(0, 2 / d): the expected squared distance between two
            prototypes is 4 for any d.

    Raises:
        ValueError: if a number is out of range or a choice is unknown.

    >>> head = PrototypeHead(2, 3, prototypes=1, sigma=4.0, sigma_unit="absolute")
    >>> head(head.weight[:, 0]).diagonal().abs().max() < 1e-6  # affinity 1 at a prototype
    tensor(True)
    """

    calibrates = True
    scale: Tensor
    calibrated: Tensor

    def __init__(
        self,
        feature_dim: int,
        num_classes: int,
        prototypes: int = 5,
        sigma: float = 1.0,
        sigma_unit: Literal["median", "absolute"] = "median",
        diversity_weight: float = 1.0,
        distance: Literal["l2_squared", "l1"] = "l2_squared",
        similarity: Literal["gaussian", "inverse"] = "gaussian",
    ) -> None:
        super().__init__(feature_dim, num_classes)
        _check_numbers(num_classes, prototypes, sigma, diversity_weight)
        _check_choice("distance", distance, DISTANCES)
        _check_choice("similarity", similarity, SIMILARITIES)
        _check_choice("sigma_unit", sigma_unit, SIGMA_UNITS)
        self.sigma, self.diversity_weight = sigma, diversity_weight
        self.distance, self.similarity = distance, similarity
        drawn = nn.init.kaiming_normal_(torch.empty(num_classes * prototypes, feature_dim))
        self.weight = nn.Parameter(drawn.view(num_classes, prototypes, feature_dim))
        absolute = sigma_unit == "absolute"
        # NaN instead of a check in forward, which would synchronise with the device in every step
        self.register_buffer("scale", torch.tensor(1.0 if absolute else float("nan")))
        self.register_buffer("calibrated", torch.tensor(absolute))

    def forward(self, features: Tensor) -> Tensor:
        """Return the log affinities (B, C), at most 0, of features (B, d)."""
        with without_autocast(features):
            features = at_least_float32(features)
            per_class = self._distances(features).reshape(
                -1, *self.weight.shape[:2]
            )  # not len(): torch.export fixes it
            nearest = per_class.amin(2) / (self.sigma * self.scale.to(features.dtype))
            return -nearest if self.similarity == "gaussian" else -nearest.log1p()

    def penalty(self) -> Tensor | None:
        """Return diversity_weight * R over all m * C prototypes (eqs 7, 10), a scalar, or None if the weight is 0."""
        if self.diversity_weight == 0:
            return None
        with without_autocast(self.weight):
            return self.diversity_weight * diversity_regulariser(at_least_float32(self.weight).flatten(0, 1))

    @torch.no_grad()
    def calibrate(self, features: Tensor, labels: Tensor) -> None:
        """Set the unit of sigma to the median distance between features (B, d) and all prototypes.

        Has no effect with ``absolute``, on later calls, or after a calibrated state dict is loaded.
        """
        if not self.calibrated:
            with without_autocast(features):
                self.scale.copy_(self._distances(at_least_float32(features)).median())
            self.calibrated.fill_(True)

    def _distances(self, features: Tensor) -> Tensor:
        prototypes = self.weight.to(features.dtype).flatten(0, 1)
        return DISTANCES[self.distance](features, prototypes)


def _check_numbers(num_classes: int, prototypes: int, sigma: float, diversity_weight: float) -> None:
    if num_classes < 2:
        raise ValueError(f"`num_classes` must be at least 2, got {num_classes}")
    if prototypes < 1:
        raise ValueError(f"`prototypes` must be at least 1, got {prototypes}")
    if not 0 < sigma < float("inf"):
        raise ValueError(f"`sigma` must be > 0 and finite, got {sigma}")
    if not 0 <= diversity_weight < float("inf"):
        raise ValueError(f"`diversity_weight` must be >= 0 and finite, got {diversity_weight}")


def _check_choice(field: str, value: str, allowed: Iterable[str]) -> None:
    if value not in allowed:
        raise ValueError(f"`{field}` must be one of {', '.join(allowed)}, got {value!r}")
