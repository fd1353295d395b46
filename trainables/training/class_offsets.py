"""Offsets of a linear head per class: trained, estimated and empirical (Kim, Hong and Kim, 2021, figures 1 and 3)."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.heads import Head, LinearHead
from trainables.components.heads.offset_head import OffsetHead, half_products
from trainables.components.heads.scaled_head import ScaledHead
from trainables.core.trial_folder import StoredJson
from trainables.training.trainer import Trainer


@torch.no_grad()
def class_offsets(trainer: Trainer) -> StoredJson | None:
    """Return the offsets of a trained network per class, in label order, or None if its head is not linear.

    ``empirical`` is mean_k . w_k / 2 with the mean training feature of class k in evaluation mode; ``estimated`` is
    c_k . w_k / 2 with the centres of an `OffsetHead`; ``trained`` is the bias. The paper adds a trained offset to the
    logits and subtracts the other two. What the head lacks is None. ``log_prior`` is the log share of class k in the
    training images. Costs one forward pass over the training images; a post-hoc change of the head is not included.

    Args:
        trainer: a finished training.
    """
    head = trainer.evaluated.head
    if not is_linear(head):
        return None
    weight, bias = _rows(head)
    counts = trainer.data.class_counts.double()
    estimated = half_products(head.centers.float(), weight) if isinstance(head, OffsetHead) else None
    return {
        "epoch": trainer.epoch,
        "class_names": list(trainer.data.class_names),
        "class_counts": trainer.data.class_counts.tolist(),
        "log_prior": (counts / counts.sum()).log().tolist(),
        "trained": _listed(bias),
        "estimated": _listed(estimated),
        "empirical": _listed(half_products(trainer.class_means(), weight)),
    }


def is_linear(head: Head) -> bool:
    """Return True if the logits are w_k . f plus an offset; heads derived from a linear one need not be."""
    return type(head) in (LinearHead, ScaledHead, OffsetHead)


def _rows(head: Head) -> tuple[Tensor, Tensor | None]:
    """Return the rows w_k, (K, d), and the bias, (K,), by which the head computes its logits."""
    weight, bias = head.get_parameter("weight").float(), getattr(head, "bias", None)
    bias = None if bias is None else bias.float()
    if isinstance(head, ScaledHead):
        scale = head.scale.float()
        weight, bias = weight * scale.unsqueeze(1), None if bias is None else bias * scale
    return weight, bias


def _listed(values: Tensor | None) -> list[float] | None:
    return None if values is None else values.tolist()
