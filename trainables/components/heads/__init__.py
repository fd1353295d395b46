"""Heads from features to logits, one file each."""

from __future__ import annotations

from trainables.components.heads.cosine_head import CosineHead
from trainables.components.heads.head import Head
from trainables.components.heads.linear_head import LinearHead
from trainables.components.heads.memory_head import MemoryHead
from trainables.components.heads.offset_head import OffsetHead
from trainables.components.heads.prototype_head import PrototypeHead
from trainables.components.heads.scaled_cosine_head import ScaledCosineHead
from trainables.components.heads.scaled_head import ScaledHead

__all__ = [
    "CosineHead",
    "Head",
    "LinearHead",
    "MemoryHead",
    "OffsetHead",
    "PrototypeHead",
    "ScaledCosineHead",
    "ScaledHead",
]
