"""Device and precision of a training."""

from __future__ import annotations

import ctypes
import platform
from functools import cache

import torch

FASTER_IN_BFLOAT16 = (
    "this device multiplies bfloat16 natively: `precision: bfloat16` trained resnet32 1.6 times as fast on such a "
    "processor, small networks hardly faster; `python -m benchmarks.precision` measures it"
)
"""Hint for devices with native bfloat16 that train in float32."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameter numbers of glibc's mallopt."""


def pick_device() -> torch.device:
    """Return the first visible CUDA device, else the CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def device_name(device: torch.device) -> str:
    """Return the device's display name: the GPU's model, or ``"cpu"``."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def multiplies_bfloat16(device: torch.device) -> bool:
    """Return True if the device multiplies bfloat16 natively, so that autocast speeds training up."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    # mkldnn's own check also accepts processors that emulate bfloat16, at half the speed of float32
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """Return the autocast dtype of a precision on a device; None disables autocast (float32).

    Args:
        precision: ``float32``; ``bfloat16``; ``native``, bfloat16 where the device multiplies it natively; or ``auto``,
            which is ``native`` on a GPU and float32 on a processor, so that no result depends on the processor's age.
        device: the training device.
    """
    if precision == "auto":
        precision = "native" if device.type == "cuda" else "float32"
    wanted = precision == "bfloat16" or (precision == "native" and multiplies_bfloat16(device))
    return torch.bfloat16 if wanted else None


def precision_used(precision: str, device: torch.device) -> str:
    """Return the name of the dtype in which a device trains under a precision: ``float32`` or ``bfloat16``."""
    return str(autocast_dtype(precision, device) or torch.float32).removeprefix("torch.")


@cache
def keep_freed_memory() -> None:
    """Make glibc's allocator keep freed memory for the next step; affects the whole process, a no-op without glibc.

    By default buffers of a few MB are returned to the kernel in every step and faulted in again. Avoiding this
    speeds up the network of the affinity paper by a sixth in float32. Peak memory does not change.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        for parameter in (_MMAP_THRESHOLD, _TRIM_THRESHOLD):
            library.mallopt(parameter, 1 << 30)  # bytes
