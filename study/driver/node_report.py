"""Asks every node of a Ray cluster what it has: versions, clock, disks, folders, GPUs.

``python -m study.driver.node_report ADDRESS FOLDER...`` prints it as JSON, in a process of its own: Ray reads its token
once per process. The function that runs on the nodes needs nothing but Python there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from study.driver.cluster_token import NO_TOKEN, WRONG_TOKEN
from study.driver.ray_connection import init_ray
from trainables.core.errors import BadInput, shown
from trainables.core.storage_path import StoragePath

PACKAGES = ("ray", "torch", "torchvision", "optuna", "mlflow", "pyarrow", "numpy")
_PATIENCE = 120.0
_NODE_PATIENCE = 60.0
_AT_ONCE = 32
_HEAD = "node:__internal_head__"
"""Resource that Ray gives to the head alone."""
_JOB_FILES = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Variable by which Ray gives the drivers in a job its files and environment."""
MOST_SECONDS_APART = 30.0
"""Difference of two nodes' clocks from which on times in records and signatures of requests go wrong."""


_UNREACHED = "its credentials, region and address must be in the environment in which `ray start` runs there"
_SHARED = "mount the same folder at the same path on every node"


class NodeReport(NamedTuple):
    """Properties of a node, as the node reports them.

    Attributes:
        name: its host name and address.
        failed: why it did not answer; the other fields are empty then.
        versions: package -> version, with ``python``.
        clock: seconds by which its clock is ahead of this machine's, to half the time of the question.
        free: free bytes of its temporary folder, where Ray keeps its files.
        missing: those of the asked folders and files that it does not see, and of the object storages in which it
            cannot write.
        gpus: GPUs that Ray has there; ``cuda`` says whether torch sees one.
        cuda: None where Ray has no GPU.
    """

    name: str
    failed: str = ""
    versions: dict[str, str] = {}  # noqa: RUF012  # never modified
    clock: float = 0.0
    free: int = 0
    missing: tuple[str, ...] = ()
    gpus: float = 0.0
    cuda: bool | None = None


def ask_nodes(address: str, paths: Iterable[str | Path] = (), *, patience: float = _PATIENCE) -> list[NodeReport]:
    """Ask every node of a cluster.

    Args:
        address: ``auto`` or ``host:port``.
        paths: folders and files that each node should see, and URLs of object storage.
        patience: seconds for all of it.

    Raises:
        BadInput: the cluster does not answer, or refuses the token.
    """
    words = [sys.executable, "-m", "study.driver.node_report", address, *map(str, paths)]
    # In a job it joins as a driver of its own: one that leaves with the job's files has Ray delete them under the job.
    environment = {name: value for name, value in os.environ.items() if name != _JOB_FILES}
    try:
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=patience, check=False)
    except subprocess.TimeoutExpired:
        raise BadInput(f"the Ray cluster at {address} does not answer within {patience:.0f} s") from None
    if done.returncode == 0:
        return [NodeReport(**{**found, "missing": tuple(found["missing"])}) for found in json.loads(done.stdout)]
    raise BadInput(f"cannot join the Ray cluster at {address}: {_why(done.stderr)}")


def _why(said: str) -> str:
    if "InvalidAuthToken" in said or "Unauthenticated" in said:
        return WRONG_TOKEN
    if "no authentication token was found" in said:
        return NO_TOKEN
    if "Could not find any running Ray instance" in said:
        return "no Ray runs on this machine; start it, or name host:port of the head"
    lines = [line for line in said.splitlines() if line.strip()]
    return shown(lines[-1], 500) if lines else "it does not say why"


def ask_of_folders(
    address: str, storage: StoragePath | None, data_folders: Iterable[str | Path] = ()
) -> list[NodeReport]:
    """Ask every node of a cluster, also whether it shares a study's folders.

    Args:
        address: ``auto`` or ``host:port``.
        storage: place of all studies; a folder is tried with a file that lies there meanwhile, an object storage with
            an object that each node writes. None asks of none.
        data_folders: folders of data sets.

    Returns:
        The reports, whose ``missing`` names the given folders.

    Raises:
        BadInput: the storage cannot be written, or the cluster does not answer.
    """
    asked = {str(folder): str(folder) for folder in data_folders}
    if not isinstance(storage, Path):
        return ask_nodes(address, [*asked, *([] if storage is None else [str(storage)])])
    probe = storage / f".probe-{uuid.uuid4().hex}"
    made = not storage.exists()
    try:
        storage.mkdir(parents=True, exist_ok=True)
        probe.touch()
    except OSError as error:
        raise BadInput(f"cannot write to the storage folder {storage}: {error.strerror}") from None
    asked[str(probe)] = str(storage)
    try:
        nodes = ask_nodes(address, list(asked))
    finally:
        with suppress(OSError):
            probe.unlink()
            if made:  # nothing is stored by a question
                storage.rmdir()
    return [node._replace(missing=tuple(asked[path] for path in node.missing)) for node in nodes]


def check_nodes(address: str, storage: StoragePath, data_folders: Iterable[str | Path] = ()) -> list[str]:
    """Refuse a cluster whose nodes do not share a study's folders.

    Args:
        address: of the cluster.
        storage: place of all studies.
        data_folders: folders of data sets.

    Returns:
        Sentences on what else differs between the nodes.

    Raises:
        BadInput: the cluster does not answer, or a node does not see a folder.
    """
    nodes = ask_of_folders(address, storage, data_folders)
    for node in nodes:
        for what, mend in complaints(node, storage):
            raise BadInput(f"node {node.name} {what}: {mend}, or its trials would be lost")
    return [f"warning: {note}" for note in differences(nodes)]


def complaints(node: NodeReport, storage: StoragePath) -> Iterator[tuple[str, str]]:
    """Return what a node lacks of a study's folders, each with how to mend it, as parts of a sentence."""
    for path in node.missing:
        if path != str(storage):
            yield f"does not see the data folder {path}", _SHARED
        elif isinstance(storage, Path):
            yield f"does not see the storage {path}", _SHARED
        else:
            yield f"cannot write to the storage {path}", _UNREACHED


def differences(nodes: Sequence[NodeReport]) -> list[str]:
    """Return a sentence for each thing in which nodes differ and should not, and for each node that does not answer."""
    notes = [f"node {node.name} does not answer: {node.failed}" for node in nodes if node.failed]
    answering = [node for node in nodes if not node.failed]
    for package in ("python", *PACKAGES):
        have: dict[str, list[str]] = {}
        for node in answering:
            have.setdefault(node.versions.get(package, "none"), []).append(node.name)
        if len(have) > 1:
            listed = "; ".join(f"{version} on {', '.join(names)}" for version, names in sorted(have.items()))
            notes.append(f"{package} differs between nodes: {listed}")
    if len(answering) > 1:
        first, last = (pick(answering, key=lambda node: node.clock) for pick in (min, max))
        if last.clock - first.clock > MOST_SECONDS_APART:
            notes.append(f"the clocks of {first.name} and {last.name} are {last.clock - first.clock:.0f} s apart")
    notes += [f"node {node.name} has a GPU that torch does not see" for node in answering if node.cuda is False]
    return notes


def _facts(paths: list[str], packages: tuple[str, ...], has_gpu: bool) -> dict[str, Any]:
    """Run on a node; sent by value, so that it does without this project where that is not installed."""
    import importlib.metadata
    import os
    import platform
    import shutil
    import tempfile
    import time

    def seen(path: str) -> bool:
        if "://" not in path:
            return os.path.exists(path)
        try:
            from trainables.core.object_path import ObjectPath
        except ImportError:
            return True  # nobody knows: the project comes with the job
        try:
            ObjectPath.parsed(path).check(writing=True)
        except Exception:  # pyarrow raises many types
            return False
        return True

    versions = {"python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "none"
    cuda = None
    if has_gpu:
        try:
            import torch

            cuda = torch.cuda.is_available()
        except Exception:  # a broken installation
            cuda = False
    return {
        "versions": versions,
        "clock": time.time(),
        "free": shutil.disk_usage(tempfile.gettempdir()).free,
        "missing": [path for path in paths if not seen(path)],
        "cuda": cuda,
    }


def _name(node: dict[str, Any], *, port: bool) -> str:
    """Return a node's name; with the port of its raylet, where a machine has several nodes. The head is marked."""
    address = f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}" if port else node["NodeManagerAddress"]
    head = ", the head" if _HEAD in node["Resources"] else ""
    return f"{node['NodeManagerHostname']} ({address}{head})"


def _ask(node: dict[str, Any], name: str, paths: list[str]) -> dict[str, Any]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    gpus = float(node["Resources"].get("GPU", 0.0))
    here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    remote: Any = ray.remote(num_cpus=0, max_retries=0)(_facts).options(scheduling_strategy=here)
    try:
        ray.get(remote.remote(paths, PACKAGES, gpus > 0), timeout=_NODE_PATIENCE)  # starts the worker
        begin = time.time()
        found: dict[str, Any] = ray.get(remote.remote(paths, PACKAGES, gpus > 0), timeout=_NODE_PATIENCE)
        found["clock"] -= (begin + time.time()) / 2
    except ray.exceptions.GetTimeoutError:
        return NodeReport(name, failed=f"no answer within {_NODE_PATIENCE:.0f} s", gpus=gpus)._asdict()
    except Exception as error:  # Ray raises many types
        why = shown(" ".join(str(error).split()) or type(error).__name__, 300)
        return NodeReport(name, failed=why, gpus=gpus)._asdict()
    return NodeReport(name, gpus=gpus, **found)._asdict()


def main(address: str, paths: list[str]) -> None:
    """Join a cluster and print what its nodes say."""
    import ray

    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what Ray prints is no JSON
    init_ray(address)
    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    machines = Counter(node["NodeManagerAddress"] for node in alive)
    names = [_name(node, port=machines[node["NodeManagerAddress"]] > 1) for node in alive]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(lambda node, name: _ask(node, name, paths), alive, names))
    print(json.dumps(found), file=answers, flush=True)
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
