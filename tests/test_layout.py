"""The shape of the code: imports point one way, the command starts fast."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("study", "search_spaces", "trainables")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
DUMPING_GROUNDS = {"utils", "util", "helpers", "helper", "common", "misc"}

# package -> ours it must not import
FORBIDDEN = {"study": set(), "search_spaces": {"study"}, "trainables": {"study", "search_spaces"}}
HEAVY = ("torch", "ray", "mlflow", "optuna")


def _imports(path: Path) -> Iterator[str]:
    """Yield every module a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(), filename=str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where they point"
            yield node.module or ""


def _importers(distribution: str) -> set[str]:
    """Return the files, relative to the root, that import a distribution."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in FILES
        if any(module.split(".")[0] == distribution for module in _imports(path))
    }


def test_there_are_files_to_check() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        wrong = {module for module in _imports(path) if module.split(".")[0] in FORBIDDEN[package]}
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_ray_is_imported_in_study_and_ray_trainable_alone() -> None:
    outside = {name for name in _importers("ray") if not name.startswith("study/")}
    assert outside == {"trainables/entry_points/ray_trainable.py"}


def test_mlflow_is_imported_in_tracking_alone() -> None:
    importers = _importers("mlflow")
    assert importers and all(name.startswith("study/tracking/") for name in importers)


def test_a_training_knows_nothing_of_optuna() -> None:
    importers = _importers("optuna")
    assert importers and not [name for name in importers if name.startswith("trainables/")]


def test_no_file_is_a_dumping_ground() -> None:
    assert not [path for path in FILES if path.stem in DUMPING_GROUNDS or path.parent.name in DUMPING_GROUNDS]


def test_the_command_imports_nothing_heavy_before_it_is_needed() -> None:
    code = f"import sys, study.cli.app; print(*sorted({set(HEAVY)!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_help_needs_nothing_heavy() -> None:
    code = (
        "import sys, study.cli.app\n"
        "sys.argv = ['study', '--help']\n"
        "try: study.cli.app.main()\n"
        f"finally: print('heavy:', *sorted({set(HEAVY)!r} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].strip() == "heavy:"


def test_the_lock_file_names_no_address_and_every_dependency() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert not [line for line in lines if "://" in line or line.startswith("-")]
    pinned = {line.split("==")[0].split("[")[0] for line in lines if "==" in line}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in chain(project["dependencies"], *project["optional-dependencies"].values()):
        name = requirement.split("[")[0].split(">=")[0].split("==")[0].lower()
        assert name in pinned, f"{name} is not in requirements.lock: run `make lock`"
