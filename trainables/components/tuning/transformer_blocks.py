"""The transformer blocks of a backbone, found by their parts: the names that timm gives them."""

from __future__ import annotations

from torch import nn

from trainables.core.errors import BadInput

_PARTS = ("norm1", "attn", "norm2", "mlp")


def transformer_blocks(backbone: nn.Module) -> dict[str, nn.Module]:
    """Return the blocks with attention and a perceptron, each after a normalisation: name -> block, in order."""
    return {
        name: module
        for name, module in backbone.named_modules()
        if all(isinstance(getattr(module, part, None), nn.Module) for part in _PARTS)
    }


def blocks_for(backbone: nn.Module, network: str, what: str) -> dict[str, nn.Module]:
    """Return the transformer blocks of a network that must have some.

    Raises:
        BadInput: it has none; the message begins with ``what``, such as "adapters need".
    """
    blocks = transformer_blocks(backbone)
    if not blocks:
        raise BadInput(f"{what} transformer blocks, and {network} has none")
    return blocks
