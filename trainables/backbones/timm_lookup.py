"""Networks of timm by their names, and the one error where timm is not installed; importing this imports no timm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from trainables.backbones.architecture import Architecture
from trainables.backbones.timm_names import Listed, is_timm
from trainables.core.config import TIMM, ModelConfig
from trainables.core.errors import BadInput

INSTALL = "pip install 'longtail-study[timm]'"


def require_timm(name: str) -> None:
    """Raise `BadInput` where timm is not installed.

    Args:
        name: the network that was asked for.
    """
    if find_spec("timm") is None:
        raise BadInput(f"{name} is a network of timm, which is not installed; install it with: {INSTALL}")


class WithTimm(Mapping[str, Architecture]):
    """Networks of this project, and by the prefix ``timm/`` those of timm, which are found when they are looked up.

    Only this project's are listed: timm has over a thousand. A name with the prefix counts as known until it is looked
    up, so that reading a stored study imports no timm.

    Args:
        own: the networks of this project.
    """

    def __init__(self, own: Mapping[str, Architecture]) -> None:
        self._own = own

    def __getitem__(self, name: str) -> Architecture:
        """Return a network.

        Raises:
            KeyError: there is none of that name.
            BadInput: timm is not installed, or has no network of that name.
        """
        return configured(name, {}) if is_timm(name) else self._own[name]

    def __contains__(self, name: object) -> bool:
        return name in self._own or (isinstance(name, str) and is_timm(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)


def configured(name: str, options: Mapping[str, Any]) -> Architecture:
    """Return a network of timm with its options.

    Raises:
        BadInput: timm is not installed, has no network of that name, or the network does not take the options.
    """
    require_timm(name)
    from trainables.backbones.timm_backbones import timm_architecture  # imports torch and timm, which takes seconds

    return timm_architecture(name, options)


def names_of_timm(pattern: str) -> dict[str, Listed]:
    """Return the networks of timm that fit a pattern such as ``timm/vit_tiny*``.

    Raises:
        BadInput: timm is not installed.
    """
    require_timm(pattern)
    from trainables.backbones.timm_backbones import timm_names

    return timm_names(pattern)


def why_undivided(name: str, options: Mapping[str, Any], in_channels: int, image_size: int) -> str | None:
    """Return why the batches of a network of timm cannot be split over several processes, or None.

    Raises:
        BadInput: as `configured`, or the network cannot take such images.
    """
    require_timm(name)
    from trainables.backbones.timm_backbones import examine, frozen

    found = examine(name, frozen(options), in_channels, image_size)
    if found.random:
        return "draws random numbers for every image of a batch within the network, which cannot be split"
    if found.idle:
        return f"has a parameter that no gradient reaches, {found.idle[0]}, for which the processes would wait"
    return None


def note_on_weights(model: ModelConfig) -> str | None:
    """Say where the weights of ``weights: timm`` are, without asking a server; None for other networks.

    Raises:
        BadInput: as `with_found_weights`, except that a cache need not have them.
    """
    if model.weights != TIMM:
        return None
    _check_of_timm(model)
    from trainables.backbones.timm_weights import cached_weights

    found = cached_weights(model.name)
    where = "in no cache yet; `study run` downloads them" if found is None else f"in {found}"
    return f"the weights of {model.name} are {where}"


def with_found_weights(model: ModelConfig, say: Callable[[str], None]) -> ModelConfig:
    """Return a network with the file of its weights in place of ``weights: timm``; other networks stay as they are.

    A process that trains reads the file and asks no server.

    Args:
        model: the network.
        say: is told of a download before it starts.

    Raises:
        BadInput: the network is none of timm, or its weights are neither in a cache nor to be had.
    """
    if model.weights != TIMM:
        return model
    _check_of_timm(model)
    from trainables.backbones.timm_weights import timm_weights

    return model.model_copy(update={"weights": str(timm_weights(model.name, say))})


def weights_statistics(name: str, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel of the images that timm's weights of a network were trained on.

    Raises:
        BadInput: timm is not installed, or has no network of that name.
    """
    require_timm(name)
    from trainables.backbones.timm_weights import input_statistics_of

    return input_statistics_of(name, channels)


def _check_of_timm(model: ModelConfig) -> None:
    if not model.of_timm:
        raise BadInput(f"`weights: {TIMM}` needs a network of timm, got {model.name}; a file of that name is ./{TIMM}")
    require_timm(model.name)
