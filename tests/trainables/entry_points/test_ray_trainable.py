"""The Trainable, driven by hand as Tune drives it; with real actors it is in tests/faults."""

from __future__ import annotations

import errno
import json
import math
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables.core.config import TrialConfig
from trainables.core.device import pick_device, precision_used
from trainables.core.object_path import StorageFault
from trainables.core.step_progress import StepProgress, read_step_progress
from trainables.core.storage_path import StoragePath, write_atomically
from trainables.core.trial_folder import EpochResult, TrialFolder
from trainables.core.trial_report import (
    EpochDone,
    Failed,
    MachineFault,
    SharedEpochDone,
    SharedEpochs,
    TrialReport,
    from_result,
    to_result,
)
from trainables.core.trial_task import TrialTask
from trainables.data import load
from trainables.entry_points.memory_growth import WorkerReplaced
from trainables.entry_points.ray_trainable import ImbalanceTrial
from trainables.methods.plan import Stage
from trainables.training.checkpoints import load_state, save_checkpoint
from trainables.training.trainer import Trainer

MakeTrial = Callable[..., TrialConfig]


def _given(trial: TrialConfig, folder: Path, *, share: bool = False) -> dict[str, Any]:
    return TrialTask(trial, folder, folder.parent / "shared", share_prefix=share).to_json()


def _timeless(record: dict[str, Any]) -> dict[str, str]:
    return {name: repr(value) for name, value in record.items() if name != "images_per_second"}


def _expected(trial: TrialConfig) -> list[dict[str, str]]:
    trainer = Trainer(trial, load(trial.data))
    return [_timeless(trainer.run_epoch()) for _ in range(trial.training.epochs)]


def _steps(trainable: ImbalanceTrial, count: int = 100) -> list[TrialReport]:
    """Step at most ``count`` times, until it is done; return the reports."""
    reports: list[TrialReport] = []
    done = False
    while len(reports) < count and not done:
        result = trainable.step()
        report, done = from_result(result), result["done"]
        assert report is not None
        reports.append(report)
    return reports


def _results(reports: list[TrialReport]) -> list[dict[str, str]]:
    """Return the epoch results of reports that are all of finished epochs."""
    assert all(isinstance(report, EpochDone) for report in reports), reports
    return [_timeless(report.result) for report in reports if isinstance(report, EpochDone)]


def _failure(report: TrialReport) -> str:
    assert isinstance(report, Failed), report
    return report.reason


def test_one_step_is_one_epoch_and_the_last_is_done(make_trial: MakeTrial, tmp_path: Path) -> None:
    trial = make_trial("ldam-drw", epochs=3)
    results = _steps(ImbalanceTrial(_given(trial, tmp_path / "00000")))
    assert _results(results) == _expected(trial)
    assert [isinstance(report, EpochDone) and report.finished for report in results] == [False, False, True]


def test_a_shared_opening_is_trained_first_and_its_epochs_are_in_the_folder(
    make_trial: MakeTrial, tmp_path: Path
) -> None:
    trial = make_trial("ldam-drw", epochs=5)
    expected = _expected(trial)
    for number, trained in (("00000", 4), ("00001", 0)):
        results = _steps(ImbalanceTrial(_given(trial, tmp_path / number, share=True)))
        assert results[:-1] == [SharedEpochDone(1)] * trained
        assert _results(results[-1:]) == expected[-1:]
        assert isinstance(results[-1], EpochDone) and results[-1].shared == SharedEpochs(4, 4, trained)
        records = [
            {key: value for key, value in _timeless(record).items() if key != "shared"}
            for record in TrialFolder(tmp_path / number).history()
        ]
        assert records == expected


@pytest.mark.parametrize("share", [False, True])
def test_the_steps_of_the_first_epoch_alone_are_written_and_change_no_number(
    share: bool, make_trial: MakeTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = make_trial("ldam-drw", epochs=5)
    expected = _expected(trial)
    folder, seen = tmp_path / "00000", []
    monkeypatch.setattr("trainables.core.step_progress.WRITTEN_EVERY", 0.0)

    def write(path: Path, content: bytes, *, durable: bool) -> None:
        assert not durable
        seen.append(StepProgress(**json.loads(content)))
        write_atomically(path, content, durable=durable)

    monkeypatch.setattr("trainables.core.step_progress.write_atomically", write)
    results = _steps(ImbalanceTrial(_given(trial, folder, share=share)))
    records = [{k: v for k, v in _timeless(r).items() if k != "shared"} for r in TrialFolder(folder).history()]
    assert records == expected
    steps = math.ceil(len(load(trial.data).train.labels) / 64)
    assert [(one.epoch, one.step, one.steps) for one in seen] == [(1, step, steps) for step in range(1, steps + 1)]
    assert isinstance(results[0], SharedEpochDone if share else EpochDone)
    assert not list(folder.glob("*progress*"))


def test_a_trial_that_ends_within_its_first_epoch_leaves_no_steps(
    make_trial: MakeTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.core.step_progress.WRITTEN_EVERY", 0.0)
    trainable = ImbalanceTrial(_given(make_trial(lr=1e30), tmp_path / "00000"))
    _failure(_steps(trainable)[-1])
    trainable.cleanup()
    assert read_step_progress(tmp_path / "00000") is None


@pytest.mark.parametrize("share", [False, True])
def test_a_loss_that_is_a_scalar_fails_the_trial_with_that_reason(
    share: bool, make_trial: MakeTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Stage.__init__

    def with_a_scalar(stage: Stage, *given: Any, **named: Any) -> None:
        made(stage, *given, **named)
        object.__setattr__(stage, "loss", lambda outputs, labels: outputs.logits.mean())

    monkeypatch.setattr(Stage, "__init__", with_a_scalar)
    (result,) = _steps(ImbalanceTrial(_given(make_trial("ldam-drw", epochs=5), tmp_path / "00000", share=share)))
    assert "the loss of stage 'plain' has the shape (); expected a tensor of shape (B,)" in _failure(result)


def test_a_shared_opening_that_diverges_fails_the_trial_and_frees_the_lock(
    make_trial: MakeTrial, tmp_path: Path
) -> None:
    trial = make_trial("ldam-drw", epochs=5, lr=1e30)
    for number in ("00000", "00001"):
        (result,) = _steps(ImbalanceTrial(_given(trial, tmp_path / number, share=True)))
        assert _failure(result).startswith("NonFiniteLoss")


def test_everything_of_a_trial_is_in_its_folder(make_trial: MakeTrial, tmp_path: Path) -> None:
    trial = make_trial(epochs=2, checkpoint_seconds=0)
    results = _steps(ImbalanceTrial(_given(trial, tmp_path / "a" / "00000")))
    folder = TrialFolder(tmp_path / "a" / "00000")
    assert [_timeless(r) for r in folder.history()] == _results(results)
    stored, data = folder.config(), load(trial.data)
    assert stored is not None
    assert TrialConfig.model_validate(stored["trial"]) == trial
    assert stored["data_fingerprint"] == data.fingerprint
    assert stored["environment"]["device"] == ("cuda" if torch.cuda.is_available() else "cpu")
    assert (stored["environment"]["threads"], stored["environment"]["precision"]) == (1, "float32")
    evaluation = folder.evaluation()
    assert evaluation is not None
    assert evaluation["epoch"] == 2
    assert evaluation["class_counts"] == data.class_counts.tolist()
    assert evaluation["class_names"] == list(data.class_names)
    confusion = torch.tensor(evaluation["confusion"])
    assert int(confusion.sum()) == len(data.validation.labels)
    assert evaluation["recall"] == pytest.approx((confusion.diag() / confusion.sum(dim=1)).tolist())
    assert isinstance(results[-1], EpochDone)
    assert sum(evaluation["recall"]) / 10 == pytest.approx(results[-1].result["balanced_accuracy"])


@pytest.mark.parametrize("finished", [1, 2, 3])
def test_another_process_continues_from_the_folder(finished: int, make_trial: MakeTrial, tmp_path: Path) -> None:
    trial = make_trial("ldam-drw", epochs=4, checkpoint_seconds=0)
    _steps(ImbalanceTrial(_given(trial, tmp_path)), finished)
    results = _steps(ImbalanceTrial(_given(trial, tmp_path)))
    assert _results(results) == _expected(trial)[finished:]
    assert [len(attempt) for attempt in TrialFolder(tmp_path).attempts()] == [finished, 4 - finished]


def test_epochs_since_the_last_checkpoint_are_repeated_with_the_same_numbers(
    make_trial: MakeTrial, tmp_path: Path
) -> None:
    trial = make_trial(epochs=4, checkpoint_seconds=3600)
    _steps(ImbalanceTrial(_given(trial, tmp_path)), 3)
    _steps(ImbalanceTrial(_given(trial, tmp_path)))
    first, second = ([_timeless(r) for r in attempt] for attempt in TrialFolder(tmp_path).attempts())
    assert second == _expected(trial)
    assert first == second[:3]


def test_a_trial_that_was_finished_is_done_at_once(make_trial: MakeTrial, tmp_path: Path) -> None:
    """Its process died between the last checkpoint and the result."""
    trial = make_trial(epochs=2)
    last = _steps(ImbalanceTrial(_given(trial, tmp_path)))[-1]
    (result,) = _steps(ImbalanceTrial(_given(trial, tmp_path)))
    assert result == last
    assert len(TrialFolder(tmp_path).attempts()) == 1


@pytest.mark.parametrize(("seconds", "written"), [(0.0, [1, 2, 3, 4]), (3600.0, [4])])
def test_checkpoints_come_as_often_as_asked_for(
    seconds: float, written: list[int], make_trial: MakeTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def noting(folder: Path, epoch: int, state: dict[str, Any]) -> None:
        seen.append(epoch)
        save_checkpoint(folder, epoch, state)

    monkeypatch.setattr("trainables.entry_points.ray_trainable.save_checkpoint", noting)
    _steps(ImbalanceTrial(_given(make_trial(epochs=4, checkpoint_seconds=seconds), tmp_path)))
    assert seen == written


def test_a_damaged_checkpoint_is_skipped_for_the_one_before(make_trial: MakeTrial, tmp_path: Path) -> None:
    trial = make_trial(epochs=4, checkpoint_seconds=0)
    _steps(ImbalanceTrial(_given(trial, tmp_path)), 3)
    newest = tmp_path / "checkpoint-000003.pt"
    newest.write_bytes(newest.read_bytes()[:1000])
    results = _steps(ImbalanceTrial(_given(trial, tmp_path)))
    assert _results(results) == _expected(trial)[2:]


def test_a_reused_process_trains_as_a_fresh_one(make_trial: MakeTrial, tmp_path: Path) -> None:
    first, second = make_trial("affinity"), make_trial("ldam-drw", seed=3)
    trainable = ImbalanceTrial(_given(first, tmp_path / "0"))
    _steps(trainable, 1)
    assert trainable.reset_config(_given(second, tmp_path / "1"))
    assert _results(_steps(trainable)) == _expected(second)
    assert len(TrialFolder(tmp_path / "0").history()) == 1
    assert TrialFolder(tmp_path / "1").config() is not None


def test_a_freed_trial_holds_no_network(make_trial: MakeTrial, tmp_path: Path) -> None:
    import gc
    import weakref

    trainable = ImbalanceTrial(_given(make_trial(), tmp_path))
    _steps(trainable, 1)
    assert trainable._trainer is not None
    network = weakref.ref(trainable._trainer.network.backbone)
    trainable.cleanup()
    gc.collect()
    assert network() is None


def test_a_diverging_trial_says_why_and_is_done(make_trial: MakeTrial, tmp_path: Path) -> None:
    trainable = ImbalanceTrial(_given(make_trial(lr=1e30, epochs=5), tmp_path))
    results = _steps(trainable)
    assert _failure(results[-1]).startswith("NonFiniteLoss: ")
    assert "at epoch 1" in _failure(results[-1])
    assert trainable.step() == to_result(results[-1])
    assert TrialFolder(tmp_path).history() == []
    assert list(tmp_path.glob("checkpoint-*")) == []
    # the process is as good as new
    trainable.reset_config(_given(make_trial(), tmp_path / "next"))
    assert _results(_steps(trainable))[-1]["epoch"] == "2"


def test_a_trial_without_memory_fails_alone(
    make_trial: MakeTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(Trainer, "run_epoch", full)
    (result,) = _steps(ImbalanceTrial(_given(make_trial(), tmp_path / "running")))
    assert result == Failed("OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB")
    monkeypatch.setattr(Trainer, "__init__", full)
    (result,) = _steps(ImbalanceTrial(_given(make_trial(), tmp_path / "building")))
    assert _failure(result).startswith("OutOfMemoryError")


def test_other_errors_are_raised_for_tune_to_try_again(
    make_trial: MakeTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: object) -> None:
        raise OSError("the disk went away")

    trainable = ImbalanceTrial(_given(make_trial(), tmp_path))
    monkeypatch.setattr(Trainer, "run_epoch", broken)
    with pytest.raises(OSError, match="the disk went away"):
        trainable.step()


def test_a_checkpoint_of_another_trial_is_refused(make_trial: MakeTrial, tmp_path: Path) -> None:
    _steps(ImbalanceTrial(_given(make_trial(), tmp_path)))
    with pytest.raises(ValueError, match="written by another configuration"):
        ImbalanceTrial(_given(make_trial(seed=1), tmp_path))


def test_it_takes_the_threads_it_was_given(make_trial: MakeTrial, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        ImbalanceTrial({**_given(make_trial(), tmp_path), "threads": 2})
        assert torch.get_num_threads() == 2
        stored = TrialFolder(tmp_path).config()
        assert stored is not None
        assert stored["environment"]["threads"] == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("code", ["ENOSPC", "EDQUOT", "EROFS", "EIO"])
def test_a_disk_that_cannot_be_written_is_no_fault_of_the_trial(
    code: str, make_trial: MakeTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise OSError(getattr(errno, code), "the disk")

    trainable = ImbalanceTrial(_given(make_trial(), tmp_path))
    monkeypatch.setattr(TrialFolder, "append_epoch", full)
    (result,) = _steps(trainable)
    assert isinstance(result, MachineFault)
    assert "the disk" in result.reason


def test_an_end_whose_record_was_lost_is_had_again(make_trial: MakeTrial, tmp_path: Path) -> None:
    trial = make_trial(epochs=3, checkpoint_seconds=0)
    _steps(ImbalanceTrial(_given(trial, tmp_path)))
    (file,) = tmp_path.glob("epochs-*.jsonl")
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:2]))
    again = ImbalanceTrial(_given(trial, tmp_path))
    assert [_timeless(one) for one in TrialFolder(tmp_path).history()] == _expected(trial)  # from the last checkpoint
    results = _steps(again)
    assert _results(results) == _expected(trial)[2:]
    assert isinstance(results[-1], EpochDone) and results[-1].finished
    assert [len(attempt) for attempt in TrialFolder(tmp_path).attempts()] == [2, 1]  # nothing was trained again


def test_an_end_without_its_result_is_had_again_by_repeating_epochs(make_trial: MakeTrial, tmp_path: Path) -> None:
    trial = make_trial(epochs=3, checkpoint_seconds=0)
    _steps(ImbalanceTrial(_given(trial, tmp_path)))
    state = load_state(tmp_path / "checkpoint-000003.pt")
    assert state is not None
    save_checkpoint(tmp_path, 3, {name: value for name, value in state.items() if name != "result"})
    (file,) = tmp_path.glob("epochs-*.jsonl")
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:2]))
    results = _steps(ImbalanceTrial(_given(trial, tmp_path)))
    assert _results(results) == _expected(trial)[2:]


def _tested(trial: TrialConfig, folder: Path) -> dict[str, Any]:
    return {**_given(trial, folder), "evaluate_test": True}


def test_only_who_is_told_to_evaluates_the_test_images(make_trial: MakeTrial, tmp_path: Path) -> None:
    trial = make_trial("ldam-drw", epochs=2)
    trainer = Trainer(trial, load(trial.data))
    while not trainer.finished:
        trainer.run_epoch()
    expected = trainer.evaluate(trainer.data.test())
    trainable = ImbalanceTrial(_tested(trial, tmp_path / "0"))
    _steps(trainable, 1)
    assert TrialFolder(tmp_path / "0").test() is None  # not before the last epoch
    _steps(trainable)
    found = TrialFolder(tmp_path / "0").test()
    assert found is not None
    assert found["confusion"] == expected.confusion.tolist()
    assert found["metrics"] == pytest.approx(trainer.metrics(expected), nan_ok=True)
    assert (found["epoch"], len(found["recall"]), len(found["class_names"])) == (2, 10, 10)
    trainable.reset_config(_given(trial, tmp_path / "1"))
    _steps(trainable)
    assert TrialFolder(tmp_path / "1").test() is None


def test_one_that_died_before_its_test_images_were_evaluated_does_that_alone(
    make_trial: MakeTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = make_trial(epochs=2)
    with monkeypatch.context() as patched:
        patched.setattr(ImbalanceTrial, "_evaluate_test", lambda *given: None)
        last = _steps(ImbalanceTrial(_tested(trial, tmp_path)))[-1]
    assert TrialFolder(tmp_path).test() is None
    (result,) = _steps(ImbalanceTrial(_tested(trial, tmp_path)))
    assert result == last
    found = TrialFolder(tmp_path).test()
    assert len(TrialFolder(tmp_path).attempts()) == 1
    _steps(ImbalanceTrial(_tested(trial, tmp_path)))
    assert found == TrialFolder(tmp_path).test()


def test_a_trial_continued_in_another_precision_names_both(make_trial: MakeTrial, tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path / "a" / "00000")
    first = ImbalanceTrial(_given(make_trial(epochs=3, checkpoint_seconds=0, precision="native"), folder.path))
    first.step()
    stored = folder.config()
    assert stored is not None
    stored["environment"]["precision"] = "bfloat16"  # as on a processor that multiplies it natively
    folder.write_config(stored)
    used = precision_used("native", pick_device())
    _steps(ImbalanceTrial(_given(make_trial(epochs=3, checkpoint_seconds=0, precision="native"), folder.path)))
    found = folder.config()
    assert found is not None
    assert found["environment"]["precision"] == ("bfloat16" if used == "bfloat16" else "bfloat16, float32")


def test_all_that_belongs_to_the_end_is_there_before_the_last_epoch_is_stored(
    make_trial: MakeTrial, tmp_path: Path
) -> None:
    """A resume takes a trial with a last epoch for finished, so a kill may not leave that epoch without the rest."""
    trial, place = make_trial(epochs=2, checkpoint_seconds=0), tmp_path / "00000"
    given = TrialTask(trial, place, tmp_path / "shared", False, artifacts=("offsets", "mistakes")).to_json()
    first = ImbalanceTrial(given)
    assert len(_steps(first, 1)) == 1 and not (place / "offsets.json").exists()
    seen: list[bool] = []
    stored = first._folder.append_epoch

    def noted(result: EpochResult) -> None:
        seen.append((place / "offsets.json").exists() and (place / "mistakes.npz").exists())
        seen.append((place / "checkpoint-000002.pt").exists())
        seen.append(json.loads((place / "evaluation.json").read_text())["epoch"] == 2)
        stored(result)

    first._folder.append_epoch = noted  # type: ignore[method-assign]
    _steps(first)
    assert seen == [True, True, True]
    whole = {name: (place / name).read_bytes() for name in ("offsets.json", "mistakes.npz")}
    # killed in between: neither the last epoch nor the artifacts are there, and another process continues
    for path in (place / "offsets.json", place / "mistakes.npz", place / "checkpoint-000002.pt"):
        path.unlink()
    for path in place.glob("epochs-*.jsonl"):
        path.write_text(path.read_text().splitlines(keepends=True)[0])
    _steps(ImbalanceTrial(given))
    assert {name: (place / name).read_bytes() for name in whole} == whole


def test_a_confirmation_shows_test_images_and_a_search_those_that_validate(
    make_trial: MakeTrial, tmp_path: Path
) -> None:
    trial = make_trial(epochs=1)
    for confirms in (False, True):
        task = TrialTask(trial, tmp_path / str(confirms), tmp_path / "shared", False, confirms, artifacts=("mistakes",))
        _steps(ImbalanceTrial(task.to_json()))
        found, data = TrialFolder(task.folder).arrays("mistakes"), load(trial.data)
        assert found is not None and bool(found["of_test"]) == confirms
        split = data.test() if confirms else data.validation
        assert (split.images[torch.from_numpy(found["rows"])].numpy() == found["images"]).all()


def test_a_trial_says_what_it_does_after_its_last_epoch(
    make_trial: MakeTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, said = tmp_path / "00000", []

    def write(path: Path, content: bytes, *, durable: bool) -> None:
        said.append(json.loads(content)["doing"])
        write_atomically(path, content, durable=durable)

    monkeypatch.setattr("trainables.core.step_progress.write_atomically", write)
    task = TrialTask(make_trial(epochs=2), place, tmp_path / "shared", False, True, artifacts=("offsets", "mistakes"))
    _steps(ImbalanceTrial(task.to_json()))
    assert said == ["making artifacts (mistakes)", "making artifacts (offsets)", "evaluating test images"]
    assert read_step_progress(place) is None


def test_object_storage_that_went_away_before_a_trial_is_a_fault_of_the_machine(
    make_trial: MakeTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(folder: StoragePath, before: int | None = None) -> None:
        raise StorageFault(errno.EIO, "object storage does not answer: connection refused")

    with monkeypatch.context() as patch:
        patch.setattr("trainables.entry_points.ray_trainable.newest_checkpoint", away)
        trainable = ImbalanceTrial(_given(make_trial(epochs=1), tmp_path / "00000"))
        (said,) = _steps(trainable)
    assert said == MachineFault("object storage does not answer: connection refused")
    assert trainable.reset_config(_given(make_trial(epochs=1), tmp_path / "00000"))
    (done,) = _steps(trainable)
    assert isinstance(done, EpochDone) and done.finished
    assert done.trained_in == {"precision": "float32", "device": "cpu"}


def test_a_process_that_has_grown_refuses_the_next_trial(make_trial: MakeTrial, tmp_path: Path) -> None:
    def given(number: int, growth: int | None) -> dict[str, Any]:
        folder = tmp_path / f"{number}"
        return TrialTask(make_trial(epochs=1), folder, tmp_path / "shared", False, growth_bytes=growth).to_json()

    trainable = ImbalanceTrial(given(0, 2**26))
    _steps(trainable)
    assert trainable.reset_config(given(1, 2**26)), "the first trial is what growth is measured against"
    _steps(trainable)
    # of its own from the system: the heap may have as much that earlier tests freed, and then no page is new
    leaked = mmap.mmap(-1, 2**27)
    leaked.write(b"x" * 2**27)
    with pytest.raises(WorkerReplaced, match=r"memory has grown by 0\.\d\d GiB since its first trial"):
        trainable.reset_config(given(2, 2**26))
    assert len(leaked) == 2**27
    trainable.cleanup()
    assert not (tmp_path / "2").exists()
