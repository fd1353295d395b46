"""Pretrained weights from a local state dict; importing this module does not import torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from trainables.core.errors import BadInput
from trainables.core.files import unreadable

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.backbones.backbone import Backbone

_CLASSIFIERS = ("fc.", "classifier.", "linear.", "head.")
"""Prefixes of classifier parameters, which are ignored because the head belongs to the method."""

_PREFIXES = ("module.", "backbone.", "network.")
_WRAPPERS = ("state_dict", "backbone", "model")


def load_weights(backbone: Backbone, path: Path) -> None:
    """Load the weights of a file into a backbone, in place.

    The file holds a state dict in safetensors or torch format (torch files are loaded with ``weights_only``), possibly
    nested under ``state_dict``, ``model`` or ``backbone`` as in a checkpoint of `Trainer`. Names are those of the
    network, which follow torchvision or timm, with or without prefixes of wrappers. Parameters of a classifier are
    ignored; all others must be present with the right shape, which timm's networks make of other sizes (`adapted`).

    Args:
        backbone: a network of `build_backbone`.
        path: path of the file.

    Raises:
        BadInput: if the file is missing or not a state dict, or if names or shapes do not match.
    """
    import torch

    wanted = backbone.network.state_dict()
    given = _given(backbone, path)
    with torch.no_grad():
        for name, weight in given.items():
            wanted[name].copy_(weight)


def check_weights(
    name: str, in_channels: int, image_size: int, path: Path, options: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Raise `BadInput` where `load_weights` would for a network of these images, without initialising one."""
    import torch

    from trainables.backbones import build_backbone

    with torch.device("meta"):
        backbone = build_backbone(name, in_channels, image_size, options)
    _given(backbone, path)


def _given(backbone: Backbone, path: Path) -> dict[str, Tensor]:
    wanted = backbone.network.state_dict()
    try:
        state = backbone.adapted(read_state(path, wanted))
    except ValueError as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"weights {path} do not fit the network: {error}") from None
    return fitted(wanted, state, path)


def read_state(path: Path, wanted: Collection[str] = ()) -> dict[str, Tensor]:
    """Read a state dict: name -> tensor on the CPU, with prefixes of wrappers removed.

    Args:
        path: path of the file.
        wanted: names of the network, which may begin like a wrapper's prefix.

    Raises:
        BadInput: as in `load_weights`.
    """
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            found: Any = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise unreadable(path, error) from None
    except Exception as error:  # torch raises many types for files it did not write
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(
            f"weights {path}: expected a state dict of tensors in safetensors format (suffix .safetensors) or "
            f"torch format ({reason})"
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping) or not found or not all(isinstance(v, torch.Tensor) for v in found.values()):
        raise BadInput(f"weights {path}: expected a mapping of names to tensors, got another {type(found).__name__}")
    return {_bare(str(name), wanted): value for name, value in found.items()}


def fitted(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return the entries of ``given`` that ``wanted`` has.

    ``num_batches_tracked`` may be missing, as in files written by early versions of torch.

    Raises:
        BadInput: if names are missing or unexpected, or shapes differ; the message lists the first few.
    """
    missing = [k for k in wanted if k not in given and not k.endswith("num_batches_tracked")]
    surplus = [k for k in given if k not in wanted and not k.startswith(_CLASSIFIERS)]
    shapes = [
        f"{k} {tuple(given[k].shape)} in place of {tuple(wanted[k].shape)}"
        for k in wanted
        if k in given and given[k].shape != wanted[k].shape
    ]
    faults = [("lacks", missing), ("has beside the network's", surplus), ("has", shapes)]
    said = [f"it {verb} {_some(names)}" for verb, names in faults if names]
    if said:
        raise BadInput(
            f"weights {path} do not fit the network: {'; '.join(said)}. For images up to 64 pixels the first "
            "convolution of torchvision's networks differs from that of their published weights"
        )
    return {k: given[k] for k in wanted if k in given}


def _bare(name: str, wanted: Collection[str]) -> str:
    for prefix in _PREFIXES:
        if name in wanted:
            break
        name = name.removeprefix(prefix)
    return name


def _some(names: list[str]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + rest
