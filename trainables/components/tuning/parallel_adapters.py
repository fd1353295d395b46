"""AdaptFormer: a small bottleneck beside the perceptron of every transformer block is trained."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.components.tuning.transformer_blocks import blocks_for
from trainables.components.tuning.tuning import Tuning
from trainables.core.errors import BadInput

_KNOWN_BLOCKS = {
    ("timm.models.vision_transformer", "Block"),
    ("trainables.backbones.small_transformer", "Block"),
}
"""Classes of blocks that compute y = x + attn(norm1(x)), then y + mlp(norm2(y))."""


class Adapter(nn.Module):
    """s U relu(D LN(x) + b) + s c, with D (w, d) and U (d, w).

    U, b and c are 0 at first, and with them the output; D is drawn uniform with variance 1 / (3 d).

    Source: Chen et al., 2022, AdaptFormer, the bottleneck of section 3.2; initialisation as in the released code.

    Args:
        dim: d, features of a token.
        width: w, of the bottleneck.
        scale: s; its initial value where it is learned.
        learned_scale: train s.
        normalised: normalise the input, by a LayerNorm of its own.
        dropout: probability with which an entry of the bottleneck is dropped.
    """

    scale: Tensor

    def __init__(
        self, dim: int, width: int, scale: float, *, learned_scale: bool, normalised: bool, dropout: float
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim) if normalised else nn.Identity()
        self.down, self.up = nn.Linear(dim, width), nn.Linear(width, dim)
        self.dropout = dropout
        if learned_scale:
            self.scale = nn.Parameter(torch.tensor(float(scale)))
        else:
            self.register_buffer("scale", torch.tensor(float(scale)))
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (..., d) of tokens (..., d)."""
        narrow = F.dropout(F.relu(self.down(self.norm(tokens))), self.dropout, self.training)
        wide: Tensor = self.up(narrow)
        return wide * self.scale.to(wide.dtype)


class AdaptedBlock(nn.Module):
    """y + mlp(norm2(y)) + adapter(y) with y = x + attn(norm1(x)).

    It takes over the parts of a block under their names. Layer scales and dropped paths stay where they were; the
    adapter's output is neither scaled by them nor dropped.

    Args:
        block: one of `_KNOWN_BLOCKS`.
        adapter: added beside its perceptron.
    """

    def __init__(self, block: nn.Module, adapter: Adapter) -> None:
        super().__init__()
        parts = dict(block.named_children())
        self.norm1, self.attn, self.norm2, self.mlp = (parts.pop(name) for name in ("norm1", "attn", "norm2", "mlp"))
        self.ls1, self.drop_path1 = (parts.pop(name, nn.Identity()) for name in ("ls1", "drop_path1"))
        self.ls2, self.drop_path2 = (parts.pop(name, nn.Identity()) for name in ("ls2", "drop_path2"))
        if parts:
            raise ValueError(f"a block with parts that are not known: {', '.join(parts)}")
        self.adapter = adapter

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens (B, N, d) of tokens (B, N, d)."""
        attended: Tensor = tokens + self.drop_path1(self.ls1(self.attn(self.norm1(tokens))))
        changed: Tensor = attended + self.drop_path2(self.ls2(self.mlp(self.norm2(attended))))
        added: Tensor = self.adapter(attended)
        return changed + added


class ParallelAdapters(Tuning):
    """Adds an adapter beside the perceptron of every transformer block, and trains these alone.

    Args:
        width: of every bottleneck; None takes `balanced_width` for ``classes``.
        scale: s of every adapter.
        learned_scale: train s, one for every block, from ``scale`` on.
        normalised: as in `Adapter`.
        dropout: as in `Adapter`.
        classes: number of classes; needed without a width.
    """

    scope = "adapter"

    def __init__(
        self,
        width: int | None,
        scale: float,
        *,
        learned_scale: bool = False,
        normalised: bool = True,
        dropout: float = 0.0,
        classes: int = 1,
    ) -> None:
        self.width, self.scale, self.learned_scale = width, scale, learned_scale
        self.normalised, self.dropout, self.classes = normalised, dropout, classes

    def prepare(self, backbone: nn.Module, network: str) -> frozenset[str]:
        """Replace every block by an adapted one and return the names of the adapters' parameters."""
        blocks = blocks_for(backbone, network, "adapters need")
        width = balanced_width(self.classes, len(blocks)) if self.width is None else self.width
        trained: list[str] = []
        for name, block in blocks.items():
            kind = type(block)
            if (kind.__module__, kind.__qualname__) not in _KNOWN_BLOCKS:
                raise BadInput(
                    f"adapters need the blocks of a plain vision transformer; those of {network} are "
                    f"{kind.__module__}.{kind.__qualname__}"
                )
            adapter = Adapter(
                _dim_of(block),
                width,
                self.scale,
                learned_scale=self.learned_scale,
                normalised=self.normalised,
                dropout=self.dropout,
            )
            adapter.to(next(block.parameters()).device)
            parent, _, last = name.rpartition(".")
            setattr(backbone.get_submodule(parent), last, AdaptedBlock(block, adapter))
            trained += [f"{name}.adapter.{own}" for own, _ in adapter.named_parameters()]
        return frozenset(trained)


def _dim_of(block: nn.Module) -> int:
    assert isinstance(block.norm1, nn.Module)
    shape = getattr(block.norm1, "normalized_shape", None)
    if not shape:
        raise BadInput(f"adapters need blocks with a LayerNorm, got {type(block.norm1).__name__}")
    return int(shape[-1])


def balanced_width(classes: int, blocks: int) -> int:
    """Return 2^floor(log2(K / (2 L))), at least 1: the adapters then have at most as many weights as the head.

    Source: Shi et al., 2024, LIFT, the rule of the released code.

    >>> balanced_width(1000, 12), balanced_width(10, 12)
    (32, 1)
    """
    return int(2 ** max(0, math.floor(math.log2(classes / (2 * blocks)))))
