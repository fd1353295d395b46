"""Heads: what turns features into logits, one file each."""

from __future__ import annotations

from trainables.heads.base import Head
from trainables.heads.cosine import CosineHead
from trainables.heads.linear import LinearHead
from trainables.heads.memory import MemoryHead
from trainables.heads.offset import OffsetHead
from trainables.heads.prototypes import PrototypeHead
from trainables.heads.scaled import ScaledHead
from trainables.heads.scaled_cosine import ScaledCosineHead

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
