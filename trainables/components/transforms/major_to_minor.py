"""Major-to-minor translation (M2m): minority examples are replaced by translated majority images (Kim et al., 2020)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trainables.components.batch import Batch, EpochOrder, TransformContext
from trainables.components.network import Network
from trainables.components.transforms.generation_sites import SeedPools, Sites, draw_other_labels, draw_sites
from trainables.components.transforms.gradient_translation import (
    Bounds,
    acceptance_probability,
    confident,
    held_constant,
    translate,
    translation_objective,
    unit_images,
)
from trainables.components.variants import Confidence
from trainables.core.workers import ALONE, Workers
from trainables.data.pipeline.batch_pipeline import Draws

_SHOWN_CLASSES, _CANDIDATES = 5, 16
"""Target classes of the picture, and translations to each of which the most confident is shown."""


@dataclass(frozen=True)
class TranslationSettings:
    """Settings of a translation; see `trainables.methods.m2m.TranslationParams`."""

    beta: float
    lam: float
    gamma: float
    confidence: Confidence
    steps: int
    step_size: float
    noise: float
    clean: bool = False
    random_label: bool = False
    pool_size: int | None = None


class _Draws(NamedTuple):
    """Random draws of an epoch, on the device except for the slices and noise seeds, which the host needs."""

    examples: Tensor
    seeds: Tensor
    targets: Tensor
    seed_classes: Tensor
    new_labels: Tensor
    steps: tuple[slice, ...]
    noise_seeds: list[int]
    pool: tuple[Tensor, Draws] | None


class Translation:
    """Replaces minority examples by majority images translated to the minority class.

    Images are translated and clamped as pixels in [0, 1], before normalisation. All sites of a step are translated as
    one batch, with one backward pass through the reference g and the trained network f, both in evaluation mode. All
    random numbers but the noise are drawn on the CPU once per epoch, so that the host knows the batch sizes; the
    confidence test stays on the device. An example is replaced only if the reference is confident.

    Args:
        settings: settings of the method.
    """

    def __init__(self, settings: TranslationSettings) -> None:
        self.settings = settings

    def begin_stage(self, context: TransformContext) -> None:
        """Store networks and pipeline, obtain the reference and create the seed pools."""
        self._network, self._pipeline, self._workers = context.network, context.pipeline, context.workers
        # translations work on pixels in [0, 1]; feature vectors are taken as they are and have no range
        full_scale = context.pipeline.full_scale
        self._unit = 1.0 if full_scale is None else float(full_scale)
        self._bounds: Bounds | None = None if full_scale is None else (0.0, 1.0)
        self._reference = context.reference()
        self._device, self._counts = context.class_counts.device, context.class_counts.cpu()
        self._pools: SeedPools | None = None
        if self.settings.pool_size is not None:
            labels = context.pipeline.labels.cpu()
            self._pools = SeedPools(labels, len(self._counts), self.settings.pool_size)

    def begin_epoch(self, order: EpochOrder) -> None:
        """Sample sites, seeds, labels and noise seeds of an epoch, and move them to the device."""
        sites, labels = draw_sites(order, self._counts, self.settings.beta), None
        noise_seeds = torch.randint(2**62, (len(order.batches),), generator=order.generator).tolist()
        if self.settings.random_label:
            labels = draw_other_labels(sites, len(self._counts), order.generator)
        pool = None if self._pools is None else self._draw_from(self._pools, sites, order.generator)
        new = sites.targets if labels is None else labels
        together = torch.stack([sites.examples, sites.seeds, sites.targets, sites.seed_classes, new]).to(self._device)
        examples, seeds, targets, classes, new = together.unbind()
        self._examples, self._drawn = len(order.labels), sites.drawn
        self._tally = torch.zeros(2, dtype=torch.int64, device=self._device)
        self._draws = _Draws(examples, seeds, targets, classes, new, sites.steps, noise_seeds, pool)

    def __call__(self, batch: Batch, step: int) -> Batch:
        """Return the batch with some examples replaced by generated images, its pixels as float32."""
        part = self._draws.steps[step]
        if part.start == part.stop:
            return batch
        examples = self._draws.examples[part]
        pixels = batch.pixels.to(torch.float32, copy=True)  # in the memory layout of the batch, as indexing keeps it
        seeds = self._seeds(pixels, part)
        targets, classes = self._draws.targets[part], self._draws.seed_classes[part]
        made, logits = self._generate(
            seeds / self._unit, targets, classes, self._draws.noise_seeds[step], self._workers
        )
        taken = confident(logits, targets, gamma=self.settings.gamma, measure=self.settings.confidence)
        images, new_labels = seeds if self.settings.clean else made * self._unit, self._draws.new_labels[part]
        known = taken & (self._predictions(self._network, images / self._unit) == new_labels)
        self._tally += torch.stack([taken.sum(), known.sum()])  # on the device: no step waits for the counts
        replaced = torch.where(taken.view(-1, 1, 1, 1), images, pixels[examples])
        labels = torch.where(taken, new_labels, batch.labels[examples])
        return batch._replace(
            pixels=pixels.index_copy_(0, examples, replaced), labels=batch.labels.index_copy(0, examples, labels)
        )

    def _generate(
        self, seeds: Tensor, targets: Tensor, seed_classes: Tensor, noise_seed: int, workers: Workers = ALONE
    ) -> tuple[Tensor, Tensor]:
        """Translate seeds (S, C, H, W) in [0, 1]; return the images and the reference's logits (S, K).

        Each of the workers translates its share; all of them must then take part.
        """
        settings, share = self.settings, workers.share(len(seeds))
        targets, seed_classes = targets[share], seed_classes[share]

        def objective(images: Tensor) -> Tensor:
            reference = self._logits(self._reference, images)
            if settings.lam == 0:
                return translation_objective(reference, targets)
            own = self._logits(self._network, images).gather(1, seed_classes.unsqueeze(1)).squeeze(1)
            return translation_objective(reference, targets, own, lam=settings.lam)

        starts = (seeds + settings.noise * self._noise(seeds, noise_seed))[share]
        with held_constant(self._reference), held_constant(self._network):
            made = translate(starts, objective, steps=settings.steps, step_size=settings.step_size, bounds=self._bounds)
            with torch.no_grad():
                logits = self._logits(self._reference, made)
        return workers.gather(made, len(seeds)), workers.gather(logits, len(seeds))

    def epoch_metrics(self) -> dict[str, float]:
        """Return the shares of the epoch's sites, accepted translations and translations that f knew.

        ``sites`` is a share of the examples, ``accepted`` of the sites, ``known`` of the accepted ones; a share of
        nothing is NaN. With ``clean`` and ``random_label``, f is asked for the image and label that it trains on.
        """
        accepted, known = self._tally.tolist()
        return {
            "sites": _share(self._drawn, self._examples),
            "accepted": _share(accepted, self._drawn),
            "known": _share(known, accepted),
        }

    def end_arrays(self) -> dict[str, dict[str, Any]]:
        """Return translations of today's networks to the five rarest classes, for a picture.

        The seeds are drawn as in training, from the images without augmentation and with a generator of their own:
        neither the training nor its random numbers change. Of 16 translations to a class, the most confident one is
        kept. There are none to classes that no other exceeds, and none of feature vectors.

        Returns:
            ``translations``: ``seed`` uint8 and ``translated`` float32 in [0, 1], (n, C, H, W), n at most 5;
            ``target`` and ``seed_class`` int64 (n,); ``confidence`` float32 (n,), p_g(k) of the translation;
            ``accepted`` bool (n,), the confidence test; ``known`` bool (n,), f classifies it as k.
        """
        order = self._counts.argsort(stable=True)
        shown = order[self._counts[order] < self._counts.max()][:_SHOWN_CLASSES]
        if self._bounds is None or not len(shown):
            return {}
        generator, labels = torch.Generator().manual_seed(0), self._pipeline.labels.cpu()
        chances = acceptance_probability(self._counts, self._counts[shown].unsqueeze(1), self.settings.beta)
        drawn = torch.multinomial(chances * self._counts, _CANDIDATES, replacement=True, generator=generator)
        pools = self._pools or SeedPools(labels, len(self._counts), len(labels))
        rows = pools.draw(drawn.flatten(), generator).to(self._device)
        targets = shown.repeat_interleave(_CANDIDATES).to(self._device)
        pixels = self._pipeline.pixels(rows)
        made, logits = self._generate(pixels.float() / self._unit, targets, drawn.flatten().to(self._device), 0)
        chosen = logits.float().log_softmax(1).gather(1, targets.unsqueeze(1)).view(-1, _CANDIDATES).argmax(1)
        chosen = chosen + _CANDIDATES * torch.arange(len(shown), device=self._device)
        made, logits, targets = made[chosen], logits[chosen].float(), targets[chosen]
        found = {
            "seed": pixels[chosen],
            "translated": made,
            "target": targets,
            "seed_class": self._pipeline.labels[rows[chosen]],
            "confidence": logits.softmax(1).gather(1, targets.unsqueeze(1)).squeeze(1),
            "accepted": confident(logits, targets, gamma=self.settings.gamma, measure=self.settings.confidence),
            "known": self._predictions(self._network, made) == targets,
        }
        return {"translations": {name: values.contiguous().cpu().numpy() for name, values in found.items()}}

    def _predictions(self, network: Network, images: Tensor) -> Tensor:
        with held_constant(network), torch.no_grad():
            return self._logits(network, images).argmax(1)

    def _logits(self, network: Network, images: Tensor) -> Tensor:
        logits: Tensor = network(self._pipeline.normalise(images * self._unit)).logits
        return logits

    def _noise(self, like: Tensor, seed: int) -> Tensor:
        generator = torch.Generator(self._device).manual_seed(seed)
        return unit_images(torch.rand(like.shape, generator=generator, device=like.device) - 0.5)

    def _seeds(self, pixels: Tensor, part: slice) -> Tensor:
        if self._draws.pool is None:
            return pixels[self._draws.seeds[part]]
        rows, draws = self._draws.pool
        return self._pipeline.pixels(rows[part], draws[part]).float()

    def _draw_from(self, pools: SeedPools, sites: Sites, generator: torch.Generator) -> tuple[Tensor, Draws]:
        rows = pools.draw(sites.seed_classes, generator)
        return rows.to(self._device), self._pipeline.draw(len(rows), generator).to(self._device)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
