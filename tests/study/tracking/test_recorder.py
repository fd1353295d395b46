from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from study.spec.study_spec import StudySpec
from study.tracking import Recorder, record_study
from study.tracking.run_index import LocksAway, Runs
from tests.study.made_study import EPOCHS, MadeStudy, spec_of

Dumper = Callable[[], dict[str, dict[str, Any]]]


def recorder_of(made: MadeStudy, said: list[str], **named: Any) -> Recorder:
    return Recorder(made.folder.storage, made.spec, made.ledger, warn=said.append, **named)


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _noting(requests: list[str], original: Callable[..., Any]) -> Callable[..., Any]:
    """Count the calls of a function."""

    def called(*given: Any, **named: Any) -> Any:
        requests.append("x")
        return original(*given, **named)

    return called


def test_what_was_touched_is_recorded_when_closed(made: MadeStudy, dump: Dumper) -> None:
    said: list[str] = []
    recorder = recorder_of(made, said)
    trials = [made.complete(), made.prune(), made.complete("erm")]
    for trial in trials:
        recorder.touch(trial, True)
    running = made.start()
    made.train(running, range(1, 3))
    recorder.touch(running, False)

    assert recorder.close() == []

    runs = dump()
    assert [runs[t.key]["status"] for t in trials] == ["FINISHED", "FINISHED", "FINISHED"]
    assert len(runs[running.key]["metrics"]["validation/loss"]) == 2
    assert "validation/best balanced_accuracy" in runs[trials[0].cell.name]["metrics"]
    assert said == []
    assert recorder.close() == []


def test_the_recorder_and_study_record_write_the_same(storage: Path, dump: Dumper) -> None:
    made = MadeStudy(storage, spec_of(methods=["cce"], search={"trials": 2, "pruner": "none"}, confirm={"seeds": 2}))
    recorder = recorder_of(made, [], every=0.05, summaries=0.05)  # summaries also while the study runs
    for _ in range(2):
        trial = made.start()
        for epoch in range(1, EPOCHS + 1):
            made.train(trial, range(epoch, epoch + 1))
            recorder.touch(trial, False)
            time.sleep(0.05)
        made.end(trial)
        recorder.touch(trial, True)
    for trial in made.confirm(lambda trial: 0.7 + trial.number / 100):
        recorder.touch(trial, True)
    recorder.close()
    live = dump()
    cell = live[made.cell_name("cce")]
    assert cell["status"] == "FINISHED"
    assert cell["artifacts"] == ["response_validation.png", "study.yaml", "summary.json"]
    means = [value for _, value, _ in cell["metrics"]["test/best mean over seeds/balanced_accuracy"]]
    assert len(means) == 2 and "Confirmed on the **test images**" in cell["tags"]["mlflow.note.content"]

    (made.folder.path / "records.json").unlink()  # as if nothing had been recorded
    client = MlflowClient(f"sqlite:///{storage / 'mlflow.db'}")
    for run in live.values():
        client.delete_run(run["id"])
    record_study(made.folder)

    own = {"study.id", "mlflow.parentRunId"}
    later = dump()
    assert later.keys() == live.keys()
    for key in live:
        for part in ("status", "start", "end", "params", "metrics", "artifacts", "name", "inputs"):
            assert later[key][part] == live[key][part], (key, part)
        tags = [{k: v for k, v in runs[key]["tags"].items() if k not in own} for runs in (live, later)]
        assert tags[0] == tags[1]


def test_a_running_trial_is_seen_before_its_end(made: MadeStudy, dump: Dumper) -> None:
    recorder, trial = recorder_of(made, [], every=0.1), made.start()
    made.train(trial, range(1, 3))
    recorder.touch(trial, False)
    wait_until(lambda: len(dump().get(trial.key, {}).get("metrics", {}).get("validation/loss", [])) == 2)
    recorder.close()


def test_many_touches_are_gathered(made: MadeStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[str] = []
    original = MlflowClient.log_batch
    monkeypatch.setattr(MlflowClient, "log_batch", _noting(requests, original))
    recorder, trial = recorder_of(made, [], every=60), made.start()
    for epoch in range(1, EPOCHS + 1):
        made.train(trial, range(epoch, epoch + 1))
        recorder.touch(trial, False)
    made.end(trial)
    recorder.touch(trial, True)
    recorder.close()
    assert len(requests) == 3  # the trial's, the cell's, the tag of the cell's best trial


def test_a_resume_records_what_an_earlier_driver_left(made: MadeStudy, dump: Dumper) -> None:
    trials = [made.complete(), made.fail("gone")]
    made.reopen()
    assert recorder_of(made, []).close() == []
    assert {t.key for t in trials} <= set(dump())


def test_nothing_is_recorded_of_a_study_without_trials(made: MadeStudy, dump: Dumper) -> None:
    assert recorder_of(made, []).close() == []
    assert dump() == {}


def test_a_server_that_is_away_holds_nothing_up(storage: Path, closed_port: int, dump: Dumper) -> None:
    away = spec_of(records={"tracking_uri": f"http://127.0.0.1:{closed_port}"})
    made, said = MadeStudy(storage, away), list[str]()
    recorder = recorder_of(made, said)
    trial, other = made.complete(), made.complete("erm")
    began = time.monotonic()
    recorder.touch(trial, True)
    recorder.touch(other, True)
    assert time.monotonic() - began < 0.1
    wait_until(lambda: len(said) == 1)
    assert "cannot be reached; the study continues" in said[0]

    left = recorder.close(timeout=30)

    assert left == sorted([trial.key, other.key])
    assert "2 trials are not in MLflow yet; run: study record made" in said[1]
    made.folder.write_spec(StudySpec.model_validate({**away.model_dump(mode="json"), "records": {}}))
    assert record_study(made.folder).written == 2
    assert dump()[trial.key]["status"] == "FINISHED"


def test_a_server_that_never_answers_holds_up_no_end(storage: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        made, said = MadeStudy(storage, spec_of(records={"tracking_uri": uri})), list[str]()
        recorder, trial = recorder_of(made, said), made.complete()
        recorder.touch(trial, True)
        began = time.monotonic()
        assert recorder.close(timeout=2) == [trial.key]
        assert time.monotonic() - began < 10
        assert "study record made" in said[-1]


def test_it_comes_back_when_the_store_does(made: MadeStudy, dump: Dumper, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    original, away = MlflowClient.create_run, threading.Event()
    away.set()

    def create_run(self: MlflowClient, *args: Any, **named: Any) -> Any:
        if away.is_set():
            raise MlflowException("database is locked")
        return original(self, *args, **named)

    monkeypatch.setattr(MlflowClient, "create_run", create_run)
    recorder, trial = recorder_of(made, said), made.complete()
    recorder.touch(trial, True)
    wait_until(lambda: len(said) == 1)
    away.clear()
    wait_until(lambda: len(said) == 2)
    assert said[1].endswith("is back")
    assert recorder.close() == []
    assert dump()[trial.key]["status"] == "FINISHED"


def test_it_waits_for_the_database_of_the_locks(made: MadeStudy, dump: Dumper, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    original, tries = Runs.locked, list[int]()

    @contextmanager
    def locked(self: Runs) -> Iterator[None]:
        tries.append(1)
        if len(tries) < 3:
            raise LocksAway("cannot write to the study's folder: locks cannot be used")
        with original(self):
            yield

    monkeypatch.setattr(Runs, "locked", locked)
    recorder, trial = recorder_of(made, said), made.complete()
    recorder.touch(trial, True)
    wait_until(lambda: len(tries) >= 3)
    assert recorder.close() == []
    assert said == []
    assert dump()[trial.key]["status"] == "FINISHED"


def test_a_trial_that_cannot_be_recorded_spoils_no_other(made: MadeStudy, dump: Dumper) -> None:
    said: list[str] = []
    recorder = recorder_of(made, said)
    broken, whole = made.complete(), made.complete()
    (made.files(broken).path / "evaluation.json").write_text('{"epoch": 5}')
    recorder.touch(broken, True)
    recorder.touch(whole, True)
    assert recorder.close() == [broken.key]
    assert "KeyError" in said[0]
    assert "1 trial is not in MLflow" in said[-1]
    assert dump()[whole.key]["status"] == "FINISHED"


def test_a_run_deleted_by_hand_is_made_anew(made: MadeStudy, client: MlflowClient, dump: Dumper) -> None:
    recorder, trial = recorder_of(made, [], every=0.05), made.start()
    made.train(trial, range(1, 2))
    recorder.touch(trial, False)
    wait_until(lambda: trial.key in dump())
    client.delete_run(dump()[trial.key]["id"])
    made.train(trial, range(2, 3))
    recorder.touch(trial, False)
    made.train(trial, range(3, EPOCHS + 1))
    made.end(trial)
    recorder.touch(trial, True)
    recorder.close()
    record_study(made.folder)
    assert len(dump()[trial.key]["metrics"]["validation/loss"]) == EPOCHS


def test_what_is_being_written_when_the_wait_ends_is_finished_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that still draws while Python ends aborts the process, and so the program of a user of the interface."""
    made, begun, go_on, at_exit = MadeStudy(tmp_path), list[Any](), threading.Event(), list[Any]()
    for _ in range(3):
        made.complete()

    def slow(recorder: Recorder, key: Any) -> None:
        begun.append(key)
        go_on.wait(60)

    monkeypatch.setattr(Recorder, "_record", slow)
    monkeypatch.setattr("study.tracking.recorder.atexit.register", lambda *call: at_exit.append(call))
    recorder = recorder_of(made, [])
    wait_until(lambda: bool(begun))
    assert len(recorder.close(timeout=0.1)) == 3
    assert recorder._thread.is_alive() and len(at_exit) == 1
    go_on.set()
    wait, *of = at_exit[0]
    wait(*of)
    assert not recorder._thread.is_alive()
    assert len(begun) == 1


def test_an_interrupt_ends_the_wait_at_the_end_and_says_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, said, go_on = MadeStudy(tmp_path), list[str](), threading.Event()
    made.complete()
    monkeypatch.setattr(Recorder, "_record", lambda *_: go_on.wait(60))
    recorder = recorder_of(made, said)

    def interrupted(timeout: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(recorder._thread, "join", interrupted)
        left = recorder.close()
    go_on.set()
    assert len(left) == 1 and said == ["1 trial is not in MLflow yet; run: study record made"]
