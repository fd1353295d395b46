"""`study shared` lists and removes shared trainings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from typer.testing import CliRunner

from study.cli.app import app
from trainables.core.errors import BadInput
from trainables.data import load
from trainables.shared_trainings.shared_training import SharedTraining, wait_for


def _study(*given: str, storage: Path) -> Any:
    return CliRunner().invoke(app, ["shared", *given, "--storage", str(storage)])


def test_it_lists_and_removes(make_trial: Any, tmp_path: Path) -> None:
    assert "nothing is shared yet" in _study(storage=tmp_path).output
    assert "nothing is shared yet" in _study("--remove", "all", storage=tmp_path).output
    config = make_trial("erm", epochs=1)
    shared = SharedTraining(tmp_path / "shared", config, 1, load(config.data), torch.device("cpu"))
    wait_for(shared)
    (row,) = json.loads(_study("--json", storage=tmp_path).output)
    assert (row["method"], row["data"], row["epochs kept"]) == ("erm", "digits long_tail-10", "1")
    assert row["key"] in _study(storage=tmp_path).output
    assert "0 of 1" in _study("--unused-days", "1", storage=tmp_path).output
    failed = _study("--remove", "nonsense", storage=tmp_path)
    assert isinstance(failed.exception, BadInput) and "--remove nonsense" in str(failed.exception)
    assert f"removed {row['key']}" in _study("--remove", row["key"][:8], storage=tmp_path).output
    assert not shared.path.exists()
