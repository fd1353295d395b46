"""deploy/image: the image holds what the packages need, no more, with the versions of the lock file."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "deploy" / "image" / "Dockerfile").read_text()
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
COPIED = {
    word
    for line in re.findall(r"^COPY (.*)$", TEXT, flags=re.M)
    for word in [word for word in line.split() if not word.startswith("--")][:-1]
}


def test_what_is_copied_exists_and_every_package_is_copied() -> None:
    assert all((ROOT / path).exists() for path in COPIED)
    packages = PYPROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name for name in packages if "*" not in name} <= COPIED


def test_the_builder_gets_what_is_copied_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*" and rules[-1] == "**/__pycache__"
    assert {rule.removeprefix("!") for rule in rules[1:-1]} == COPIED
    assert all(rule.startswith("!") for rule in rules[1:-1])


def test_it_installs_what_a_study_needs_and_no_tool_of_the_tests() -> None:
    [program] = re.findall(r"python -c '(.*?)'", TEXT.replace("\\\n", ""), flags=re.S)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    wanted = done.stdout.splitlines()
    extras = PYPROJECT["project"]["optional-dependencies"]
    assert {*PYPROJECT["project"]["dependencies"], *extras["cluster"], *extras["hf"], *extras["timm"]} < set(wanted)
    tools = {line.split(">=")[0] for line in [*extras["dev"], *extras["docs"]]} - {"setuptools"}
    assert not tools & {line.split(">=")[0] for line in wanted}


def test_versions_come_from_the_lock_file_and_the_least_python_is_met() -> None:
    assert "--constraint requirements.lock" in TEXT and "--no-deps" in TEXT
    [python] = re.findall(r"^FROM python:(\d+\.\d+)-", TEXT, flags=re.M)
    assert python == "3.11"


def test_the_build_fetches_nothing_that_the_lock_file_does_not_name() -> None:
    assert "--no-build-isolation" in TEXT and 'file["build-system"]["requires"]' in TEXT


def test_it_runs_as_a_user_and_ray_asks_for_a_token() -> None:
    assert re.findall(r"^USER (\w+)$", TEXT, flags=re.M) == ["1000"]
    assert "RAY_AUTH_MODE=token" in TEXT
    assert "ENTRYPOINT" in TEXT and "with-secrets" in TEXT


def test_the_folders_that_the_environment_names_belong_to_the_user() -> None:
    [made] = re.findall(r"install --directory --owner=study --group=study (.*)$", TEXT, flags=re.M)
    named = re.findall(r"\bSTUDY_\w+=(\S+)", TEXT)
    assert len(named) == 2 and set(named) <= set(made.split())
