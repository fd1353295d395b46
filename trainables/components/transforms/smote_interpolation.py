"""SMOTE: minority images are replaced by interpolations with their nearest neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.batch import Batch, EpochOrder, TransformContext
from trainables.components.transforms.class_neighbours import nearest_neighbours


class Smote:
    """Replaces an image x of class k by x + u (x' - x) with probability 1 - n_k/n_max, u uniform in [0, 1).

    x' is one of the nearest neighbours of x within its class, in raw pixels; the only image of a class is its own
    neighbour. A synthetic image has its own augmentation, applied to x and x' alike. With class-balanced sampling the
    share of original images equals that of a data set oversampled to n_max images per class.

    Args:
        neighbours: number of nearest neighbours from which x' is sampled, at least 1; a smaller class uses all it has.

    Source: Chawla, Bowyer, Hall and Kegelmeyer, 2002, section 4.2. Distances are float64, since differences of bytes
    wrap. Deviation: u is sampled once per image; the paper samples it per attribute, which adds noise to pixels.
    """

    def __init__(self, neighbours: int) -> None:
        self.neighbours = neighbours

    def begin_stage(self, context: TransformContext) -> None:
        """Find the neighbours of each image that may be replaced; they depend on the images only."""
        self._pipeline, counts = context.pipeline, context.class_counts.cpu()
        self._rate = 1 - counts.double() / counts.max()
        labels = self._pipeline.labels
        images = torch.arange(len(labels))
        self._table, self._available = images.unsqueeze(1).repeat(1, self.neighbours), torch.ones_like(images)
        for k in self._rate.nonzero().flatten().tolist():
            of_class = (labels == k).nonzero().flatten()
            if len(of_class) > 1:
                found = of_class[nearest_neighbours(self._pipeline.pixels(of_class), self.neighbours)].cpu()
                self._table[of_class.cpu(), : found.shape[1]] = found
                self._available[of_class.cpu()] = found.shape[1]

    def begin_epoch(self, order: EpochOrder) -> None:
        """Sample the replaced images, their neighbours, the interpolation weights u and the augmentation."""
        n, generator, device = len(order.rows), order.generator, self._pipeline.labels.device
        chosen = torch.rand(n, generator=generator, dtype=torch.float64) < self._rate[order.labels]
        uniform = torch.rand(n, generator=generator, dtype=torch.float64)
        nearness = (uniform * self._available[order.rows]).long()
        partners = self._table[order.rows, nearness]
        steps = torch.rand(n, generator=generator)
        draws = self._pipeline.draw(n, generator)
        before = [0, *chosen.cumsum(0).tolist()]
        self._spans = [slice(before[part.start], before[part.stop]) for part in order.batches]
        places = torch.cat([torch.arange(part.stop - part.start) for part in order.batches])

        def kept(values: Tensor) -> Tensor:
            return values[chosen].to(device)

        self._places, self._rows, self._partners = kept(places), kept(order.rows), kept(partners)
        self._steps, self._augmentation = kept(steps), draws[chosen].to(device)

    def __call__(self, batch: Batch, step: int) -> Batch:
        """Return the batch with the chosen images replaced, its pixels as float32."""
        span = self._spans[step]
        augmentation = self._augmentation[span]
        own, other = (
            self._pipeline.pixels(rows[span], augmentation).float()  # bytes would wrap
            for rows in (self._rows, self._partners)
        )
        made = torch.lerp(own, other, self._steps[span].view(-1, 1, 1, 1))
        return batch._replace(pixels=batch.pixels.float().index_copy(0, self._places[span], made))
