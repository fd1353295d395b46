"""Mixup and Remix: convex combinations of images within a batch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from trainables.components.batch import Batch, EpochOrder, TransformContext


class Mixup:
    """x = lambda x_i + (1 - lambda) x_j, with the losses of y_i and y_j mixed by the same lambda.

    lambda ~ Beta(alpha, alpha) is sampled once per batch and j by a permutation of the batch, as in the released code.
    Normalisation is affine, so mixing before it equals mixing after it.

    Args:
        alpha: parameter of the Beta distribution, above 0; small values mix little.

    Source: Zhang, Cisse, Dauphin and Lopez-Paz, 2018, section 2 and figure 1a.
    """

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def begin_stage(self, context: TransformContext) -> None:
        """Store the device and the class counts."""
        self._device = context.class_counts.device
        self._counts = context.class_counts.cpu()

    def begin_epoch(self, order: EpochOrder) -> None:
        """Sample lambda for each batch and a partner for each image."""
        lambdas = beta_draws(self.alpha, len(order.batches), order.generator)
        partners, shares = torch.empty_like(order.rows), torch.empty(len(order.rows))
        others = torch.empty_like(order.labels)
        for part, share in zip(order.batches, lambdas.tolist(), strict=True):
            partners[part] = torch.randperm(part.stop - part.start, generator=order.generator)
            others[part] = order.labels[part][partners[part]]
            shares[part] = share
        label_shares = self.label_shares(shares, self._counts[order.labels], self._counts[others])
        self._batches = order.batches
        self._partners, self._shares = partners.to(self._device), shares.to(self._device)
        self._label_shares = label_shares.to(self._device)

    def __call__(self, batch: Batch, step: int) -> Batch:
        """Return the mixed batch, its pixels as float32."""
        part = self._batches[step]
        partners = self._partners[part]
        pixels = batch.pixels.float()
        # lerp returns its second end exactly at a share of 1
        mixed = torch.lerp(pixels.index_select(0, partners), pixels, self._shares[part].view(-1, 1, 1, 1))
        return Batch(mixed, batch.labels, batch.labels.index_select(0, partners), self._label_shares[part])

    def label_shares(self, shares: Tensor, own: Tensor, other: Tensor) -> Tensor:
        """Return the weight of the own labels, (N,), given lambda and both class counts, all of shape (N,)."""
        return shares


class Remix(Mixup):
    """Mixup with separate label weights that favour the rarer class of a pair.

    Args:
        alpha: parameter of the Beta distribution, above 0.
        kappa: minimum ratio of the class counts for the rarer class to take the whole label, above 1.
        tau: threshold on the frequent class's share of the image, below which this happens; 0 gives mixup.

    Source: Chou, Chang, Pan, Wei and Juan, 2020, the rule for lambda_y.
    """

    def __init__(self, alpha: float, kappa: float, tau: float) -> None:
        super().__init__(alpha)
        self.kappa, self.tau = kappa, tau

    def label_shares(self, shares: Tensor, own: Tensor, other: Tensor) -> Tensor:
        """Return the weight of the own labels, (N,), by `remix_shares`."""
        return remix_shares(shares, own, other, kappa=self.kappa, tau=self.tau)


def remix_shares(shares: Tensor, own: Tensor, other: Tensor, *, kappa: float, tau: float) -> Tensor:
    """Return lambda_y: 0 if n_i/n_j >= kappa and lambda < tau, 1 if n_i/n_j <= 1/kappa and 1-lambda < tau, else lambda.

    Args:
        shares: lambda, the share of image i, (N,), in [0, 1].
        own: n_i, training images of the class of image i, int64 (N,), each at least 1.
        other: n_j, likewise.
        kappa: above 1.
        tau: in [0, 1].

    Returns:
        Weight of label i, (N,), in [0, 1]; label j has one minus this weight.

    Source: Chou et al., 2020, the rule for lambda_y.

    >>> lam = torch.tensor([0.4, 0.4, 0.6])
    >>> remix_shares(lam, torch.tensor([30, 29, 10]), torch.tensor([10, 10, 30]), kappa=3.0, tau=0.5)
    tensor([0.0000, 0.4000, 1.0000])
    """
    n_i, n_j = own.double(), other.double()
    to_other = (n_i >= kappa * n_j) & (shares < tau)
    to_own = (n_j >= kappa * n_i) & (1 - shares < tau)
    return shares.masked_fill(to_other, 0.0).masked_fill(to_own, 1.0)


def beta_draws(alpha: float, n: int, generator: torch.Generator) -> Tensor:
    """Return n samples of Beta(alpha, alpha), float64 (n,), in [0, 1].

    torch's Beta distribution accepts no generator, so NumPy's generator is seeded from it.

    >>> beta_draws(1.0, 3, torch.Generator().manual_seed(0)).shape
    torch.Size([3])
    """
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    return torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, n))
