"""Network of a backbone and a head, with autocast and frozen-statistics forward passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainables.backbones.backbone import Backbone
from trainables.components.heads import Head


class Outputs(NamedTuple):
    """Outputs of a network for one batch.

    Attributes:
        features: backbone outputs, float32, shape (B, d).
        logits: head outputs, float32, shape (B, K); the argmax is the prediction.
    """

    features: Tensor
    logits: Tensor


class Network(nn.Module):
    """A backbone and a head on one device.

    Attributes:
        tuned: as given.

    Args:
        backbone: maps images (B, C, H, W) to features (B, d).
        head: maps features to logits (B, K).
        autocast: autocast dtype of the backbone; None means float32.
        compiled: run the backbone through torch.compile.
        tuned: names of the backbone's parameters that may be trained; the others keep their values, and so do the
            statistics of BatchNorm. None means all.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: Head,
        autocast: torch.dtype | None = None,
        compiled: bool = False,
        tuned: frozenset[str] | None = None,
    ) -> None:
        super().__init__()
        self.tuned = tuned
        self.backbone, self.head, self.autocast = backbone, head, autocast
        self._compiled: list[Callable[[Tensor], Tensor]] = [torch.compile(backbone)] if compiled else []
        self._frozen_backbone = False

    def features(self, images: Tensor, run: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Return float32 features (B, d) of normalised images (B, C, H, W).

        Args:
            images: the images.
            run: what runs the backbone, if not this network itself.
        """
        run = run or (self._compiled[0] if self._compiled else self.backbone)
        with torch.autocast(images.device.type, self.autocast, enabled=self.autocast is not None):
            features = run(images)
        return features.float()

    def forward(self, images: Tensor) -> Outputs:
        """Return features (B, d) and float32 logits (B, K) of normalised images (B, C, H, W)."""
        if self._frozen_backbone and self.training:
            with torch.no_grad():
                features = self.features(images)
        else:
            features = self.features(images)
        return Outputs(features, self.head(features))

    def forward_frozen_stats(self, images: Tensor) -> Outputs:
        """Run `forward` without updating BatchNorm's running statistics, for a second pass over the same batch."""
        with self.frozen_stats():
            outputs: Outputs = self(images)
        return outputs

    @contextmanager
    def frozen_stats(self) -> Iterator[None]:
        """Leave BatchNorm's running statistics as they are within the context."""
        tracking = [m for m in self.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
        for module in tracking:
            module.track_running_stats = False
        try:
            yield
        finally:
            for module in tracking:
                module.track_running_stats = True

    def trainable_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """Return the parameters that some stage may train, with their names: all, or the tuned ones and the head's."""
        if self.tuned is None:
            return list(self.named_parameters())
        kept = {f"backbone.{name}" for name in self.tuned}
        return [(name, p) for name, p in self.named_parameters() if name in kept or name.startswith("head.")]

    def frozen_names(self) -> frozenset[str]:
        """Return the names of the backbone's parameters that no stage trains, without the prefix ``backbone.``."""
        if self.tuned is None:
            return frozenset()
        return frozenset(name for name, _ in self.backbone.named_parameters()) - self.tuned

    def train_only(self, prefixes: Sequence[str]) -> None:
        """Enter training mode with gradients only for parameters whose names start with one of ``prefixes``.

        Names start with ``backbone.`` or ``head.``. A backbone without trained parameters stays in evaluation mode, so
        that its BatchNorm statistics do not change either.
        """
        trainable = {name for name, _ in self.trainable_parameters()}
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name in trainable and name.startswith(tuple(prefixes)))
        self.train()
        if self.tuned is not None:
            for module in self.backbone.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        self._frozen_backbone = not any(p.requires_grad for p in self.backbone.parameters())
        if self._frozen_backbone:
            self.backbone.eval()
