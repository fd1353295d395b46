"""timm's own weights: where they are or how they are downloaded, and how their images were normalised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from trainables.backbones.timm_backbones import pretrained_config
from trainables.core.errors import BadInput, reason_of

_FILES = ("model.safetensors", "pytorch_model.bin")
_OPEN_CLIP = {"open_clip_pytorch_model.bin": "open_clip_model.safetensors"}


def timm_weights(name: str, say: Callable[[str], None]) -> Path:
    """Return the file of timm's weights of a network, which is downloaded if no cache has it.

    Args:
        name: the network's name, with the prefix; the tag chooses among its weights.
        say: is told of a download before it starts: what, how large and where to.

    Raises:
        BadInput: timm has no weights of that name, or they are in no cache and cannot be downloaded.
    """
    config = pretrained_config(name)
    if not config.hf_hub_id:
        return _from_torchs_cache(name, str(config.url or ""))
    repository, files = str(config.hf_hub_id), _files_of(config.hf_hub_filename)
    return _in_cache(repository, files) or _downloaded(name, repository, files, say)


def cached_weights(name: str) -> Path | None:
    """Return the file of timm's weights of a network where a cache on this machine has it; asks no server.

    Raises:
        BadInput: as `timm_weights` of a network whose weights are not on Hugging Face.
    """
    config = pretrained_config(name)
    if not config.hf_hub_id:
        return _from_torchs_cache(name, str(config.url or ""))
    return _in_cache(str(config.hf_hub_id), _files_of(config.hf_hub_filename))


def input_statistics_of(name: str, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel by which the images of timm's weights were normalised.

    Args:
        name: the network's name, with the prefix.
        channels: of the images; where they are not as many as those of the weights, each gets the mean of all.
    """
    config = pretrained_config(name)
    mean, std = tuple(map(float, config.mean)), tuple(map(float, config.std))
    if len(mean) == channels:
        return mean, std
    return (sum(mean) / len(mean),) * channels, (sum(std) / len(std),) * channels


def _files_of(given: str | None) -> tuple[str, ...]:
    if given is None:
        return _FILES
    return (_OPEN_CLIP[given], given) if given in _OPEN_CLIP else (given,)


def _in_cache(repository: str, files: Sequence[str]) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    for file in files:
        found = try_to_load_from_cache(repository, file)
        if isinstance(found, str):
            return Path(found)
    return None


def _downloaded(name: str, repository: str, files: Sequence[str], say: Callable[[str], None]) -> Path:
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    if constants.HF_HUB_OFFLINE:
        raise _missing(name, repository, files, folder, "HF_HUB_OFFLINE forbids a download")
    try:
        for file in files:
            try:
                size = get_hf_file_metadata(hf_hub_url(repository, file)).size
            except EntryNotFoundError:
                continue
            large = "of unknown size" if size is None else f"{size / 1e6:,.1f} MB"
            say(f"downloading the weights of {name}: {file} of {repository}, {large}, to {folder}")
            return Path(hf_hub_download(repository, file))
    except Exception as error:  # httpx, requests and huggingface_hub have many types for a server that is not reached
        reason = (reason_of(error).splitlines() or [type(error).__name__])[0]
        raise _missing(name, repository, files, folder, f"the download failed: {reason}") from None
    raise _missing(name, repository, files, folder, f"{repository} has none of the files")


def _missing(name: str, repository: str, files: Sequence[str], folder: Path, why: str) -> BadInput:
    return BadInput(
        f"the weights of {name} are not in Hugging Face's cache, and {why}. Expected: "
        f"{folder / 'snapshots' / '*' / files[0]}. Download {files[0]} of {repository} elsewhere and name the file by "
        "`weights: FILE`, or copy the cache's folder"
    )


def _from_torchs_cache(name: str, url: str) -> Path:
    if not url:
        raise BadInput(f"timm has no weights of {name}; leave `weights` out, or name a file")
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.is_file():
        raise BadInput(
            f"the weights of {name} are not on Hugging Face, and {path} does not exist; download {url} to there, or "
            "name the file by `weights: FILE`"
        )
    return path
