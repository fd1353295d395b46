"""A network in training whose batches are split over several processes: each runs the backbone on its share."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from trainables.components.network import Network, Outputs
from trainables.core.workers import Workers


class SplitNetwork:
    """Runs a network's backbone on this process's share of every batch, and its head on the whole batch.

    The features of all processes are gathered before the head, so head, loss, penalty and the state of a method see
    the whole batch in every process, as they would with one. Only the backbone's gradients have to be added up, which
    `DistributedDataParallel` does within ``backward``. Head and memory get equal gradients in every process; they are
    taken from rank 0 at the start of every epoch, in case devices round differently.

    Args:
        network: the network, on this process's device.
        memory: buffers of the method outside the head.
        workers: the processes, more than one.
    """

    def __init__(self, network: Network, memory: nn.Module, workers: Workers) -> None:
        self._network, self._memory, self._workers = network, memory, workers
        self._parallel: DistributedDataParallel | None = None
        self._trained: tuple[str, ...] | None = None

    def begin_epoch(self) -> None:
        """Prepare for an epoch, after `Network.train_only`."""
        self._workers.take_from_first(self._network, self._memory)
        trained = tuple(name for name, p in self._network.backbone.named_parameters() if p.requires_grad)
        if trained == self._trained:
            return
        self._trained, self._parallel = trained, None  # the old one's hooks end with it
        if trained:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # the argument has another name in newer versions
                # buffers are equal: BatchNorm's statistics are those of the whole batch
                self._parallel = DistributedDataParallel(self._network.backbone, broadcast_buffers=False)

    def of(self, images: int) -> SplitPasses:
        """Return the passes over a batch of ``images`` images in all processes together."""
        return SplitPasses(self._network, self._parallel, self._workers, images)


class SplitPasses:
    """Forward passes over one batch, of which this process has its share of the images."""

    def __init__(
        self, network: Network, parallel: DistributedDataParallel | None, workers: Workers, images: int
    ) -> None:
        self._network, self._parallel, self._workers, self._images = network, parallel, workers, images

    def features(self, images: Tensor) -> Tensor:
        """Return float32 features (B, d) of the whole batch, from this process's normalised images (b, C, H, W)."""
        if self._parallel is None:  # a frozen backbone
            with torch.no_grad():
                own = self._network.features(images)
        else:
            own = self._network.features(images, self._parallel)
        return self._workers.whole_batch(own, self._images)

    def __call__(self, images: Tensor) -> Outputs:
        """Return features (B, d) and logits (B, K) of the whole batch, as `Network.forward`."""
        features = self.features(images)
        return Outputs(features, self._network.head(features))

    def forward_frozen_stats(self, images: Tensor) -> Outputs:
        """Run the forward pass without updating BatchNorm's running statistics."""
        with self._network.frozen_stats():
            return self(images)


def shares_of(parts: Sequence[slice], workers: Workers) -> list[slice]:
    """Return this process's share of every batch, as slices of the epoch's order.

    >>> shares_of([slice(0, 4), slice(4, 7)], Workers(1, 2))
    [slice(2, 4, None), slice(5, 7, None)]
    """
    own = (workers.share(part.stop - part.start) for part in parts)
    return [slice(part.start + share.start, part.start + share.stop) for part, share in zip(parts, own, strict=True)]
