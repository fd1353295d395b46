"""State dict of a training: saving, loading, and loading a shared prefix into a longer training."""

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
    """Return weights, buffers, momentum buffers and the updates' states, as tensors and plain containers only.

    Parameters that no stage trains are left out: every training of this configuration begins with them.
    The tensors are references: the state must be written or copied before the next step.
    """
    return {
        "parameters": _names(network, optimizer),
        "backbone": kept_of_backbone(network),
        "head": network.head.state_dict(),
        "memory": memory.state_dict(),
        "optimizer": optimizer.state_dict(),
        "updates": [stage.update.state() for stage in stages],
    }


def kept_of_backbone(network: Network) -> State:
    """Return the backbone's buffers and the parameters that some stage trains, by name."""
    frozen = network.frozen_names()
    return {name: value for name, value in network.backbone.state_dict().items() if name not in frozen}


def load_backbone(network: Network, kept: State) -> None:
    """Load what `kept_of_backbone` returned, in place.

    Raises:
        RuntimeError: names or shapes are others than those of this network.
    """
    frozen = network.frozen_names()
    whole = {name: value for name, value in network.backbone.state_dict().items() if name in frozen}
    network.backbone.load_state_dict({**whole, **kept})


def load_state_dict(
    state: State, network: Network, memory: nn.Module, optimizer: Optimizer, stages: Sequence[Stage]
) -> None:
    """Load a state of `state_dict` into a training of the same configuration, in place."""
    load_backbone(network, state["backbone"])
    network.head.load_state_dict(state["head"])
    memory.load_state_dict(state["memory"])
    # a copy: torch would adopt the momentum tensors of the state and write into them
    optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
    for stage, kept in zip(stages, state["updates"], strict=True):
        stage.update.load(copy.deepcopy(kept))


def load_prefix(
    state: State, network: Network, memory: nn.Module, optimizer: Optimizer, stages: Sequence[Stage]
) -> None:
    """Load the state of a shared prefix into a training whose first stages equal it, in place.

    Parameters are matched by name, since the head may have parameters that the prefix lacks and does not train.

    Raises:
        ValueError: if the state has a parameter or buffer that this training lacks.
    """
    load_backbone(network, state["backbone"])
    unknown = network.head.load_state_dict(state["head"], strict=False).unexpected_keys
    unknown += memory.load_state_dict(state["memory"], strict=False).unexpected_keys
    if unknown:
        raise ValueError(f"the shared prefix has {', '.join(unknown)}, which this training lacks")
    own = {name: index for index, name in enumerate(_names(network, optimizer))}
    names, momenta = state["parameters"], copy.deepcopy(state["optimizer"]["state"])
    renumbered = {own[names[index]]: momentum for index, momentum in momenta.items()}
    optimizer.load_state_dict({"state": renumbered, "param_groups": optimizer.state_dict()["param_groups"]})
    stages[0].update.load(copy.deepcopy(state["updates"][0]))


def _names(network: Network, optimizer: Optimizer) -> list[str]:
    """Return the names of all parameters in the order in which the optimizer numbers them."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]
