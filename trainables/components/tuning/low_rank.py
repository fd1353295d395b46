"""LoRA: every chosen weight matrix gets a trained summand of low rank, and stays as it is itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.components.tuning.transformer_blocks import blocks_for
from trainables.components.tuning.tuning import Tuning
from trainables.core.config import Projections
from trainables.core.errors import BadInput

_QUERY_KEY_VALUE = 3
_SEPARATE = ({"q", "v"}, {"q_proj", "v_proj"}, {"query", "value"})
"""Names of query and value where they are layers of their own."""


class LowRank(Tuning):
    """W x + (alpha / r) U D x in place of W x, with D (r, n) and U (m, r) trained and W (m, n) frozen.

    D is drawn as in the released code, uniform with variance 1 / (3 n), and U is 0: the features do not change at
    first. The products are computed from x on: the gradient of W, which full fine-tuning needs, is never formed.

    Source: Hu et al., 2022, section 4.1; for convolutions the form in the released code and in peft: D is a
    convolution of the layer's size and stride to r channels, U one of size 1.

    Args:
        rank: r, at least 1.
        alpha: of the factor alpha / r, > 0.
        projections: ``query-value`` the query and the value of every attention, each with a summand of its own (the
            paper's choice); ``attention`` every linear layer of the attentions; ``blocks`` every linear layer of the
            transformer blocks; ``all`` every linear layer and every convolution without groups of any network.
    """

    scope = "lora"

    def __init__(self, rank: int, alpha: float, projections: Projections) -> None:
        self.rank, self.alpha, self.projections = rank, alpha, projections

    def prepare(self, backbone: nn.Module, network: str) -> frozenset[str]:
        """Replace the chosen layers and return the names of all D and U."""
        trained = []
        for name, parts, chosen in list(self._layers(backbone, network)):
            parent, _, last = name.rpartition(".")
            layer = backbone.get_submodule(name)
            adapted: LowRankLinear | LowRankConv2d
            if isinstance(layer, nn.Conv2d):
                adapted = LowRankConv2d(layer, self.rank, self.alpha)
            else:
                assert isinstance(layer, nn.Linear)
                adapted = LowRankLinear(layer, self.rank, self.alpha, parts, chosen)
            setattr(backbone.get_submodule(parent), last, adapted)
            trained += [f"{name}.down", f"{name}.up"]
        return frozenset(trained)

    def _layers(self, backbone: nn.Module, network: str) -> Iterator[tuple[str, int, tuple[int, ...]]]:
        """Yield every chosen layer: its name, the equal parts of its outputs, and which of them are adapted."""
        if self.projections == "all":
            found = [name for name, module in backbone.named_modules() if _is_plain(module)]
            if not found:
                raise BadInput(f"{network} has no linear layer and no convolution without groups")
            yield from ((name, 1, (0,)) for name in found)
            return
        for place, block in self._blocks(backbone, network).items():
            inside = block if self.projections == "blocks" else block.attn
            below = place if self.projections == "blocks" else f"{place}.attn"
            assert isinstance(inside, nn.Module)
            linear = [name for name, module in inside.named_modules() if type(module) is nn.Linear]
            if self.projections != "query-value":
                yield from ((f"{below}.{name}", 1, (0,)) for name in linear)
            elif "qkv" in linear:
                yield f"{below}.qkv", _QUERY_KEY_VALUE, (0, 2)
            else:
                pair = next((names for names in _SEPARATE if names <= set(linear)), None)
                if pair is None:
                    raise BadInput(
                        f"{network}: the layers of query and value in {below} are not known; take "
                        "other `projections`: attention, blocks or all"
                    )
                yield from ((f"{below}.{name}", 1, (0,)) for name in sorted(pair))

    def _blocks(self, backbone: nn.Module, network: str) -> dict[str, nn.Module]:
        try:
            return blocks_for(backbone, network, f"`projections: {self.projections}` needs")
        except BadInput as error:
            raise BadInput(f"{error}; `projections: all` adapts its linear layers and convolutions") from None


def _is_plain(module: nn.Module) -> bool:
    # subclasses compute something else with their weight
    return type(module) is nn.Linear or (type(module) is nn.Conv2d and module.groups == 1)


def _drawn(like: Tensor, *shape: int) -> nn.Parameter:
    drawn = torch.empty(shape, dtype=like.dtype, device=like.device)
    return nn.Parameter(nn.init.kaiming_uniform_(drawn, a=math.sqrt(5)))


class LowRankLinear(nn.Linear):
    """A linear layer with a summand of low rank for chosen parts of its outputs.

    Args:
        base: the layer whose weight and bias it takes over.
        rank: r.
        alpha: of the factor alpha / r.
        parts: number of equal parts of the outputs; 3 for a layer that computes query, key and value at once.
        chosen: the parts that get a summand.

    Attributes:
        down: D of every chosen part, (len(chosen), r, in).
        up: U of every chosen part, (len(chosen), out / parts, r).
    """

    def __init__(
        self, base: nn.Linear, rank: int, alpha: float, parts: int = 1, chosen: tuple[int, ...] = (0,)
    ) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = base.in_features, base.out_features
        self.weight, self.bias = base.weight, base.bias
        self.factor, self.parts, self.chosen = alpha / rank, parts, chosen
        drawn = [_drawn(base.weight, rank, base.in_features) for _ in chosen]
        self.down = nn.Parameter(torch.stack([each.data for each in drawn]))
        self.up = nn.Parameter(base.weight.new_zeros(len(chosen), base.out_features // parts, rank))

    def forward(self, input: Tensor) -> Tensor:
        """Return (..., out) of (..., in)."""
        low = F.linear(input, self.down.flatten(0, 1)).unflatten(-1, (len(self.chosen), -1))  # type: ignore[no-untyped-call]
        added = torch.einsum("...cr,cor->...co", low, self.up)
        if self.parts > 1:
            none = torch.zeros_like(added[..., :1, :])
            places = {part: place for place, part in enumerate(self.chosen)}
            rows = [added[..., (at := places[k]) : at + 1, :] if k in places else none for k in range(self.parts)]
            added = torch.cat(rows, dim=-2)
        return F.linear(input, self.weight, self.bias) + self.factor * added.flatten(-2)

    def merged(self) -> nn.Linear:
        """Return a plain layer that computes the same: W + (alpha / r) U D."""
        weight = self.weight.detach().clone()
        for part, added in zip(self.chosen, self.factor * (self.up @ self.down), strict=True):
            weight.chunk(self.parts)[part].add_(added.detach())
        layer = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        layer.weight, layer.bias = nn.Parameter(weight, requires_grad=False), self.bias
        return layer


class LowRankConv2d(nn.Conv2d):
    """A convolution without groups, with a summand of low rank.

    Args:
        base: the layer whose weight and bias it takes over.
        rank: r.
        alpha: of the factor alpha / r.

    Attributes:
        down: D, (r, in, height, width).
        up: U, (out, r, 1, 1).
    """

    def __init__(self, base: nn.Conv2d, rank: int, alpha: float) -> None:
        super().__init__(**_without_weights(base))
        self.weight, self.bias = base.weight, base.bias
        self.factor = alpha / rank
        self.down = _drawn(base.weight, rank, *base.weight.shape[1:])
        self.up = nn.Parameter(base.weight.new_zeros(base.out_channels, rank, 1, 1))

    def forward(self, input: Tensor) -> Tensor:
        """Return (B, out, ...) of (B, in, height, width)."""
        added = F.conv2d(self._conv_forward(input, self.down, None), self.up)
        changed: Tensor = self._conv_forward(input, self.weight, self.bias) + self.factor * added
        return changed

    def merged(self) -> nn.Conv2d:
        """Return a plain layer that computes the same."""
        layer = nn.Conv2d(**_without_weights(self))
        added = torch.einsum("or,rihw->oihw", self.up.detach()[:, :, 0, 0], self.down.detach())
        layer.weight = nn.Parameter(self.weight.detach() + self.factor * added, requires_grad=False)
        layer.bias = self.bias
        return layer


def merge_low_rank(network: nn.Module) -> None:
    """Replace every layer with a summand of low rank by a plain one that computes the same, in place."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, LowRankLinear | LowRankConv2d):
                setattr(module, name, child.merged())


def _without_weights(layer: nn.Conv2d) -> dict[str, Any]:
    """Return the arguments of a convolution of the same form, without bias and without memory for its weight."""
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "padding_mode")
    return {**{name: getattr(layer, name) for name in names}, "bias": False, "device": "meta"}
