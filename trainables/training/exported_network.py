"""Export of a trained network for use without this project: stored images in, logits out."""

from __future__ import annotations

import copy
import io
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.functional import center_crop

from trainables.components.network import Network, Outputs
from trainables.components.posthoc.posthoc_change import PostHoc
from trainables.components.tuning import merge_low_rank
from trainables.core.trial_folder import ArrayFile
from trainables.data import Split
from trainables.training.trainer import Trainer

EXAMPLES = 4
"""Images in the example of an exported network."""


class Classifier(nn.Module):
    """A trained network with everything before and after it: scaling, centre crop, post-hoc adjustment.

    It computes in float32 on the CPU, whatever precision the training had. Summands of low rank are added to their
    weights.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        network: Network,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        full_scale: float,
        crop_size: int | None,
        posthoc: PostHoc | None,
        posthoc_value: float | None,
        class_means: Tensor | None,
    ) -> None:
        super().__init__()
        copied = copy.deepcopy(network).cpu().requires_grad_(False).eval()
        merge_low_rank(copied.backbone)
        self.network = Network(copied.backbone, copied.head)
        self.eval()
        self.register_buffer("scale", (1 / (full_scale * torch.tensor(std))).view(1, -1, 1, 1))
        self.register_buffer("shift", (-torch.tensor(mean) / torch.tensor(std)).view(1, -1, 1, 1))
        self.crop_size, self.posthoc, self.value, self.class_means = crop_size, posthoc, posthoc_value, class_means

    def forward(self, images: Tensor) -> Tensor:
        """Return float32 logits (N, K) of stored images (N, C, H, W), uint8 pixels or float32 features."""
        if self.crop_size is not None:
            images = center_crop(images, [self.crop_size, self.crop_size])
        outputs: Outputs = self.network(images.float() * self.scale + self.shift)
        if self.posthoc is None or self.value is None:
            return outputs.logits
        return self.posthoc.logits(self.network.head, outputs, self.value, self.class_means)


def classifier_of(trainer: Trainer) -> Classifier:
    """Return the trained network with everything before and after it; it takes images as the splits store them."""
    mean, std = trainer.input_scaling()
    training, (posthoc, value, means) = trainer.config.training, trainer.posthoc()
    return Classifier(
        trainer.evaluated,
        mean,
        std,
        full_scale=255.0 if trainer.data.train.images.dtype == torch.uint8 else 1.0,
        crop_size=training.test_crop_size or training.crop_size,
        posthoc=posthoc,
        posthoc_value=value,
        class_means=None if means is None else means.cpu(),
    )


def exported_network(trainer: Trainer, split: Split) -> tuple[bytes, ArrayFile]:
    """Export a trained network.

    Args:
        trainer: a finished training, with the weights to export.
        split: images for the example.

    Returns:
        The program, as ``torch.export.load`` reads it, and its example: ``images`` as the split stores them and their
        ``logits`` (n, K).
    """
    classifier = classifier_of(trainer)
    images = torch.as_tensor(np.asarray(split.images[:EXAMPLES])).clone().contiguous()
    logits = classifier(images)
    batch = {0: torch.export.Dim("images", min=1)}
    with torch.no_grad():
        program = torch.export.export(classifier, (images,), dynamic_shapes={"images": batch}, strict=False)
    content = io.BytesIO()
    torch.export.save(program, content)
    return content.getvalue(), {"images": images.numpy(), "logits": logits.numpy()}
