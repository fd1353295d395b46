"""What trials share is trained once, found again, never half, and changes no number."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.core.config import TrialConfig
from trainables.core.trial_folder import TrialFolder
from trainables.core.trial_report import SharedEpochs
from trainables.data import load
from trainables.methods.registry import reference_of, shared_prefix_of
from trainables.shared_trainings.needed_trainings import SharedNeeds
from trainables.shared_trainings.shared_training import SharedTraining, shared_reference, wait_for
from trainables.training.trainer import Trainer

CPU = torch.device("cpu")


def _shared(store: Path, config: TrialConfig, until: int) -> SharedTraining:
    return SharedTraining(store, config, until, load(config.data), CPU)


def _weights(trainer: Trainer) -> list[Tensor]:
    return list(trainer.network.state_dict().values())


def _timeless(record: dict[str, Any]) -> dict[str, Any]:
    return {key: repr(value) for key, value in record.items() if key not in ("images_per_second", "stage", "shared")}


def _alone(config: TrialConfig) -> tuple[Trainer, list[dict[str, Any]]]:
    trainer, records = Trainer(config, load(config.data), CPU), []
    while not trainer.finished:
        records.append(_timeless(trainer.run_epoch()))
    return trainer, records


def _with_others(config: TrialConfig, store: Path, folder: Path) -> tuple[Trainer, list[dict[str, Any]], SharedEpochs]:
    """Train as a trial of a study does: first what it shares."""
    data, own = load(config.data), TrialFolder(folder)
    own.write_config({})
    needs = SharedNeeds(config, data, CPU, store, own)
    trainer = Trainer(config, data, CPU, needs.reference)
    needs.bind(trainer)
    while not needs.met():
        needs.advance()
    while not trainer.finished:
        own.append_epoch(trainer.run_epoch())
    return trainer, [_timeless(record) for record in own.history()], needs.spent()


def test_a_trial_that_shares_has_the_numbers_of_one_that_does_not(make_trial: Any, tmp_path: Path) -> None:
    config = make_trial("ldam-drw", epochs=5)
    alone, expected = _alone(config)
    for attempt, trained in (("first", 4), ("second", 0)):
        trainer, records, spent = _with_others(config, tmp_path / "shared", tmp_path / attempt)
        assert records == expected
        assert all(torch.equal(a, b) for a, b in zip(_weights(trainer), _weights(alone), strict=True))
        assert spent == SharedEpochs(4, 4, trained)


def test_values_of_the_last_stage_share_and_values_of_the_first_do_not(make_trial: Any, tmp_path: Path) -> None:
    trained = []
    for number, values in enumerate([{}, {"beta": 0.99}, {"scale": 10.0}, {"defer_until": 0.5}]):
        config = make_trial("ldam-drw", epochs=5)
        config = config.model_copy(update={"method": config.method.model_copy(update={"params": values})})
        trained.append(_with_others(config, tmp_path / "shared", tmp_path / str(number))[2].trained)
    # an earlier switch is trained anew from the start: only later states can go on from earlier ones
    assert trained == [4, 0, 4, 3]


def test_a_later_state_goes_on_from_an_earlier_one(make_trial: Any, tmp_path: Path) -> None:
    config = make_trial("erm", epochs=5)
    expected, _ = _alone(config)
    wait_for(_shared(tmp_path, config, 3))
    later = _shared(tmp_path, config, 5)
    assert later.acquire()
    assert [later.run_epoch()["epoch"], later.run_epoch()["epoch"]] == [4, 5]
    later.release()
    found = shared_reference(_shared(tmp_path, config, 5))
    assert all(torch.equal(a, b) for a, b in zip(found.state_dict().values(), _weights(expected), strict=True))
    assert not any(parameter.requires_grad for parameter in found.parameters()) and not found.training


def test_an_earlier_state_knows_nothing_of_later_epochs(make_trial: Any, tmp_path: Path) -> None:
    config = make_trial("erm", epochs=5)
    wait_for(_shared(tmp_path, config, 5))
    state = wait_for(_shared(tmp_path, config, 3))
    assert [record["epoch"] for record in state["records"]] == [1, 2, 3]


def test_finding_a_reference_leaves_the_random_numbers_alone(make_trial: Any, tmp_path: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    shared_reference(_shared(tmp_path, make_trial("erm", epochs=2), 2))
    assert torch.equal(torch.rand(3), expected)


def test_two_that_need_the_same_do_not_both_train_it(make_trial: Any, tmp_path: Path) -> None:
    config = make_trial("erm", epochs=2)
    one, other = _shared(tmp_path, config, 2), _shared(tmp_path, config, 2)
    assert one.acquire() and one.acquire()
    assert not other.acquire()
    one.run_epoch(), one.run_epoch()
    one.release()
    assert other.state() is not None
    assert len(TrialFolder(one.path).attempts()) == 1


def test_the_lock_of_a_killed_process_is_free(make_trial: Any, tmp_path: Path) -> None:
    shared = _shared(tmp_path, make_trial("erm", epochs=2), 2)
    shared.path.mkdir(parents=True)
    code = (
        "import filelock, os, sys; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); "
        "print('held', flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(shared.path / "lock")], capture_output=True, text=True)
    assert done.stdout.strip() == "held" and done.returncode == -9
    assert shared.acquire()
    shared.release()


def test_a_killed_training_goes_on_from_its_checkpoint(make_trial: Any, tmp_path: Path) -> None:
    config = make_trial("erm", epochs=4, checkpoint_seconds=0)
    expected, _ = _alone(config)
    killed = _shared(tmp_path, config, 4)
    assert killed.acquire()
    killed.run_epoch(), killed.run_epoch()
    killed.release()
    heir = _shared(tmp_path, config, 4)
    assert heir.state() is None
    assert heir.acquire()
    assert heir.run_epoch()["epoch"] == 3
    heir.run_epoch()
    heir.release()
    state = heir.state()
    assert state is not None
    assert all(
        torch.equal(state["backbone"][key], value) for key, value in expected.network.backbone.state_dict().items()
    )


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 half a file"])
def test_a_damaged_state_is_trained_again_and_never_used(damage: bytes, make_trial: Any, tmp_path: Path) -> None:
    config = make_trial("erm", epochs=2)
    whole = wait_for(_shared(tmp_path, config, 2))
    shared = _shared(tmp_path, config, 2)
    (pin,) = shared.path.glob("state-*.pt")
    pin.write_bytes(damage)
    assert shared.state() is None
    again = wait_for(shared)
    assert all(torch.equal(again["backbone"][key], value) for key, value in whole["backbone"].items())


def test_what_determines_a_training_names_its_folder(
    make_trial: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_trial("erm")
    base = _shared(tmp_path, config, 2).path
    assert _shared(tmp_path, config, 1).path == base
    assert _shared(tmp_path, make_trial("erm", checkpoint_seconds=9), 2).path == base
    assert _shared(tmp_path, make_trial("erm", seed=3), 2).path != base
    assert _shared(tmp_path, make_trial("erm", lr=0.3), 2).path != base
    monkeypatch.setattr("trainables.shared_trainings.shared_training.code_fingerprint", lambda: "other code")
    assert _shared(tmp_path, config, 2).path != base


def test_a_method_without_stages_shares_nothing(make_trial: Any, tmp_path: Path) -> None:
    config = make_trial("cce")
    assert shared_prefix_of(config) is None
    assert _with_others(config, tmp_path / "shared", tmp_path / "own")[2] == SharedEpochs()
    assert not (tmp_path / "shared").exists()


def test_a_state_of_another_network_is_refused(make_trial: Any) -> None:
    ldam, erm = (Trainer(make_trial(name), load(make_trial(name).data), CPU) for name in ("ldam", "erm"))
    with pytest.raises(ValueError, match="bias"):
        ldam.adopt(erm.state())


def _m2m_trials(make_trial: Any, count: int) -> list[TrialConfig]:
    """Draw values of M2m's deferred stage, as a search does, on digits of which some are translated."""
    rng = np.random.default_rng(0)
    trials = []
    for _ in range(count):
        values = {"beta": 1 - 10 ** rng.uniform(-3, -1), "lam": rng.uniform(0.01, 0.5), "gamma": 0.3, "steps": 2}
        config = make_trial("m2m", epochs=10, batch_size=128)
        method = config.method.model_copy(update={"params": values})
        trials.append(config.model_copy(update={"method": method}))
    return trials


def test_sixteen_trials_of_m2m_train_a_third_of_the_epochs_and_have_the_same_numbers(
    make_trial: Any, tmp_path: Path
) -> None:
    trials = _m2m_trials(make_trial, 16)
    trained, ends = 0, []
    for number, config in enumerate(trials):
        _, records, spent = _with_others(config, tmp_path / "shared", tmp_path / str(number))
        trained += len(records) - spent.adopted + spent.trained
        ends.append(records)
    assert trained == 8 + 10 + 16 * 2  # the shared prefix and g once, every trial's own last stage
    assert trained <= 16 * 10 / 3
    for number in (0, 7, 15):
        assert ends[number] == _alone(trials[number])[1]


_KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
import torch
from trainables.core import trial_folder
from trainables.core.config import TrialConfig
from trainables.data import load
from trainables.shared_trainings.shared_training import SharedTraining
replace = os.replace
def dying(source, target):
    if Path(target).name.startswith("state-"):
        os.truncate(source, os.stat(source).st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
os.replace = dying
torch.set_num_threads(1)
config = TrialConfig.model_validate_json(sys.argv[2])
shared = SharedTraining(Path(sys.argv[1]), config, 3, load(config.data), torch.device("cpu"))
assert shared.acquire()
while True:
    shared.run_epoch()
"""


def test_killed_while_writing_the_state_it_is_not_there_and_the_heir_trains_one_epoch(
    make_trial: Any, tmp_path: Path
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        config = make_trial("erm", epochs=3, checkpoint_seconds=0)
        code = [sys.executable, "-c", _KILLED_WHILE_WRITING, str(tmp_path), config.model_dump_json()]
        done = subprocess.run(code, capture_output=True, text=True, cwd=Path(__file__).parents[3])
        assert done.returncode == -9, done.stderr
        shared = _shared(tmp_path, config, 3)
        assert shared.path.exists() and shared.state() is None
        assert shared.acquire()
        assert shared.run_epoch()["epoch"] == 3
        shared.release()
        state, (expected, _) = shared.state(), _alone(config)
        assert state is not None
        weights = expected.network.backbone.state_dict()
        assert all(torch.equal(state["backbone"][key], weights[key]) for key in weights)
    finally:
        torch.set_num_threads(threads)


def test_an_old_trial_resumes_with_the_reference_that_it_began_with(make_trial: Any, tmp_path: Path) -> None:
    config = make_trial("m2m", epochs=4, batch_size=128)
    config = config.model_copy(
        update={"method": config.method.model_copy(update={"params": {"defer_until": 0.5, "steps": 1}})}
    )
    data, own = load(config.data), TrialFolder(tmp_path / "own")
    own.write_config({})
    old = Trainer(config, data, CPU)
    old.reference = reference_of(config, config.seed)  # as before references had a seed of their own
    for _ in range(3):
        old.run_epoch()
    state = {key: value for key, value in old.state().items() if key != "reference_seed"}
    needs = SharedNeeds(config, data, CPU, tmp_path / "shared", own)
    resumed = Trainer(config, data, CPU, needs.reference)
    resumed.load(copy.deepcopy(state))
    needs.bind(resumed)
    while not needs.met():
        needs.advance()
    (folder,) = (tmp_path / "shared").iterdir()
    assert TrialFolder(folder).config()["trial"]["seed"] == config.seed
    assert _timeless(resumed.run_epoch()) == _timeless(old.run_epoch())
    assert all(torch.equal(a, b) for a, b in zip(_weights(resumed), _weights(old), strict=True))
