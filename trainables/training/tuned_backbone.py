"""The tuning of a training: applied to its backbone, and checked before anything is trained."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

from trainables.backbones import build_backbone
from trainables.backbones.backbone import Backbone
from trainables.components.network import Network
from trainables.components.tuning import Tuning, tuning_named
from trainables.core.config import ModelConfig, TrialConfig
from trainables.core.errors import BadInput
from trainables.methods.plan import MethodContext, Plan
from trainables.methods.registry import build_plan, method_named


def tune(backbone: Backbone, model: ModelConfig, plan: Plan, method: str) -> frozenset[str] | None:
    """Prepare a backbone for the tuning of the method or of the model, in place.

    Args:
        backbone: with its initial weights.
        model: names it, and its tuning.
        plan: of the method, which may have a tuning of its own.
        method: the method's name, for messages.

    Returns:
        The names of the backbone's parameters that may be trained; None without a tuning.

    Raises:
        BadInput: both have a tuning, or the network lacks the parts to tune.
    """
    tuning: Tuning | None = plan.tuning
    if model.tuned is not None:
        if tuning is not None:
            raise BadInput(two_tunings(method, model))
        tuning = tuning_named(model.tuned)
    if tuning is None:
        return None
    try:
        return tuning.prepare(backbone, model.name)
    except BadInput as error:
        raise BadInput(f"{method}: {error}") from None


def two_tunings(method: str, model: ModelConfig) -> str:
    """Return what is wrong with a method that tunes by itself on a model whose tuning is given."""
    assert model.tuned is not None
    return f"`tuned` {model.tuned.scope} does not go with {method}, which says itself what is trained"


def tuning_key(config: TrialConfig) -> str | None:
    """Return a text that trainings of one network share if they tune it alike; None if nothing is tuned."""
    if method_named(config.method.name).tuning is not None:
        return config.method.model_dump_json()
    return None if config.model.tuned is None else config.model.tuned.model_dump_json()


def check_tuning(config: TrialConfig, class_counts: Tensor, shape: tuple[int, int, int]) -> None:
    """Raise `BadInput` where the tuning of a training fails, or has a part that its network does not use.

    The network is built without weights, so that even a large one takes a moment.

    Args:
        config: of the training.
        class_counts: training images per class, int64 (K,).
        shape: of the images that the network gets, (C, H, W).
    """
    if tuning_key(config) is None:
        return
    channels, height, width = shape
    with torch.device("meta"):
        backbone = build_backbone(config.model.name, channels, height, config.model.options)
    with torch.random.fork_rng(devices=()):
        plan = build_plan(config.method, MethodContext(class_counts, backbone.feature_dim))
        names = tune(backbone, config.model, plan, config.method.name)
    if not names:
        return
    idle = _unused(backbone, names, torch.zeros(2, channels, height, width, device="meta"))
    if idle:
        raise BadInput(f"{config.method.name}: {config.model.name} does not use `{idle[0]}` where it would be tuned")


def _unused(backbone: Backbone, names: frozenset[str], images: Tensor) -> list[str]:
    """Return the parameters that the features do not depend on, as those of a layer that is never called."""
    parameters = dict(backbone.named_parameters())
    try:
        features = backbone.eval().requires_grad_(True)(images)
        features.sum().backward()
    except (NotImplementedError, RuntimeError):  # an operation without a form that computes shapes alone
        return []
    return sorted(name for name in names if parameters[name].grad is None)


def frozen_digest(network: Network) -> str | None:
    """Return a sha256 of the parameters that no stage trains, or None if there are none."""
    frozen = network.frozen_names()
    if not frozen:
        return None
    digest = hashlib.sha256()
    for name, parameter in sorted(network.backbone.named_parameters()):
        if name in frozen:
            digest.update(name.encode())
            values = parameter.detach().to("cpu", memory_format=torch.contiguous_format).contiguous()
            digest.update(values.view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def parameter_counts(network: Network) -> tuple[int, int]:
    """Return the number of parameters that are trained at some time, and of all."""
    trained = sum(parameter.numel() for _, parameter in network.trainable_parameters())
    return trained, _size(network)


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
