"""Shared trainings can be listed and removed, but never under somebody's hands."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables.data import load
from trainables.shared_trainings.shared_training import SharedTraining, wait_for
from trainables.shared_trainings.stored_trainings import remove_entry, shared_entries, shared_faults

CPU = torch.device("cpu")


@pytest.fixture
def shared(make_trial: Any, tmp_path: Path) -> SharedTraining:
    config = make_trial("erm", epochs=2)
    return SharedTraining(tmp_path, config, 2, load(config.data), CPU)


def test_nothing_is_listed_where_nothing_is(tmp_path: Path) -> None:
    assert shared_entries(tmp_path / "nowhere") == []


def test_an_entry_says_what_it_is_and_what_it_takes(shared: SharedTraining, tmp_path: Path) -> None:
    wait_for(shared)
    (entry,) = shared_entries(tmp_path)
    assert entry.key == shared.path.name
    assert entry.config == shared.config
    assert entry.pinned == (2,)
    assert entry.bytes == sum(path.stat().st_size for path in shared.path.iterdir())


def test_an_entry_of_the_first_format_is_read_in_todays_words(shared: SharedTraining, tmp_path: Path) -> None:
    wait_for(shared)
    place = shared.path / "trial.json"
    stored = json.loads(place.read_text())
    stored["trial"]["method"]["hyperparameters"] = stored["trial"]["method"].pop("params")
    place.write_text(json.dumps(stored))
    (entry,) = shared_entries(tmp_path)
    assert entry.config == shared.config


def test_one_whose_lock_is_gone_is_listed_and_removed(shared: SharedTraining, tmp_path: Path) -> None:
    wait_for(shared)
    (shared.path / "lock").unlink()
    (entry,) = shared_entries(tmp_path)
    assert remove_entry(tmp_path, entry.key)
    assert shared_entries(tmp_path) == [] and not shared.path.exists()


def test_the_one_that_was_used_last_comes_first(make_trial: Any, tmp_path: Path) -> None:
    made = []
    for seed in (0, 1):
        config = make_trial("erm", epochs=1, seed=seed)
        made.append(SharedTraining(tmp_path, config, 1, load(config.data), CPU))
        wait_for(made[-1])
    for path in made[0].path.iterdir():
        os.utime(path, (1, 1))
    assert [entry.key for entry in shared_entries(tmp_path)] == [made[1].path.name, made[0].path.name]
    assert made[0].state() is not None  # taking the state is a use
    assert shared_entries(tmp_path)[0].key == made[0].path.name


def test_a_folder_in_the_place_of_a_file_is_a_fault_and_hides_no_other(shared: SharedTraining, tmp_path: Path) -> None:
    wait_for(shared)
    assert shared_faults(tmp_path) == (1, [])
    state, epochs = (Path(next(shared.path.glob(kind))) for kind in ("*.pt", "epochs-*.jsonl"))
    for file in (state, epochs):
        file.unlink()
        file.mkdir()
    faults = shared_faults(tmp_path)[1]
    assert any(fault.startswith(f"{state}: is damaged (Is a directory)") for fault in faults)
    assert any(fault.startswith(f"{epochs}: cannot be read (Is a directory)") for fault in faults)


def test_the_state_of_another_training_is_none(make_trial: Any, tmp_path: Path) -> None:
    one, other = (
        SharedTraining(tmp_path, make_trial("erm", epochs=2, seed=seed), 2, load(make_trial("erm").data), CPU)
        for seed in (0, 1)
    )
    own, states = (
        wait_for(one),
        [next(Path(str(shared.path)).glob("*.pt")) for shared in (one, other) if wait_for(shared)],
    )
    states[0].write_bytes(states[1].read_bytes())
    assert one.state() is None
    again = wait_for(one)
    assert all(torch.equal(again["head"][name], value) for name, value in own["head"].items())


def test_a_removed_one_is_trained_again(shared: SharedTraining, tmp_path: Path) -> None:
    wait_for(shared)
    assert remove_entry(tmp_path, shared.path.name)
    assert shared_entries(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    assert shared.state() is None
    assert wait_for(shared)["epoch"] == 2


def test_one_that_is_being_trained_is_left(shared: SharedTraining, tmp_path: Path) -> None:
    assert shared.acquire()
    shared.run_epoch()
    assert not remove_entry(tmp_path, shared.path.name)
    shared.run_epoch()
    shared.release()
    assert shared.state() is not None


def test_a_lock_on_what_was_removed_is_no_lock(shared: SharedTraining, monkeypatch: pytest.MonkeyPatch) -> None:
    shared.path.mkdir()
    opened = Path.open

    def removed_meanwhile(path: Path, *given: Any, **more: Any) -> Any:
        file = opened(path, *given, **more)
        if path.name == "lock":
            path.unlink()
        return file

    monkeypatch.setattr(Path, "open", removed_meanwhile)
    assert not shared.acquire()


def test_what_cannot_be_read_is_listed_too(shared: SharedTraining, tmp_path: Path) -> None:
    wait_for(shared)
    (shared.path / "trial.json").write_text('{"trial": {"method": 3}}')
    (entry,) = shared_entries(tmp_path)
    assert entry.config is None
