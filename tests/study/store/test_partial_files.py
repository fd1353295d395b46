from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from study.store.partial_files import remove_partial_files
from trainables.core.storage_path import write_atomically


def _killed_while_writing(path: Path, monkeypatch: pytest.MonkeyPatch, *, hours_ago: float) -> Path:
    """Leave the scratch file of a process that is killed before it renames the file."""
    before = set(path.parent.iterdir())
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", lambda *given: None)
        write_atomically(path, b"half")
    (left,) = set(path.parent.iterdir()) - before
    then = time.time() - 3600 * hours_ago
    os.utime(left, (then, then))
    return left


def test_only_old_scratch_files_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = tmp_path / "cells" / "digits" / "long_tail-10" / "cce" / "00003"
    trial.mkdir(parents=True)
    kept = [tmp_path / "ledger.journal", tmp_path / ".hidden", trial / "checkpoint-000001.pt"]
    kept += [trial / f".evaluation.json.{'g' * 32}", trial / ("a" * 32)]
    for path in kept:
        path.write_bytes(b"x")
        os.utime(path, (0, 0))
    old = [
        _killed_while_writing(tmp_path / "study.yaml", monkeypatch, hours_ago=2),
        _killed_while_writing(trial / "checkpoint-000002.pt", monkeypatch, hours_ago=30),
    ]
    young = _killed_while_writing(trial / "evaluation.json", monkeypatch, hours_ago=0.5)
    assert remove_partial_files(tmp_path) == 2
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in [*kept, young])
    assert remove_partial_files(tmp_path) == 0


def test_a_new_study_has_nothing_to_sweep(tmp_path: Path) -> None:
    assert remove_partial_files(tmp_path) == 0
