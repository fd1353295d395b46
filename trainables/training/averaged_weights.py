"""The moving average of a network's weights over the steps of a training, which is evaluated in their place."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from trainables.components.network import Network
from trainables.training.training_state import kept_of_backbone, load_backbone


class AveragedWeights:
    """w' <- d w' + (1 - d) w after every step, d = min(decay, (1 + t) / (10 + t)) in step t = 1, 2, ...

    The bound on d forgets the initial weights early in a training, also in a short one. Parameters and the backbone's
    floating-point buffers, which are BatchNorm's running statistics, are averaged; other buffers are copied.

    Attributes:
        network: the network with the averaged weights.

    Args:
        network: the trained network.
        decay: in (0, 1).
        compiled: run the averaged backbone through torch.compile, too.

    Source: Polyak and Juditsky, 1992; the bound is that of TensorFlow's ``ExponentialMovingAverage(num_updates)``.
    """

    def __init__(self, network: Network, decay: float, *, compiled: bool = False) -> None:
        self._trained, self.decay, self._steps = network, decay, 0
        backbone, head = copy.deepcopy((network.backbone, network.head))
        self.network = Network(backbone, head, network.autocast, compiled, network.tuned).requires_grad_(False).eval()

    def restart(self) -> None:
        """Forget the past: the next step's weights are the average."""
        self._steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step; the host does not wait for the device."""
        averaged, trained, copied = self._pairs()
        if self._steps == 0:
            copied = [*copied, *zip(averaged, trained, strict=True)]
        else:
            decay = min(self.decay, (1 + self._steps) / (10 + self._steps))
            get_ema_multi_avg_fn(decay)(averaged, trained, self._steps)  # type: ignore[no-untyped-call]
        for to, value in copied:
            to.copy_(value)
        self._steps += 1

    @torch.no_grad()
    def give(self) -> None:
        """Overwrite the trained network's weights and buffers by the averaged ones, and restart."""
        if self._steps:
            own, trained = (dict(network.state_dict(keep_vars=True)) for network in (self.network, self._trained))
            for name, value in trained.items():
                value.copy_(own[name])
        self.restart()

    def state(self) -> dict[str, Any]:
        """Return weights, buffers and the number of steps, as tensors and plain containers; tensors are references."""
        network = self.network
        return {"steps": self._steps, "backbone": kept_of_backbone(network), "head": network.head.state_dict()}

    def load(self, state: dict[str, Any], *, strict: bool = True) -> None:
        """Load a state of `state`.

        Args:
            state: of a training with the same network.
            strict: False takes what the head lacks in the state from the trained network's head.
        """
        load_backbone(self.network, state["backbone"])
        if not strict:
            self.network.head.load_state_dict(self._trained.head.state_dict())
        self.network.head.load_state_dict(state["head"], strict=strict)
        self._steps = int(state["steps"])

    def _pairs(self) -> tuple[list[Tensor], list[Tensor], list[tuple[Tensor, Tensor]]]:
        averaged, trained = ([p.detach() for p in network.parameters()] for network in (self.network, self._trained))
        copied = list(zip(self.network.head.buffers(), self._trained.head.buffers(), strict=True))
        for to, value in zip(self.network.backbone.buffers(), self._trained.backbone.buffers(), strict=True):
            if value.is_floating_point():
                averaged.append(to)
                trained.append(value)
            else:
                copied.append((to, value))
        return averaged, trained, copied
