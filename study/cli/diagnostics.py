"""Diagnostics of ``study doctor``: each finding names its subject, the result, and whether the result is good."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from study.slurm import shared_storage
from trainables.core.errors import BadInput
from trainables.core.object_path import ObjectPath
from trainables.core.storage_path import StoragePath
from trainables.data.sources.source_lookup import folder_datasets

_PACKAGES = ("ray", "torch", "torchvision", "optuna", "mlflow", "pyarrow")
_FREE_BYTES_NEEDED = 2 * 2**30


class Finding(NamedTuple):
    """One line of the doctor's report."""

    subject: str
    text: str
    good: bool = True


def findings(storage: StoragePath, data_dir: Path | None) -> Iterator[Finding]:
    """Check packages, processors, memory, storage, data, the cluster token and Slurm, in this order."""
    yield from _packages()
    yield from _devices()
    yield _storage(storage)
    yield _data(data_dir)
    yield _token()
    if isinstance(storage, Path):
        yield _slurm(storage)


def _packages() -> Iterator[Finding]:
    for name in _PACKAGES:
        try:
            yield Finding(name, version(name))
        except PackageNotFoundError:
            yield Finding(name, "not installed; run `make venv` to repair the environment", good=False)


def _devices() -> Iterator[Finding]:
    import torch

    from trainables.core.device import FASTER_IN_BFLOAT16, multiplies_bfloat16, pick_device, precision_used

    device = pick_device()
    automatic = f"`precision: auto` trains in {precision_used('auto', device)}"
    bfloat16 = "emulated, which is slow"
    if multiplies_bfloat16(device):
        bfloat16 = "native" if precision_used("auto", device) == "bfloat16" else FASTER_IN_BFLOAT16
    yield Finding("processors", f"{os.cpu_count()}")
    for index in range(torch.cuda.device_count()):
        yield Finding(f"GPU {index}", torch.cuda.get_device_name(index))
    if not torch.cuda.is_available():
        yield Finding("GPU", "none visible; trials train on the CPU")
    yield Finding("bfloat16", f"{bfloat16}; {automatic}")
    shared = Path("/dev/shm")
    if shared.exists():
        free = shutil.disk_usage(shared).free
        good = free > 2**28
        yield Finding("shared memory", f"{free / 2**30:.1f} GiB free; Ray needs at least 0.25 GiB", good)


def _storage(storage: StoragePath) -> Finding:
    if isinstance(storage, ObjectPath):
        try:
            storage.check(writing=True)
        except BadInput as error:
            return Finding("storage", str(error), good=False)
        return Finding("storage", f"{storage} can be read and written")
    existing = next(folder for folder in (storage, *storage.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if not os.access(existing, os.W_OK):
        return Finding("storage", f"{storage} cannot be written", good=False)
    return Finding("storage", f"{storage}, {free / 2**30:.0f} GiB free", good=free > _FREE_BYTES_NEEDED)


def _data(data_dir: Path | None) -> Finding:
    given = data_dir or os.environ.get("STUDY_DATA_DIR")
    if not given:
        return Finding("data", "STUDY_DATA_DIR is not set; digits is built in; the others are downloaded")
    folder = Path(given)
    found = folder_datasets(folder) if folder.is_dir() else {}
    if not found:
        return Finding("data", f"{folder} contains no data set (docs/data.md)", good=False)
    return Finding("data", f"{folder} contains {', '.join(found)}")


def _token() -> Finding:
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", Path.home() / ".ray" / "auth_token"))
    if path.exists() or os.environ.get("RAY_AUTH_TOKEN"):
        return Finding("cluster token", "present")
    return Finding("cluster token", "none yet; needed only to submit to a cluster (docs/cluster.md)")


def _slurm(storage: Path) -> Finding:
    if shutil.which("sbatch") is None:
        return Finding("Slurm", "no sbatch on the path; needed only for `study slurm` (docs/slurm.md)")
    if (doubt := shared_storage.doubt(storage)) is not None:
        return Finding("Slurm", f"sbatch is on the path; before `study slurm`, share the storage: {doubt}")
    return Finding("Slurm", f"sbatch is on the path; the nodes must see {storage}")
