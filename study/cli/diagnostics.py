"""Diagnostics of this machine for ``study doctor``: packages, devices, storage, data, token, Slurm."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from study.driver.cluster_token import token, token_path
from study.driver.local_ray import rays_folder
from study.slurm import shared_storage
from trainables.core.errors import BadInput
from trainables.core.kernel_lock import KernelLock
from trainables.core.object_path import ObjectPath
from trainables.core.storage_path import StoragePath, write_atomically
from trainables.data.sources.source_lookup import folder_datasets

_PACKAGES = ("ray", "torch", "torchvision", "optuna", "mlflow", "pyarrow")
FREE_BYTES_NEEDED = 2 * 2**30


class Finding(NamedTuple):
    """One line of the doctor's report: its subject, the result, whether that is good, and else how to mend it."""

    subject: str
    text: str
    good: bool = True
    mend: str = ""


def findings(storage: StoragePath, data_dir: Path | None) -> Iterator[Finding]:
    """Check packages, processors, memory, storage, disks, data, the cluster token and Slurm, in this order."""
    yield from package_findings()
    yield from _devices()
    yield _storage(storage)
    yield from _free_space(storage)
    yield _data(data_dir)
    yield token_finding()
    if isinstance(storage, Path):
        yield _slurm(storage)


def package_findings() -> Iterator[Finding]:
    """Check that the packages are installed."""
    for name in _PACKAGES:
        try:
            yield Finding(name, version(name))
        except PackageNotFoundError:
            yield Finding(name, "not installed", good=False, mend="`make venv` repairs the environment")


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
        yield _no_gpu(torch.version.cuda)
    yield Finding("bfloat16", f"{bfloat16}; {automatic}")
    shared = Path("/dev/shm")
    if shared.exists():
        free = shutil.disk_usage(shared).free
        yield Finding(
            "shared memory",
            f"{free / 2**30:.1f} GiB free; Ray needs at least 0.25 GiB",
            free > 2**28,
            mend="enlarge /dev/shm; in a container: --shm-size=2g, in Kubernetes an emptyDir of medium Memory",
        )


def _no_gpu(cuda: str | None) -> Finding:
    if shutil.which("nvidia-smi") is None:
        return Finding("GPU", "none visible; trials train on the CPU")
    mend = "install a PyTorch build with CUDA"
    if cuda is not None:
        mend = (
            f"update the NVIDIA driver to one for CUDA {cuda}, give the container its GPUs, unset CUDA_VISIBLE_DEVICES"
        )
    return Finding("GPU", "`nvidia-smi` is here, and torch sees no GPU", good=False, mend=mend)


def _storage(storage: StoragePath) -> Finding:
    if isinstance(storage, ObjectPath):
        try:
            storage.check(writing=True)
        except BadInput as error:
            mend = "docs/cluster.md, object storage, lists bucket, credentials, region and permissions"
            return Finding("storage", str(error), good=False, mend=mend)
        return Finding("storage", f"{storage} can be read and written; an object is put whole or not at all")
    existing = next(folder for folder in (storage, *storage.parents) if folder.exists())
    if not existing.is_dir():
        mend = "name a folder with --storage or STUDY_STORAGE"
        return Finding("storage", f"{storage} cannot be made: {existing} is a file", good=False, mend=mend)
    try:
        _try_folder(existing)
    except OSError as error:
        mend = (
            f"give this user the right to write in {existing}, or name another folder with --storage or STUDY_STORAGE"
        )
        return Finding("storage", f"{storage} cannot be written: {error.strerror or error}", good=False, mend=mend)
    except BadInput as error:
        mend = "use a file system with POSIX locks and renames (NFS 4 has both), or object storage with PostgreSQL"
        return Finding("storage", str(error), good=False, mend=mend)
    made = "" if existing == storage else ", which the first study makes,"
    return Finding("storage", f"{storage}{made} can be written; files are replaced whole, locks work")


def _try_folder(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder, prefix=".study-doctor-") as made:
        file = Path(made) / "file"
        for content in (b"old", b"new"):
            write_atomically(file, content)
        if file.read_bytes() != b"new" or len(list(Path(made).iterdir())) != 1:
            raise BadInput(f"{folder} does not replace files whole")
        first, second = KernelLock(file), KernelLock(file)
        try:
            with first:
                if second.try_acquire():
                    raise BadInput(f"{folder} gives a lock to two holders at once")
        except OSError as error:
            raise BadInput(f"{folder} has no locks ({error.strerror})") from None
        finally:
            second.release()


def _free_space(storage: StoragePath) -> Iterator[Finding]:
    places = {"Ray's files": (rays_folder(), "RAY_TMPDIR")}
    if isinstance(storage, Path):
        places = {"studies": (storage, "--storage or STUDY_STORAGE"), **places}
    for what, (place, variable) in places.items():
        existing = next(folder for folder in (place, *place.parents) if folder.exists())
        free = shutil.disk_usage(existing).free
        text = f"{free / 2**30:.0f} GiB free for {what} at {place}"
        mend = f"free 2 GiB there, or name another folder with {variable}"
        yield Finding("disk space", text, free > FREE_BYTES_NEEDED, mend)


def _data(data_dir: Path | None) -> Finding:
    given = data_dir or os.environ.get("STUDY_DATA_DIR")
    if not given:
        return Finding("data", "STUDY_DATA_DIR is not set; digits is built in; the others are downloaded")
    folder = Path(given)
    mend = (
        "name the folder that holds data sets with --data-dir or STUDY_DATA_DIR (docs/data.md says how they lie there)"
    )
    if not folder.is_dir():
        return Finding("data", f"{folder} is no folder", good=False, mend=mend)
    try:
        found = folder_datasets(folder)
    except OSError as error:
        return Finding("data", f"{folder} cannot be read: {error.strerror}", good=False, mend=mend)
    if not found:
        return Finding("data", f"{folder} contains no data set yet; digits is built in; torchvision's are downloaded")
    return Finding("data", f"{folder} contains {', '.join(found)}")


def token_finding() -> Finding:
    """Check that a cluster's token is here, where only its owner reads it."""
    path, named = token_path()
    try:
        token()
    except BadInput as error:
        variable = "RAY_AUTH_TOKEN" if os.environ.get("RAY_AUTH_TOKEN") else "RAY_AUTH_TOKEN_PATH" if named else ""
        mend = "copy the cluster's token there" + (f", or unset {variable}" if variable else "")
        return Finding("cluster token", str(error), good=False, mend=mend)
    if os.environ.get("RAY_AUTH_TOKEN"):
        return Finding("cluster token", "in RAY_AUTH_TOKEN")
    try:
        mode = path.stat().st_mode
    except OSError:
        return Finding("cluster token", "none yet; needed only for a cluster (docs/cluster.md)")
    if mode & 0o077 and not named:  # a secret that is mounted is guarded by its folder
        return Finding("cluster token", f"others may read {path}", good=False, mend=f"chmod 600 {path}")
    return Finding("cluster token", f"in {path}")


def _slurm(storage: Path) -> Finding:
    if shutil.which("sbatch") is None:
        return Finding("Slurm", "no sbatch on the path; needed only for `study slurm` (docs/slurm.md)")
    if (doubt := shared_storage.doubt(storage)) is not None:
        return Finding("Slurm", f"sbatch is on the path; before `study slurm`, share the storage: {doubt}")
    return Finding("Slurm", f"sbatch is on the path; the nodes must see {storage}")
