"""What of a training goes into a checkpoint, and how it comes back: as it was, or into a training that it opens."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer

from trainables.components.network import Network
from trainables.methods.plan import Stage

State = dict[str, Any]


def state_dict(network: Network, memory: nn.Module, optimizer: Optimizer, stages: Sequence[Stage]) -> State:
    """Return weights, buffers, momenta and what updates keep: tensors and plain containers only."""
    return {
        "parameters": [name for name, _ in network.named_parameters()],
        "backbone": network.backbone.state_dict(),
        "head": network.head.state_dict(),
        "memory": memory.state_dict(),
        "optimizer": optimizer.state_dict(),
        "updates": [stage.update.state() for stage in stages],
    }


def load_state_dict(
    state: State, network: Network, memory: nn.Module, optimizer: Optimizer, stages: Sequence[Stage]
) -> None:
    """Put a state back where it was captured."""
    network.backbone.load_state_dict(state["backbone"])
    network.head.load_state_dict(state["head"])
    memory.load_state_dict(state["memory"])
    # torch would keep the state's own momentum tensors and write into them
    optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
    for stage, kept in zip(stages, state["updates"], strict=True):
        stage.update.load(copy.deepcopy(kept))


def load_prefix(
    state: State, network: Network, memory: nn.Module, optimizer: Optimizer, stages: Sequence[Stage]
) -> None:
    """Put a state into a training whose first stages repeat the one it was captured from.

    Parameters are matched by name: a head may hold more than that of its opening, untouched until then.

    Raises:
        ValueError: the state holds a parameter or buffer that this training does not have.
    """
    network.backbone.load_state_dict(state["backbone"])
    unknown = network.head.load_state_dict(state["head"], strict=False).unexpected_keys
    unknown += memory.load_state_dict(state["memory"], strict=False).unexpected_keys
    if unknown:
        raise ValueError(f"the state of the opening holds {', '.join(unknown)}, which this training does not have")
    own = {name: index for index, (name, _) in enumerate(network.named_parameters())}
    names, momenta = state["parameters"], copy.deepcopy(state["optimizer"]["state"])
    renumbered = {own[names[index]]: momentum for index, momentum in momenta.items()}
    optimizer.load_state_dict({"state": renumbered, "param_groups": optimizer.state_dict()["param_groups"]})
    stages[0].update.load(copy.deepcopy(state["updates"][0]))
