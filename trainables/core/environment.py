"""Provenance of a result: code, packages, machine and device."""

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
    """Return the first 16 hexadecimal digits of a sha256 over the sources of the package ``trainables``."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]  # the package ``trainables``
    for source in sorted(root.rglob("*.py")):
        digest.update(source.relative_to(root).as_posix().encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


@cache
def git_commit() -> str | None:
    """Return the git commit of the checkout, with ``+`` if it has uncommitted changes, or None outside git."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def describe_environment(device: str) -> dict[str, Any]:
    """Return code, package versions, machine and device as JSON-compatible values.

    Args:
        device: name of the training device, for example ``"cpu"`` or a GPU's model.
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
