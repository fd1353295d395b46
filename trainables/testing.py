"""Checks of methods, networks, data sets and optimizers for their authors' own tests; all faults in plain words.

from trainables.testing import check_method

def test_mine() -> None:
    check_method(MINE, SPACES["mine"])
"""

from __future__ import annotations

import io
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import annotated_types
import numpy as np
import torch
from torch import Tensor

from trainables.backbones import BACKBONES, build_backbone
from trainables.backbones.architecture import Architecture
from trainables.components.heads import LinearHead
from trainables.components.network import Outputs
from trainables.components.optimizers import OPTIMIZERS, OptimizerFactory, set_learning_rate
from trainables.core.config import DataConfig, MethodConfig, TrainingConfig, TrialConfig
from trainables.core.plugin_table import TABLES, Table
from trainables.data import load
from trainables.data.sources.own_dataset import OwnDataset, fault_of, plugged_dataset
from trainables.data.sources.source import LabelledImages, SplitName
from trainables.data.sources.source_lookup import find_source
from trainables.methods.method import Method
from trainables.methods.plan import MethodContext, Plan
from trainables.methods.registry import METHODS, build_params
from trainables.training.trainer import Trainer

__all__ = ["BrokenContract", "check_backbone", "check_dataset", "check_method", "check_optimizer"]

_FEATURES = 6
_EPOCHS, _STOP_AFTER = 5, (1, 4)


class BrokenContract(AssertionError):
    """What is wrong with a method, a network, a data set or an optimizer.

    Attributes:
        faults: one sentence for each fault.
    """

    def __init__(self, name: str, faults: list[str]) -> None:
        """Join the faults to one message."""
        super().__init__("\n".join(f"{name}: {fault}" for fault in faults))
        self.faults = faults


def check_method(method: Method, space: Mapping[str, Any] | None = None) -> None:
    """Check a method, which takes some seconds: its params, its losses, and five epochs on handwritten digits.

    Args:
        method: the method; it need not be in a table.
        space: its search space; None takes the one of that name in the table of spaces, if there is one.

    Raises:
        BrokenContract: a number has no bounds, a preset or a value of the space is refused, a loss has another shape
            than (B,), is not finite or has no gradient, a weight is not trained, or a training that is stopped and
            continued gives other numbers.
    """
    if space is None and "spaces" in TABLES and method.name in TABLES["spaces"]:
        space = TABLES["spaces"][method.name]
    with _known(METHODS, method):
        faults = [*faults_of_params(method), *faults_of_space(method, space or {})]
        if not faults:
            faults += faults_of_plan(method)
        if not faults:
            faults += faults_of_training(method.name)
    _raise(method.name, faults)


def check_backbone(network: Architecture | str) -> None:
    """Check a network: its features, gradients and weights, on small images.

    Args:
        network: the network, or a name of `trainables.backbones.BACKBONES`.

    Raises:
        BrokenContract: features of another shape or not finite, a weight without a gradient, another network from the
            same seed, or features of an image that depend on the rest of the batch in evaluation mode.
    """
    known = BACKBONES[network] if isinstance(network, str) else network
    with _known(BACKBONES, known):
        size = max(32, known.smallest_image)
        inputs = [(3, size), (1, size), *([(20, 1)] if known.vectors else [])]
        faults = [fault for channels, side in inputs for fault in _faults_of_network(known, channels, side)]
    _raise(known.name, list(dict.fromkeys(faults)))


def check_optimizer(optimizer: OptimizerFactory | str) -> None:
    """Check an optimizer, which takes a second: its steps, its state, and five epochs on handwritten digits.

    Args:
        optimizer: the optimizer, or a name of `trainables.components.optimizers.OPTIMIZERS`.

    Raises:
        BrokenContract: it does not step without a closure, moves a weight at the learning rate 0 or one without
            gradient, does not move one with gradient, loses groups, has a state that cannot be stored without code, or
            a training that is stopped and continued gives other numbers.
    """
    known = OPTIMIZERS[optimizer] if isinstance(optimizer, str) else optimizer
    with _known(OPTIMIZERS, known):
        faults = faults_of_steps(known)
        if not faults:
            faults = faults_of_training("erm", optimizer=known.name, lr=0.003)
    _raise(known.name, faults)


def faults_of_steps(optimizer: OptimizerFactory) -> list[str]:
    """Let an optimizer take steps on numbers, and return what is wrong with it."""
    try:
        return list(_faults_of_steps(optimizer))
    except Exception as error:
        return [f"building it and taking a step raised {type(error).__name__}: {error}"]


def _faults_of_steps(optimizer: OptimizerFactory) -> Iterator[str]:
    training = TrainingConfig(optimizer=optimizer.name, lr=0.01)
    weights = [torch.nn.Parameter(torch.linspace(-1, 1, 6)) for _ in range(3)]
    groups = [{"params": weights[:1], "lr_scale": 0.5}, {"params": weights[1:], "lr_scale": 1.0}]
    built = optimizer.build([dict(group) for group in groups], training)
    if not isinstance(built, torch.optim.Optimizer):
        yield f"`build` must return a torch.optim.Optimizer, got {type(built).__name__}"
        return
    found = [(len(group["params"]), group.get("lr_scale")) for group in built.param_groups]
    if found != [(1, 0.5), (2, 1.0)]:
        yield f"it must keep the groups of parameters that it is given, with their `lr_scale`; it has {found}"
        return

    def step(which: torch.optim.Optimizer, of: list[torch.nn.Parameter], rate: float) -> list[Tensor]:
        before = [weight.detach().clone() for weight in of]
        for weight in of[:2]:  # the third is frozen
            weight.grad = weight.detach() + 0.1
        set_learning_rate(which, rate)
        which.step()
        return [(weight.detach() - old).abs().max() for weight, old in zip(of, before, strict=True)]

    moved = step(built, weights, 0.01)
    if moved[2]:
        yield "it moves a weight that has no gradient: skip those whose `grad` is None"
    if not (moved[0] and moved[1]):
        yield "a step does not move a weight that has a gradient"
    if any(step(built, weights, 0.0)[:2]):
        yield "it moves weights at the learning rate 0: read `group['lr']` in every step, since the schedule sets it"
    yield from _faults_of_stored_state(optimizer, built, weights, training, step)
    if not all(torch.isfinite(weight).all() for weight in weights):
        yield "its steps give weights that are not finite"
    built.state.clear()  # a stage that restarts the schedule forgets momentum
    step(built, weights, 0.01)


def _faults_of_stored_state(
    optimizer: OptimizerFactory,
    built: torch.optim.Optimizer,
    weights: list[torch.nn.Parameter],
    training: TrainingConfig,
    step: Callable[[torch.optim.Optimizer, list[torch.nn.Parameter], float], list[Tensor]],
) -> Iterator[str]:
    stored = io.BytesIO()
    torch.save(built.state_dict(), stored)
    stored.seek(0)
    try:
        state = torch.load(stored, weights_only=True)
    except Exception as error:
        yield (
            "its state must hold tensors, numbers and plain containers only, so that a checkpoint runs no code "
            f"({str(error).splitlines()[0]})"
        )
        return
    again = [torch.nn.Parameter(weight.detach().clone()) for weight in weights]
    other = optimizer.build([{"params": again[:1], "lr_scale": 0.5}, {"params": again[1:], "lr_scale": 1.0}], training)
    other.load_state_dict(state)
    for rate in (0.01, 0.02):
        step(built, weights, rate)
        step(other, again, rate)
    if any(not torch.equal(a, b) for a, b in zip(weights, again, strict=True)):
        yield "continued from its stored state it gives other weights: what it keeps must stand in `self.state`"


def check_dataset(dataset: OwnDataset | str, data_dir: Path | None = None) -> None:
    """Check a data set by reading all its splits twice.

    Args:
        dataset: a plug-in's data set, or any name that a study file may have under ``dataset``.
        data_dir: the data folder that it reads from.

    Raises:
        BadInput: there is no such data set, or its files are not of the form of docs/data.md.
        BrokenContract: wrong types or shapes, labels out of range, classes without an image, splits that do not fit
            together, or other images when it is read again.
    """
    own = _own(dataset, data_dir)
    splits: list[SplitName] = ["train", "test", *(["validation"] if own.has_validation else [])]  # type: ignore[list-item]
    read: dict[SplitName, LabelledImages] = {}
    faults = []
    for split in splits:
        try:
            found = own.read(split, data_dir)
        except Exception as error:
            faults.append(f"{split}: reading it raised {type(error).__name__}: {error}")
            continue
        fault = fault_of(found)
        if fault is not None:
            faults.append(f"{split}: {fault}")
            continue
        read[split] = found
        again = own.read(split, data_dir)
        if not (np.array_equal(found.images, again.images) and np.array_equal(found.labels, again.labels)):
            faults.append(
                f"{split}: read again it has other images or labels, or another order; draw from a fixed seed"
            )
        missing = set(range(len(found.class_names))) - set(found.labels.tolist())
        if missing:
            faults.append(f"{split}: class {found.class_names[min(missing)]} has no image")
    for split, found in read.items():
        first = read.get(splits[0], found)
        if tuple(found.class_names) != tuple(first.class_names):
            faults.append(f"{split}: its class names differ from those of {splits[0]}")
        if found.images.shape[1:] != first.images.shape[1:] or found.images.dtype != first.images.dtype:
            faults.append(
                f"{split}: its images are {found.images.dtype} {found.images.shape[1:]}, those of {splits[0]} "
                f"{first.images.dtype} {first.images.shape[1:]}"
            )
    _raise(own.name, faults)


def _own(dataset: OwnDataset | str, data_dir: Path | None) -> OwnDataset:
    """Return a data set that is given by name as one that a plug-in could have."""
    if not isinstance(dataset, str):
        return dataset
    plugged = plugged_dataset(dataset)
    if plugged is not None:
        return plugged
    source = find_source(DataConfig(dataset=dataset, data_dir=None if data_dir is None else str(data_dir)))
    return OwnDataset(name=dataset, read=lambda split, _: source.read(split), has_validation=source.has_validation)


def small_network(method: str) -> str:
    """Return the network on which a method is tried: a perceptron, or a transformer for what tunes its blocks.

    >>> small_network("erm"), small_network("lora")
    ('mlp', 'transformer-tiny')
    """
    return "transformer-tiny" if METHODS[method].tuning in ("lora", "adapter") else "mlp"


def faults_of_params(method: Method) -> list[str]:
    """Return numbers without bounds, and presets that are refused."""
    faults = []
    for name, field in method.params.model_fields.items():
        annotation = field.annotation
        union = isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union
        kinds = set(typing.get_args(annotation)) if union else {annotation}
        if {int, float} & kinds and not any(isinstance(limit, _LIMITS) for limit in field.metadata):
            faults.append(f"`{name}` is a number without bounds: write {name}: ... = Field(default, ge=..., le=...)")
    for preset in method.preset_names():
        try:
            build_params(MethodConfig(name=method.name, preset=preset))
        except Exception as error:
            faults.append(f"the preset `{preset}` is refused: {error}")
    if method.defer_field is not None and method.defer_field not in method.params.model_fields:
        faults.append(f"`defer_field` names '{method.defer_field}', which is no param")
    return faults


_LIMITS = (annotated_types.Gt, annotated_types.Ge, annotated_types.Lt, annotated_types.Le)


def faults_of_space(method: Method, space: Mapping[str, Any]) -> list[str]:
    """Return searched names that are no params, and values of the space that the params refuse."""
    faults = []
    for name, dimension in space.items():
        if name not in method.params.model_fields:
            faults.append(f"the space has '{name}', which is no param; params: {', '.join(method.params.model_fields)}")
            continue
        for value in dimension.examples:
            try:
                build_params(MethodConfig(name=method.name, params={name: value}))
            except Exception as error:
                faults.append(f"the space reaches outside the bounds: {error}")
                break
    return faults


def faults_of_plan(method: Method) -> list[str]:
    """Build every preset's plan, also for classes of one image, and return what is wrong with stages and losses."""
    faults = []
    for preset in method.preset_names():
        for counts in ((90, 40, 9, 1), (1, 1, 1)):
            where = f"preset `{preset}`, classes of {', '.join(map(str, counts))} images"
            try:
                torch.manual_seed(0)
                params = build_params(MethodConfig(name=method.name, preset=preset))
                plan = method.build(params, MethodContext(torch.tensor(counts), _FEATURES))
                found = [*_faults_of_stages(method, params, plan), *_faults_of_losses(plan, len(counts))]
            except Exception as error:
                found = [f"building and calling it raised {type(error).__name__}: {error}"]
            faults += [f"{where}: {fault}" for fault in found]
        if faults:
            break  # the next preset would say the same
    return faults


def _faults_of_stages(method: Method, params: Any, plan: Plan) -> Iterator[str]:
    if not isinstance(plan, Plan):
        yield f"`build` must return a Plan, got {type(plan).__name__}"
        return
    scope = None if plan.tuning is None else plan.tuning.scope
    if scope != method.tuning:
        yield f"its plan tunes {scope or 'nothing'}, and its `tuning` says {method.tuning or 'nothing'}"
    starts = [stage.start for stage in plan.stages]
    if not starts or starts[0] != 0 or sorted(set(starts)) != starts:
        yield f"the stages must begin at 0 and then at rising fractions of the epochs, got {starts}"
    elif method.defer_field is not None and len(starts) > 1 and getattr(params, method.defer_field) != starts[-1]:
        yield f"the last stage begins at {starts[-1]}, not where the param `{method.defer_field}` says"
    elif method.defer_field is None and len(starts) > 1:
        yield "a method of several stages must name the param where the last one begins: `defer_field`"


def _faults_of_losses(plan: Plan, classes: int) -> Iterator[str]:
    size = 2 * classes
    labels = torch.arange(size) % classes
    plan.head.calibrate(torch.randn(32, _FEATURES), torch.arange(32) % classes)
    for stage in plan.stages:
        features = torch.randn(size, _FEATURES, requires_grad=True)
        losses = stage.loss(Outputs(features, plan.head(features)), labels)
        if not isinstance(losses, Tensor) or losses.shape != (size,):
            shape = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
            yield (
                f"the loss of stage '{stage.name}' must have the shape (B,), one value per example: "
                f'for B = {size} it has {shape} (`reduction="none"`?)'
            )
            continue
        if not torch.isfinite(losses).all():
            yield f"the loss of stage '{stage.name}' is not finite: {losses.tolist()}"
        if not losses.requires_grad:
            yield f"the loss of stage '{stage.name}' has no gradient: it was detached, or made of numbers"
            continue
        (gradient,) = torch.autograd.grad(losses.sum(), features, allow_unused=True)
        if gradient is None or not gradient.any():
            yield f"the loss of stage '{stage.name}' has no gradient in the features"
        elif not torch.isfinite(gradient).all():
            yield f"the gradient of the loss of stage '{stage.name}' is not finite"
        if type(plan.head) is LinearHead:
            yield from _faults_at_large_logits(stage.name, stage.loss, classes)


def _faults_at_large_logits(stage: str, loss: Callable[[Outputs, Tensor], Tensor], classes: int) -> Iterator[str]:
    for value in (800.0, -800.0):
        logits = torch.zeros(2, classes).index_fill(1, torch.tensor([0]), value).requires_grad_()
        (gradient,) = torch.autograd.grad(
            loss(Outputs(torch.zeros(2, _FEATURES), logits), torch.tensor([0, classes - 1])).sum(), logits
        )
        if not torch.isfinite(gradient).all():
            yield f"the gradient of the loss of stage '{stage}' is not finite where a logit is {value:g}"


def faults_of_training(name: str, **training: Any) -> list[str]:
    """Train a method of the table on digits, once whole and once stopped and continued, and return what differs.

    Args:
        name: of the method.
        training: settings of `TrainingConfig` in place of the test's.
    """
    config = TrialConfig.model_validate(
        {
            "data": {"dataset": "digits", "profile": {"ratio": 10}, "validation_fraction": 0.2},
            "model": {"name": small_network(name)},
            "method": {"name": name},
            "training": {"epochs": _EPOCHS, "batch_size": 64, "lr": 0.05, "precision": "float32", **training},
        }
    )
    try:
        return list(_faults_of_trainings(config))
    except Exception as error:
        return [f"training on digits raised {type(error).__name__}: {error}"]


def _faults_of_trainings(config: TrialConfig) -> Iterator[str]:
    data, device = load(config.data), torch.device("cpu")
    whole = Trainer(config, data, device)
    before = {name: value.clone() for name, value in whole.network.trainable_parameters()}
    records = [_numbers(whole.run_epoch()) for _ in range(_EPOCHS)]
    for name, value in whole.network.trainable_parameters():
        if torch.equal(value, before[name]):
            yield f"the weights `{name}` did not change in {_EPOCHS} epochs: no stage trains them"
    if not all(math.isfinite(float(record["loss"])) for record in records):
        yield "the validation loss is not finite"
    for stop in _STOP_AFTER:
        part, resumed = Trainer(config, data, device), Trainer(config, data, device)
        for _ in range(stop):
            part.run_epoch()
        resumed.load(part.state())
        if [_numbers(resumed.run_epoch()) for _ in range(stop, _EPOCHS)] != records[stop:]:
            yield (
                f"stopped after epoch {stop} of {_EPOCHS} and continued, it gives other numbers: what the loss or the "
                "head keeps must stand in buffers of `head` or `memory`, and random draws must come from torch"
            )


def _numbers(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "images_per_second"}


def _faults_of_network(known: Architecture, channels: int, size: int) -> Iterator[str]:
    where = f"images ({channels}, {size}, {size})"
    try:
        networks = []
        for _ in range(2):
            torch.manual_seed(0)
            networks.append(build_backbone(known.name, channels, size))
        network, other = networks
        images = torch.randn(4, channels, size, size)
        features = network.train()(images)
    except Exception as error:
        yield f"{where}: it raised {type(error).__name__}: {error}"
        return
    if not isinstance(features, Tensor) or features.shape != (4, known.features):
        shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        yield f"{where}: 4 images must give features (4, {known.features}), as `features` says; got {shape}"
        return
    if network.feature_dim != known.features:
        yield f"{where}: its `feature_dim` is {network.feature_dim}, but `features` is {known.features}"
    if not torch.isfinite(features).all():
        yield f"{where}: the features are not finite"
    if any(not torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True)):
        yield f"{where}: the same seed gives other initial weights: draw them from torch's global generator"
    features.square().sum().backward()  # type: ignore[no-untyped-call]
    idle = [name for name, value in network.named_parameters() if value.requires_grad and value.grad is None]
    if idle:
        yield f"{where}: no gradient reaches `{idle[0]}`" + (f" and {len(idle) - 1} more" if len(idle) > 1 else "")
    with torch.no_grad():
        together, alone = network.eval()(images), network(images[:1])
    if not torch.allclose(together[:1], alone, rtol=1e-3, atol=1e-4):
        yield f"{where}: in evaluation mode the features of an image depend on the other images of its batch"


def _raise(name: str, faults: list[str]) -> None:
    if faults:
        raise BrokenContract(name, faults)


@contextmanager
def _known(table: Table[Any], thing: Any) -> Iterator[None]:
    """Let a thing be found by its name for a while, where no table has it."""
    if thing.name in table and table[thing.name] is thing:
        yield
        return
    if table.knows(thing.name):
        raise BrokenContract(thing.name, [f"another of the {table.group} has this name; take one of your own"])
    table.describe({thing.name: thing})
    try:
        yield
    finally:
        table.forget_descriptions()
