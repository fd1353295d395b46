"""Where a training computes and in which precision."""

from __future__ import annotations

import ctypes
import platform
from functools import cache

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""The numbers by which glibc's mallopt knows what it shall change."""


def pick_device() -> torch.device:
    """Return the first visible CUDA device, else the CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def device_name(device: torch.device) -> str:
    """Return the name a record shows for a device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 natively, so that autocast makes it faster, not slower."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    # not mkldnn's own answer: it also counts processors on which it emulates bfloat16, at half the speed of float32
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """Return the autocast type for ``auto``, ``float32`` or ``bfloat16``; None means float32 throughout."""
    wanted = precision == "bfloat16" or (precision == "auto" and multiplies_bfloat16(device))
    return torch.bfloat16 if wanted else None


@cache
def keep_freed_memory() -> None:
    """Let the C library keep what a step frees for the next one; changes this process, and only under glibc.

    Otherwise buffers of a few MB go back to the kernel in every step and come again as empty pages: the network
    of the affinity paper trains a sixth faster in float32 without that. The most that is held does not change.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        for parameter in (_MMAP_THRESHOLD, _TRIM_THRESHOLD):
            library.mallopt(parameter, 1 << 30)  # bytes
