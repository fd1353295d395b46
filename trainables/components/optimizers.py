"""Optimizers by name: SGD and AdamW, then those of plug-ins; their parameter groups and the clipping of gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from trainables.core.config import TrainingConfig
from trainables.core.errors import BadInput, unknown_name
from trainables.core.plugin_table import Table

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    Parameters = Sequence[nn.Parameter] | Sequence[dict[str, Any]]
    """Parameters, or groups of them in the form of torch.optim; a group may have ``lr_scale``."""

_SETTINGS = ("momentum", "nesterov", "betas")
"""Fields of `TrainingConfig` that only some optimizers have."""


@dataclass(frozen=True, kw_only=True)
class OptimizerFactory:
    """An optimizer as one object: its name and its builder. A plug-in holds objects of this class.

    Attributes:
        name: its name under `training.optimizer`.
        build: returns a torch optimizer of parameters, or of groups of them, with the settings of a training. The
            learning rate is set anew in every epoch, in every group's ``lr``. Torch is imported inside.
        settings: those of ``momentum``, ``nesterov`` and ``betas`` that it reads; others must keep their default.
        paper: authors, year and the paper's name.
    """

    name: str
    build: Callable[[Parameters, TrainingConfig], Optimizer]
    settings: tuple[str, ...] = ()
    paper: str = ""


def _sgd(parameters: Parameters, training: TrainingConfig) -> Optimizer:
    from torch.optim import SGD

    return SGD(
        parameters,
        lr=training.lr,
        momentum=training.momentum,
        weight_decay=training.weight_decay,
        nesterov=training.nesterov,
        fused=True,  # one kernel for all parameters saves 5 % of a small network's step on a CPU
    )


def _adamw(parameters: Parameters, training: TrainingConfig) -> Optimizer:
    from torch.optim import AdamW

    return AdamW(parameters, lr=training.lr, betas=training.betas, weight_decay=training.weight_decay, fused=True)


OPTIMIZERS: Table[OptimizerFactory] = Table(
    "optimizers",
    OptimizerFactory,
    {
        "sgd": OptimizerFactory(name="sgd", build=_sgd, settings=("momentum", "nesterov")),
        "adamw": OptimizerFactory(
            name="adamw",
            build=_adamw,
            settings=("betas",),
            paper="Loshchilov and Hutter, 2019, Decoupled weight decay regularization",
        ),
    },
)
"""Name -> optimizer: those of this project, then those of plug-ins."""


def check_optimizer_settings(training: TrainingConfig) -> None:
    """Check the optimizer's name, and that no setting is given that it does not have; torch is not imported.

    Raises:
        BadInput: names the setting, its value and the optimizers that have it.

    >>> check_optimizer_settings(TrainingConfig(optimizer="adamw", momentum=0.8))
    Traceback (most recent call last):
        ...
    trainables.core.errors.BadInput: `momentum` 0.8 means nothing to the optimizer adamw; leave it out ...
    """
    if training.optimizer not in OPTIMIZERS:
        raise unknown_name("optimizer", training.optimizer, OPTIMIZERS)
    fields = TrainingConfig.model_fields
    for name in _SETTINGS:
        value = getattr(training, name)
        if value != fields[name].default and name not in OPTIMIZERS[training.optimizer].settings:
            having = ", ".join(each for each in ("sgd", "adamw") if name in OPTIMIZERS[each].settings)
            said = str(value).lower() if isinstance(value, bool) else value
            raise BadInput(
                f"`{name}` {said} means nothing to the optimizer {training.optimizer}; leave it out "
                f"(optimizers with it: {having})"
            )


def build_optimizer(parameters: Parameters, training: TrainingConfig) -> Optimizer:
    """Build the optimizer of a training, which clips gradients in every step if the training asks for it.

    Args:
        parameters: all parameters, or groups of them; the groups are copied.
        training: names the optimizer and has its settings.

    Raises:
        BadInput: as `check_optimizer_settings`.
    """
    check_optimizer_settings(training)
    own: Any = [{**group} if isinstance(group, dict) else group for group in parameters]  # torch writes into groups
    optimizer = OPTIMIZERS[training.optimizer].build(own, training)
    if training.clip_norm is not None:
        optimizer.register_step_pre_hook(partial(_clip, training.clip_norm))
    return optimizer


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of every group: the rate times the group's ``lr_scale``, if it has one."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)


def layer_groups(parameters: Sequence[tuple[str, nn.Parameter]], layers: dict[str, int], decay: float) -> Parameters:
    """Return one group per layer, whose ``lr_scale`` is decay^(depth - i) for layer i; the head's is 1.

    Args:
        parameters: names and parameters of the network; names of the backbone begin with ``backbone.``.
        layers: name of a parameter within the backbone -> its layer, from 0, which sees the images.
        decay: in (0, 1].

    Source: Clark, Luong, Le and Manning, 2020, ELECTRA, appendix A; Bao, Dong, Piao and Wei, 2022, BEiT, section 3.2.
    """
    depth = 1 + max(layers.values(), default=-1)
    groups: dict[int, list[nn.Parameter]] = {}
    for name, parameter in parameters:
        backbone, _, inner = name.partition(".")
        groups.setdefault(layers[inner] if backbone == "backbone" else depth, []).append(parameter)
    return [{"params": groups[layer], "lr_scale": decay ** (depth - layer)} for layer in sorted(groups)]


def _clip(norm: float, optimizer: Optimizer, *_: object) -> None:
    """Scale all gradients together so that their Euclidean norm is at most ``norm``; the host does not wait."""
    from torch.nn.utils import clip_grad_norm_

    clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"] if p.grad is not None], norm)
