from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainables.core import environment
from trainables.core.environment import code_fingerprint, describe_environment, git_commit


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    for remembered in (code_fingerprint, git_commit):
        remembered.cache_clear()
    yield
    for remembered in (code_fingerprint, git_commit):
        remembered.cache_clear()


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package's sources that counts as the package."""
    root = tmp_path / "trainables"
    shutil.copytree(Path(environment.__file__).parents[1], root, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(environment, "__file__", str(root / "core/environment.py"))
    return root


def test_the_description_is_plain_json_and_names_what_decides() -> None:
    described = describe_environment("cpu")
    assert json.loads(json.dumps(described)) == described
    assert described["device"] == "cpu"
    assert described["cpus"] == os.cpu_count()
    for package in ("torch", "numpy", "ray", "optuna", "mlflow", "longtail-study"):
        assert described["packages"][package]
    assert described["code"] == code_fingerprint()


def test_the_fingerprint_of_the_code_follows_every_source(copied: Path) -> None:
    first = code_fingerprint()
    assert len(first) == 16
    code_fingerprint.cache_clear()
    assert code_fingerprint() == first
    seen = {first}
    for source in ("training/trainer.py", "components/losses/focal_loss.py", "new.py"):
        with (copied / source).open("a") as file:
            file.write("# changed\n")
        code_fingerprint.cache_clear()
        seen.add(code_fingerprint())
    (copied / "new.py").rename(copied / "other.py")
    code_fingerprint.cache_clear()
    seen.add(code_fingerprint())
    assert len(seen) == 5


def test_other_files_do_not_count(copied: Path) -> None:
    first = code_fingerprint()
    (copied / "notes.txt").write_text("x")
    code_fingerprint.cache_clear()
    assert code_fingerprint() == first


def _git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


def test_the_commit_and_whether_it_was_changed(copied: Path) -> None:
    _git(copied, "init")
    _git(copied, "add", ".")
    _git(copied, "commit", "-m", "first")
    commit = git_commit()
    assert commit is not None
    assert len(commit) == 12
    (copied / "training/trainer.py").write_text("changed")
    git_commit.cache_clear()
    assert git_commit() == f"{commit}+"


def test_without_a_checkout_or_without_git_there_is_no_commit(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert git_commit() is None
    git_commit.cache_clear()
    monkeypatch.setenv("PATH", "")
    assert git_commit() is None
    assert describe_environment("cpu")["git_commit"] is None
