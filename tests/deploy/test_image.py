"""deploy/image: the image holds what the packages need, with the versions of the lock file."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "deploy" / "image" / "Dockerfile").read_text()


def test_what_is_copied_exists_and_every_package_is_copied() -> None:
    copied = {
        word
        for line in re.findall(r"^COPY (.*)$", TEXT, flags=re.M)
        for word in [word for word in line.split() if not word.startswith("--")][:-1]
    }
    assert all((ROOT / path).exists() for path in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    assert {name for name in project["include"] if "*" not in name} <= copied


def test_versions_come_from_the_lock_file_and_the_least_python_is_met() -> None:
    assert "--requirement requirements.lock" in TEXT and "--no-deps" in TEXT
    [python] = re.findall(r"^FROM python:(\d+\.\d+)-", TEXT, flags=re.M)
    assert python == "3.11"


def test_it_runs_as_a_user_and_ray_asks_for_a_token() -> None:
    assert re.findall(r"^USER (\w+)$", TEXT, flags=re.M) == ["1000"]
    assert "RAY_AUTH_MODE=token" in TEXT
    assert "ENTRYPOINT" in TEXT and "with-secrets" in TEXT
