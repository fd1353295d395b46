"""Networks of timm by their names, and the one error where timm is not installed; importing this imports no timm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from trainables.backbones.architecture import Architecture
from trainables.backbones.timm_names import is_timm
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
