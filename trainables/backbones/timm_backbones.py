"""Networks of timm without their classifier; importing this imports torch and timm.

Features are what timm computes before its classifier, pooled as timm pools. Unlike torchvision's networks in this
project, they keep timm's stems: a ResNet reduces images 32-fold, whatever their size.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache, partial
from typing import Any, NamedTuple
from unittest.mock import patch

import timm
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from trainables.backbones.architecture import MIN_IMAGE_SIZE, Architecture
from trainables.backbones.backbone import Backbone
from trainables.backbones.timm_names import PREFIX, Listed
from trainables.core.errors import BadInput, shown

Options = tuple[tuple[str, Any], ...]
"""Sorted keyword arguments of timm's constructors, lists as tuples, so that results can be kept."""

SET_HERE = ("num_classes", "in_chans", "img_size", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay")
"""Arguments that follow from the data and from other keys of a study file."""

_NOT_TAKEN = (*SET_HERE, "checkpoint_path", "cache_dir", "features_only", "out_indices", "scriptable", "exportable")


class Examined(NamedTuple):
    """What is known of a network of timm for images of one shape, without its weights.

    Attributes:
        features: length of its features.
        random: it draws random numbers in training, as dropout and stochastic depth do.
        idle: names of parameters that no gradient reaches.
    """

    features: int
    random: bool
    idle: tuple[str, ...]


class TimmBackbone(Backbone):
    """A network of timm without its classifier.

    Args:
        name: the network's name, with the prefix.
        options: keyword arguments of its constructor.
        in_channels: channels of the images.
        image_size: height and width of the images in pixels.
    """

    def __init__(self, name: str, options: Options, in_channels: int, image_size: int) -> None:
        known = examine(name, options, in_channels, image_size)
        super().__init__(known.features, _created(name, options, in_channels, image_size))
        self.name, self.options, self.in_channels, self.image_size = name, options, in_channels, image_size

    def adapted(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return a state dict as timm would load it into this network.

        timm renames what other projects call otherwise, resamples position embeddings, adds up or repeats the weights
        of the first layer for other channels, and leaves out the classifier.

        Raises:
            ValueError: timm cannot make one of it.
        """
        taken: dict[str, Tensor] = {}

        def take(network: nn.Module, given: dict[str, Tensor], *_: Any, **__: Any) -> Any:
            taken.update(given)
            return nn.modules.module._IncompatibleKeys([], [])

        # timm does not say which names were missing: what it would load is compared with the network's own names
        given = {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": dict(state), "file": None}}
        with torch.random.fork_rng(devices=[]), patch.object(nn.Module, "load_state_dict", take):
            try:
                _create(self.name, self.options, self.in_channels, self.image_size, **given)
            except Exception as error:  # timm's filters meet names and shapes that they do not expect
                raise ValueError(f"{type(error).__name__}: {_first_line(error)}") from error
        return taken


def timm_architecture(name: str, options: Mapping[str, Any]) -> Architecture:
    """Return a network of timm.

    Args:
        name: the prefix ``timm/`` and a name of ``timm.list_models()``, with or without the tag of its weights.
        options: keyword arguments of its constructor.

    Raises:
        BadInput: timm has no network of that name, or the network does not take the options.
    """
    return _architecture(name, frozen(options))


def check_images(name: str, options: Mapping[str, Any], in_channels: int, image_size: int) -> None:
    """Raise `BadInput` if a network cannot take images of one shape."""
    examine(name, frozen(options), in_channels, image_size)


def frozen(options: Mapping[str, Any]) -> Options:
    """Return keyword arguments as `Options`."""
    return tuple(sorted((key, tuple(v) if isinstance(v, list) else v) for key, v in options.items()))


def timm_names(pattern: str) -> dict[str, Listed]:
    """Return the networks of timm that fit a pattern.

    Args:
        pattern: with the prefix, of ``*``, ``?`` and letters; also one with a tag, such as ``timm/resnet50.a*``.
    """
    tagged: dict[str, list[str]] = {}
    for name in timm.list_pretrained():
        tagged.setdefault(name.partition(".")[0], []).append(name.partition(".")[2])
    wanted, _, tag = pattern.removeprefix(PREFIX).partition(".")
    named = {name: [t for t in tagged.get(name, []) if fnmatchcase(t, tag or "*")] for name in timm.list_models()}
    fitting = {PREFIX + n: tags for n, tags in named.items() if fnmatchcase(n, wanted) and (tags or not tag)}
    return {name: Listed(own_size(name), takes_one_size(name), tags) for name, tags in fitting.items()}


def pretrained_config(name: str) -> Any:
    """Return what timm knows of a network's weights: their place, and size, mean and deviation of their images.

    Raises:
        BadInput: timm has no network of that name.
    """
    bare = name.removeprefix(PREFIX)
    architecture, _, tag = bare.partition(".")
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=1)
        hint = f"; did you mean '{PREFIX}{near[0]}'?" if near else "."
        raise BadInput(f"timm has no network '{shown(bare)}'{hint} `study models '{PREFIX}*'` lists all")
    try:
        found = timm.get_pretrained_cfg(bare)
    except RuntimeError:
        tags = [each.partition(".")[2] for each in timm.list_pretrained(f"{architecture}.*")]
        raise BadInput(
            f"timm has no weights '{shown(tag)}' of {PREFIX}{architecture}; allowed: {', '.join(tags) or 'none'}"
        ) from None
    return found if found is not None else timm.models.PretrainedCfg()


def own_size(name: str) -> int:
    """Return the height of the images that a network was made for, in pixels."""
    return int(pretrained_config(name).input_size[1])


def takes_one_size(name: str, options: Options = ()) -> bool:
    """Return True if a network has layers of fixed size, such as position embeddings."""
    return bool(pretrained_config(name).fixed_input_size) and not dict(options).get("dynamic_img_size", False)


@cache
def _architecture(name: str, options: Options) -> Architecture:
    config, said = pretrained_config(name), dict(options)
    for key in said:
        if key in _NOT_TAKEN:
            raise BadInput(f"`options.{key}` of {name} follows from the data or other keys; leave it out")
        if key.endswith("_rate") and not (isinstance(said[key], (int, float)) and 0 <= said[key] < 1):
            raise BadInput(f"`options.{key}` of {name} must be at least 0 and below 1, got {said[key]}")
    network = on_meta(name, options, 3, None)
    return Architecture(
        name=name,
        features=int(getattr(network, "head_hidden_size", None) or network.num_features),  # type: ignore[arg-type]
        build=partial(TimmBackbone, name, options),
        paper=str(config.paper_name or "timm"),
        parameters=sum(p.numel() for p in network.parameters()),
        smallest_image=MIN_IMAGE_SIZE,
        square=takes_one_size(name, options),
    )


@cache
def examine(name: str, options: Options, in_channels: int, image_size: int) -> Examined:
    """Run a network forwards and backwards without numbers, on images of one shape; no random state changes.

    Raises:
        BadInput: the network cannot take these images.
    """
    network = on_meta(name, options, in_channels, image_size).train()
    images = torch.empty(2, in_channels, image_size, image_size, device="meta")
    draws = _Draws()
    try:
        _check_patches(network, image_size)
        with draws:
            features = network(images)
        if not isinstance(features, Tensor) or features.dim() != 2:
            raise ValueError("it gives no feature vector for an image")
        features.sum().backward()  # type: ignore[no-untyped-call]
    except Exception as error:  # timm's networks raise many types for sizes that they cannot take
        raise BadInput(
            f"{name} cannot take images of {image_size} pixels with {in_channels} channels: {_first_line(error)}. It "
            f"was made for {own_size(name)} pixels: `image_size` in the data's settings scales images, and `options` "
            "in the model's change the network"
        ) from None
    idle = tuple(key for key, value in network.named_parameters() if value.grad is None)
    return Examined(features.shape[1], draws.seen, idle)


def on_meta(name: str, options: Options, in_channels: int, image_size: int | None) -> nn.Module:
    """Build a network without numbers, on torch's meta device; no random state changes.

    Args:
        name: the network.
        options: keyword arguments of its constructor.
        in_channels: channels of the images.
        image_size: height and width of the images in pixels; None is the network's own.

    Raises:
        BadInput: the network cannot be built.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return _created(name, options, in_channels, image_size)


def _created(name: str, options: Options, in_channels: int, image_size: int | None) -> nn.Module:
    try:
        return _create(name, options, in_channels, image_size)
    except Exception as error:  # an unknown option is a TypeError, a size that does not fit an AssertionError
        given = ", ".join(f"{key}: {value}" for key, value in options)
        raise BadInput(f"timm cannot build {name} with options {{{given}}}: {_first_line(error)}") from None


def _create(name: str, options: Options, in_channels: int, image_size: int | None, **more: Any) -> nn.Module:
    said = dict(options)
    if takes_one_size(name, options) and image_size is not None:
        said["img_size"] = image_size
    bare = name.removeprefix(PREFIX)
    made: nn.Module = timm.create_model(bare, num_classes=0, in_chans=in_channels, **said, **more)
    return made


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _check_patches(network: nn.Module, image_size: int) -> None:
    """Refuse images of which a layer of patches would see only a part."""
    embedding = getattr(network, "patch_embed", None)
    patch = getattr(embedding, "patch_size", None)
    if patch is None or getattr(embedding, "dynamic_img_pad", False):
        return
    side = int(patch[0] if isinstance(patch, (tuple, list)) else patch)
    if image_size % side:
        raise ValueError(f"the size must be a multiple of its patches of {side} pixels (`options.patch_size`)")


class _Draws(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notices operations that draw random numbers."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen = self.seen or torch.Tag.nondeterministic_seeded in func.tags
        return func(*args, **(kwargs or {}))
