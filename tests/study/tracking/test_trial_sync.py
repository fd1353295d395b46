from __future__ import annotations

import json
import math
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from PIL import Image

from study.store.study_folder import StudyFolder
from study.store.study_view import TrialView, open_view
from study.tracking import record_study
from study.tracking.metric_keys import EPOCH_METRICS, epoch_key
from study.tracking.run_index import Runs
from study.tracking.study_sync import StudySync
from tests.study.made_study import EPOCHS, MadeStudy, spec_of

ARTIFACTS = [
    f"validation/{name}"
    for name in (
        "classes.json",
        "classes.parquet",
        "confusion.json",
        "confusion.png",
        "false_positives.png",
        "recall.png",
        "recall_by_epoch.png",
    )
]
Dumper = Callable[[], dict[str, dict[str, Any]]]


def view_of(made: MadeStudy, key: str) -> TrialView:
    return next(t for cell in open_view(made.folder).cells for t in cell.trials if t.key == key)


def test_a_run_per_trial_nested_in_a_run_per_cell(made: MadeStudy, dump: Dumper) -> None:
    done, erm = made.complete(), made.complete("erm")
    assert record_study(made.folder).written == 2

    runs = dump()

    assert set(runs) == {done.key, erm.key, done.cell.name, erm.cell.name}
    run = runs[done.key]
    assert run["status"] == "FINISHED"
    assert run["tags"]["mlflow.parentRunId"] == runs[done.cell.name]["id"]
    wanted = {
        "study.name": "made",
        "study.cell": done.cell.name,
        "study.trial": done.key,
        "study.state": "COMPLETE",
        "param_source": "recommended",
        "dataset": "digits",
        "profile": "long_tail-10",
        "ratio": "10",
        "method": "cce",
        "data_fingerprint": "f1",
        "code": "c0de",
        "git_commit": "abc123+",
        "mlflow.source.git.commit": "abc123",
        "device": "cpu",
    }
    assert wanted.items() <= run["tags"].items()
    assert json.loads(run["tags"]["environment"])["precision"] == "float32"
    wanted = {"gamma": "-1", "seed": "0", "protocol": "holdout", "dataset": "digits", "ratio": "10", "method": "cce"}
    wanted |= {"model": "mlp", "epochs": "5", "precision": "auto", "lr": "0.05", "batch_size": "32"}
    assert wanted.items() <= run["params"].items()


def test_metrics_of_every_epoch_are_those_of_the_trial_folder(made: MadeStudy, dump: Dumper) -> None:
    trial = made.complete()
    record_study(made.folder)
    history = made.files(trial).history()

    metrics = dump()[trial.key]["metrics"]

    shown = [name for name in EPOCH_METRICS if not math.isnan(history[0][name])]
    for name in shown:
        assert [(step, value) for step, value, _ in metrics[epoch_key(name)]] == [
            (r["epoch"], r[name]) for r in history
        ]
    for k in range(10):
        recalls = [(step, value) for step, value, _ in metrics[f"validation/recall/class {k}"]]
        assert recalls == [(r["epoch"], r["recall"][k]) for r in history]
    assert set(metrics) == {*map(epoch_key, shown), *(f"validation/recall/class {k}" for k in range(10))}
    assert all(key.startswith(("validation/", "training/", "system/")) for key in metrics)


def test_times_are_those_of_the_trial(made: MadeStudy, dump: Dumper) -> None:
    trial = made.complete()
    record_study(made.folder)
    view, run = view_of(made, trial.key), dump()[trial.key]
    assert run["start"] == int(view.started.timestamp() * 1000)
    assert run["end"] == int(view.ended.timestamp() * 1000)
    times = [time for _, _, time in run["metrics"]["validation/loss"]]
    assert times == sorted(times)
    assert times[0] > run["start"]


def test_recording_twice_changes_nothing(made: MadeStudy, dump: Dumper) -> None:
    made.complete()
    made.prune()
    made.fail("NonFiniteLoss", epochs=1)
    made.train(made.start(), range(1, 3))
    made.complete("erm")
    first = record_study(made.folder)
    before = dump()

    again = record_study(made.folder)

    assert dump() == before
    assert (first.written, first.there) == (5, 0)
    assert (again.written, again.there) == (0, 5)


@pytest.mark.parametrize(
    ("owner", "call"),
    [
        (MlflowClient, "create_run"),
        (LocalArtifactRepository, "log_artifacts"),
        (MlflowClient, "log_batch"),
        (MlflowClient, "set_terminated"),
        (MlflowClient, "get_metric_history"),
    ],
)
@pytest.mark.parametrize("after", [False, True])
def test_a_death_at_any_request_leaves_nothing_that_recording_again_does_not_mend(
    made: MadeStudy, dump: Dumper, monkeypatch: pytest.MonkeyPatch, owner: Any, call: str, after: bool
) -> None:
    trial = made.start()
    made.train(trial, range(1, 3))
    StudySync(made.folder, made.spec).trial(view_of(made, trial.key))
    made.train(trial, range(3, EPOCHS + 1))
    made.end(trial)
    pruned = made.prune()
    original = getattr(owner, call)

    def die(self: Any, *args: Any, **named: Any) -> Any:
        if after:
            original(self, *args, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, call, die)
        with pytest.raises(KeyboardInterrupt):
            record_study(made.folder)
    record_study(made.folder)

    runs = dump()
    assert set(runs) == {trial.key, pruned.key, trial.cell.name}
    for key, epochs, status in ((trial.key, EPOCHS, "FINISHED"), (pruned.key, 2, "FINISHED")):
        assert runs[key]["status"] == status
        assert runs[key]["artifacts"] == ARTIFACTS
        for name in ("validation/loss", "training/learning_rate", "system/images_per_second"):
            assert [step for step, _, _ in runs[key]["metrics"][name]] == list(range(1, epochs + 1))
        assert len(runs[key]["metrics"]["validation/recall/class 3"]) == epochs


def test_a_running_trial_grows(made: MadeStudy, dump: Dumper) -> None:
    sync, trial = StudySync(made.folder, made.spec), made.start()
    assert sync.trial(view_of(made, trial.key))
    assert dump()[trial.key]["metrics"] == {}
    made.train(trial, range(1, 3))
    assert sync.trial(view_of(made, trial.key))
    assert not sync.trial(view_of(made, trial.key))
    growing = dump()[trial.key]
    assert growing["status"] == "RUNNING"
    assert growing["artifacts"] == []
    assert len(growing["metrics"]["validation/loss"]) == 2
    # a resumed trial repeats an epoch, with other speed but equal numbers
    made.train(trial, range(2, EPOCHS + 1), images_per_second=77.0)
    made.end(trial)
    assert sync.trial(view_of(made, trial.key))
    assert [step for step, _, _ in dump()[trial.key]["metrics"]["validation/loss"]] == [1, 2, 3, 4, 5]


def test_an_epoch_waits_for_its_evaluation(made: MadeStudy, dump: Dumper) -> None:
    sync, trial = StudySync(made.folder, made.spec), made.start()
    made.train(trial, range(1, 2))
    place = made.files(trial).path / "evaluation.json"
    place.rename(place.with_suffix(".late"))
    sync.trial(view_of(made, trial.key))
    assert dump()[trial.key]["metrics"] == {}
    place.with_suffix(".late").rename(place)
    sync.trial(view_of(made, trial.key))
    assert len(dump()[trial.key]["metrics"]["validation/recall/class 3"]) == 1


def test_runs_of_an_older_version_are_completed_in_place(
    made: MadeStudy, client: MlflowClient, dump: Dumper, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = made.prune()
    record_study(made.folder)
    run = dump()[trial.key]["id"]
    client.delete_tag(run, "study.records")  # as an older version left it: another name and status, no version
    client.set_tag(run, "mlflow.runName", "cce 000 long_tail-10 digits")
    client.set_terminated(run, "KILLED")
    assert record_study(made.folder).written == 1
    again = dump()[trial.key]
    assert (again["id"], again["status"], again["name"]) == (run, "FINISHED", "cce · 000")
    assert record_study(made.folder).written == 0


def test_a_late_look_at_a_running_trial_does_not_undo_its_end(made: MadeStudy, dump: Dumper) -> None:
    trial = made.start()
    made.train(trial, range(1, 3))
    stale, slow = view_of(made, trial.key), StudySync(made.folder, made.spec)
    assert slow.runs
    made.train(trial, range(3, EPOCHS + 1))
    made.end(trial)
    record_study(made.folder)
    before = dump()
    slow.trial(stale)
    assert dump() == before


def test_what_is_not_a_number_is_left_out(made: MadeStudy, dump: Dumper) -> None:
    trial = made.complete(few=math.nan, loss=math.inf, medium=None)
    record_study(made.folder)
    metrics = dump()[trial.key]["metrics"]
    assert "validation/balanced_accuracy" in metrics
    assert not {"validation/few", "validation/loss", "validation/medium"} & set(metrics)


def test_a_failed_trial_keeps_its_reason(made: MadeStudy, dump: Dumper) -> None:
    early = made.fail("the trial's process died")
    later = made.fail("NonFiniteLoss: loss is nan at epoch 3, step 7" + "." * 9000, epochs=2)
    record_study(made.folder)
    runs = dump()
    assert runs[early.key]["status"] == "FAILED"
    assert runs[early.key]["tags"]["reason"] == "the trial's process died"
    assert runs[early.key]["artifacts"] == []
    assert runs[later.key]["tags"]["reason"].startswith("NonFiniteLoss: loss is nan")
    assert "NonFiniteLoss" in runs[later.key]["tags"]["mlflow.note.content"]
    assert runs[later.key]["artifacts"] == ARTIFACTS


def test_artifacts_hold_the_numbers(made: MadeStudy, client: MlflowClient, dump: Dumper, tmp_path: Path) -> None:
    trial = made.prune(epochs=3)
    record_study(made.folder)
    run, evaluation = dump()[trial.key], made.files(trial).evaluation()
    assert run["status"] == "FINISHED"  # a pruned trial is no failure
    assert run["tags"]["study.state"] == "PRUNED"
    assert "stopped after 3 of 5 epochs" in run["tags"]["mlflow.note.content"]
    assert json.loads(run["tags"]["mlflow.loggedArtifacts"]) == [{"path": "validation/classes.json", "type": "table"}]
    folder = Path(client.download_artifacts(run["id"], "validation", str(tmp_path)))

    table = pq.read_table(folder / "classes.parquet").to_pydict()
    confusion = made.confusion(trial, 3)
    assert table["class"] == evaluation["class_names"]
    assert table["training_images"] == evaluation["class_counts"]
    assert table["recall"] == evaluation["recall"]
    assert table["validation_images"] == confusion.sum(axis=1).tolist()
    assert table["false_positives"] == (confusion.sum(axis=0) - confusion.diagonal()).tolist()
    assert table["cumulative_false_positives"][-1] == confusion.sum() - confusion.trace()
    shown = json.loads((folder / "classes.json").read_text())
    assert shown["columns"] == list(table)
    assert shown["data"][4] == [round(c[4], 4) if isinstance(c[4], float) else c[4] for c in table.values()]
    stored = json.loads((folder / "confusion.json").read_text())
    assert stored["counts"] == confusion.tolist()
    assert stored["epoch"] == 3
    for name in ("confusion.png", "false_positives.png"):
        with Image.open(folder / name) as picture:
            assert picture.width > 300


def test_mlflow_reads_the_class_table_as_its_own(
    made: MadeStudy, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = made.complete()
    record_study(made.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", client.tracking_uri)  # load_table asks the global store
    experiment = client.get_experiment_by_name("made").experiment_id
    table = client.load_table(experiment, "validation/classes.json", extra_columns=["run_id"])
    assert table["class"].tolist() == made.files(trial).evaluation()["class_names"]


def test_many_classes_have_a_table_and_no_metrics_of_their_own(storage: Path, dump: Dumper) -> None:
    made = MadeStudy(storage, classes=21)
    trial = made.complete()
    record_study(made.folder)
    run = dump()[trial.key]
    assert not [name for name in run["metrics"] if "recall/" in name]
    assert run["artifacts"] == ARTIFACTS


def test_more_epochs_than_a_request_holds(storage: Path, dump: Dumper) -> None:
    made = MadeStudy(storage)
    trial = made.start()
    made.train(trial, range(1, 201))
    record_study(made.folder)
    metrics = dump()[trial.key]["metrics"]
    assert [step for step, _, _ in metrics["validation/worst_recall"]] == list(range(1, 201))


def test_a_name_with_a_quote_in_it(storage: Path, dump: Dumper) -> None:
    data = [{"dataset": "o'hare", "profiles": [{"kind": "natural"}]}]
    made = MadeStudy(storage, spec_of(data=data, methods=["erm"]))
    trial = made.complete("erm")
    record_study(made.folder)
    record_study(made.folder)
    assert dump()[trial.key]["tags"]["dataset"] == "o'hare"


def test_the_studys_own_metric_is_always_there(storage: Path, dump: Dumper) -> None:
    made = MadeStudy(storage, spec_of(search={"trials": 2, "metric": "minor", "pruner": "none"}))
    trial = made.complete()
    record_study(made.folder)
    assert len(dump()[trial.key]["metrics"]["validation/minor"]) == EPOCHS


def test_a_study_of_the_same_name_as_a_deleted_one_has_its_own_runs(made: MadeStudy, client: MlflowClient) -> None:
    made.complete()
    record_study(made.folder)
    shutil.rmtree(made.folder.path)
    second = MadeStudy(made.folder.storage)
    trial = second.prune()
    record_study(second.folder)

    experiment = client.get_experiment_by_name("made").experiment_id
    runs = client.search_runs([experiment], f"tags.`study.trial` = '{trial.key}'")
    assert sorted(run.data.tags["study.state"] for run in runs) == ["COMPLETE", "PRUNED"]
    assert len({run.data.tags["study.id"] for run in runs}) == 2


def test_a_deleted_experiment_comes_back(made: MadeStudy, client: MlflowClient, dump: Dumper) -> None:
    trial = made.complete()
    record_study(made.folder)
    client.delete_experiment(client.get_experiment_by_name("made").experiment_id)
    record_study(made.folder)
    assert trial.key in dump()


def test_two_processes_at_once_make_one_run(made: MadeStudy, dump: Dumper) -> None:
    trial = made.complete()
    view, failures = view_of(made, trial.key), []
    both = [Runs(StudyFolder(made.folder.storage, "made"), made.spec) for _ in range(2)]
    start = threading.Barrier(2)

    def work(runs: Runs) -> None:
        from study.tracking.trial_sync import sync_trial

        start.wait()
        try:
            sync_trial(runs, view, "balanced_accuracy")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(runs,)) for runs in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(dump()[trial.key]["metrics"]["validation/loss"]) == EPOCHS


def test_a_broken_file_spoils_one_trial_only(made: MadeStudy, dump: Dumper) -> None:
    broken, whole = made.complete(), made.complete()
    (made.files(broken).path / "evaluation.json").write_text('{"epoch": 5}')
    found = record_study(made.folder)
    assert list(found.failed) == [broken.key]
    assert found.written == 1
    assert broken.key in str(found)
    assert dump()[whole.key]["status"] == "FINISHED"
