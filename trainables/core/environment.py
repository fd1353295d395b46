"""What a number was computed with: code, packages, machine and device."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("longtail-study", "torch", "torchvision", "numpy", "ray", "optuna", "mlflow", "pyarrow")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def code_fingerprint() -> str:
    """Return a sha256 over the sources that determine a training, as 16 hexadecimal digits."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]  # the whole package, whatever room this file is in
    for source in sorted(root.rglob("*.py")):
        digest.update(source.relative_to(root).as_posix().encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


@cache
def git_commit() -> str | None:
    """Return the commit of the checkout that the package runs from, with ``+`` when it was changed."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def describe_environment(device: str) -> dict[str, Any]:
    """Describe code, packages and machine for a record.

    Args:
        device: what trains, for example ``"cpu"`` or a GPU's name.
    """
    return {
        "code": code_fingerprint(),
        "git_commit": git_commit(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "host": platform.node(),
        "cpus": os.cpu_count(),
        "device": device,
    }
