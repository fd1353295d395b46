from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from study.driver.trial_packing import TrialPacker
from study.ledger.cell_ledger import Assignment
from study.store.study_folder import StudyFolder
from study.store.study_view import open_view
from tests.study.made_study import EPOCHS, MadeStudy, spec_of
from trainables.core.storage_path import StoragePath, files_below
from trainables.core.trial_folder import PACK
from trainables.training.checkpoints import save_checkpoint


def _names(made: MadeStudy, trial: Assignment) -> set[str]:
    return {file.name for file in files_below(made.files(trial).path)}


def _read(folder: StudyFolder) -> list[Any]:
    """Return all that readers see of the trials' files."""
    trials = [trial for cell in open_view(folder).cells for trial in cell.all_trials]
    return [
        (t.key, t.files.attempts(), t.evaluation(), t.test(), t.stored_config(), t.epochs, t.environment())
        for t in trials
    ]


def _made(tmp_path: Path, **changes: Any) -> tuple[MadeStudy, dict[str, Assignment]]:
    """A study with a trial of every end, each with two checkpoints, and the trials of its confirmation."""
    made = MadeStudy(tmp_path, spec_of(confirm={"seeds": 2}, **changes))
    trials = {"complete": made.complete(), "pruned": made.prune(), "failed": made.fail("loss is nan", epochs=1)}
    made.complete()
    for _ in range(4):
        made.complete("erm")
    for trial in made.confirm(lambda trial: 0.5):
        role = open_view(made.folder).cells[0 if "erm" in trial.key else 1].confirming[trial.number].param_source
        trials[f"{trial.cell.method} {role} {trial.seed}"] = trial
    for trial in trials.values():
        for epoch in (EPOCHS - 1, EPOCHS):
            save_checkpoint(made.files(trial).path, epoch, {"epoch": epoch})
    return made, trials


def _pack(made: MadeStudy, trials: list[Assignment], *, leftovers: bool = False) -> list[str]:
    said: list[str] = []
    packer = TrialPacker(made.folder.path / "cells", made.ledger, warn=said.append, leftovers=leftovers)
    for trial in trials:
        packer.touch(trial, False)
        packer.touch(trial, True)
    packer.close()
    return said


@pytest.mark.parametrize("kept", ["none", "winner", "confirm", "all"])
def test_an_ended_trial_is_one_file_and_reads_as_before(kept: str, tmp_path: Path) -> None:
    made, trials = _made(tmp_path, artifacts={"checkpoints": kept})
    before = _read(made.folder)
    assert _pack(made, list(trials.values())) == []
    assert _read(made.folder) == before
    with_checkpoint = {role for role, trial in trials.items() if _names(made, trial) == {PACK, "checkpoint-000005.pt"}}
    others = {role for role, trial in trials.items() if _names(made, trial) == {PACK}}
    assert with_checkpoint | others == trials.keys()
    confirmed = {role for role, trial in trials.items() if trial.confirms}
    first = min(trial.seed or 0 for trial in trials.values() if trial.confirms)
    winners = {role for role in confirmed if "best" in role and role.endswith(f" {first}")}
    assert len(winners) == 2
    wanted = {"none": set(), "winner": winners, "confirm": confirmed, "all": set(trials)}
    assert with_checkpoint == wanted[kept]


def test_the_next_driver_packs_what_a_killed_one_left(tmp_path: Path) -> None:
    made, trials = _made(tmp_path)
    running = made.start()
    made.train(running, range(1, 3))
    before = _read(made.folder)
    assert _pack(made, [], leftovers=True) == []
    assert _read(made.folder) == before
    assert all(PACK in _names(made, trial) for trial in trials.values())
    assert "trial.json" in _names(made, running)


def test_a_study_of_an_earlier_format_keeps_the_files_of_trials_that_ended(tmp_path: Path) -> None:
    made, trials = _made(tmp_path)
    made.folder.format_path.write_text('{"version": 3, "oldest": 3}')
    names = {role: _names(made, trial) for role, trial in trials.items()}
    before = _read(made.folder)
    made.folder.write_spec(made.folder.read_spec())  # as a resume does
    stored = json.loads(made.folder.format_path.read_bytes())
    assert (stored["version"], stored["oldest"]) == (4, 3)
    _pack(made, [], leftovers=made.folder.oldest_format() >= 4)
    assert {role: _names(made, trial) for role, trial in trials.items()} == names
    assert _read(made.folder) == before


def test_an_error_is_said_once_and_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, trials = _made(tmp_path)

    def full(path: StoragePath, content: bytes, *, durable: bool = True) -> None:
        raise OSError(28, "No space left on device")

    before = _read(made.folder)
    monkeypatch.setattr("trainables.core.trial_folder.write_atomically", full)
    said = _pack(made, list(trials.values()))
    assert said == ["files of ended trials are not bundled: No space left on device; a resume does it"]
    assert _read(made.folder) == before
