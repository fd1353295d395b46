"""Reading safetensors: a length, a JSON header, then the tensors' bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read every tensor of a file.

    Raises:
        ValueError: the file is not what the format says.
        OSError: it cannot be read.

    Source: the format's description, huggingface.co/docs/safetensors: eight bytes of length (little endian), a
    JSON object name -> dtype, shape and offsets into the rest, then the bytes.
    """
    content = bytearray(path.read_bytes())
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > len(content) - 8:
        raise ValueError("the file ends within its header")
    header = json.loads(content[8 : 8 + length])
    if not isinstance(header, dict):
        raise ValueError("the header is no JSON object")
    body = memoryview(content)[8 + length :]
    return {name: _tensor(name, entry, body) for name, entry in header.items() if name != "__metadata__"}


def _tensor(name: str, entry: Any, body: memoryview) -> Tensor:
    try:
        kind, shape, (start, stop) = _TYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the entry of {name} is not dtype, shape and data_offsets ({error!r})") from None
    count = torch.Size(shape).numel()
    if not 0 <= start <= stop <= len(body) or stop - start != count * kind.itemsize:
        raise ValueError(f"the bytes {start} to {stop} of {name} are not those of a {entry['dtype']} {shape}")
    if count == 0:
        return torch.empty(shape, dtype=kind)
    # a copy: a tensor may begin at any byte
    return torch.frombuffer(bytearray(body[start:stop]), dtype=kind).reshape(shape)
