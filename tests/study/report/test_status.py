from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from study.report.recorded_rates import RecordedRates
from study.report.status import overview, print_status, status_of
from study.store.study_folder import StudyFolder
from study.store.study_view import StudyView
from tests.study.made_study import MadeStudy, spec_of
from trainables.core.errors import BadInput
from trainables.core.step_progress import StepProgressFile


def test_the_status_is_what_the_design_says(made: MadeStudy) -> None:
    done = made.complete()
    made.prune(epochs=2)
    made.fail("gone", epochs=1)
    made.train(made.start(), range(1, 4))

    found = status_of(made.folder.storage, "made")

    assert list(found) == ["study", "state", "cells"]
    assert found["study"] == "made"
    erm, cce = found["cells"]
    assert list(cce) == [
        "cell",
        "dataset",
        "profile",
        "ratio",
        "method",
        "states",
        "best",
        "epochs_trained",
        "epochs_saved",
    ]
    assert cce == {
        "cell": done.cell.name,
        "dataset": "digits",
        "profile": "long_tail-10",
        "ratio": 10.0,
        "method": "cce",
        "states": {"COMPLETE": 1, "PRUNED": 1, "FAIL": 1, "RUNNING": 1},
        "best": {"value": made.files(done).history()[-1]["balanced_accuracy"], "epoch": 5, "params": done.params},
        "epochs_trained": 5 + 2 + 1 + 3,
        "epochs_saved": 3,
    }
    assert erm["states"] == {"COMPLETE": 0, "PRUNED": 0, "FAIL": 0, "RUNNING": 0}
    assert erm["best"] is None
    assert json.loads(json.dumps(found)) == found


def test_the_state_of_a_study(tmp_path: Path) -> None:
    made = MadeStudy(tmp_path, spec_of(methods=["cce"], search={"trials": 2, "pruner": "none"}))

    def state() -> str:
        return str(status_of(tmp_path, "made")["state"])

    assert state() == "interrupted"
    with made.folder.driver_lock():
        assert state() == "running"
    made.complete()
    made.train(made.start(), range(1, 2))
    assert state() == "interrupted"
    made.ledger.of(made.ledger.interrupted()[0]).fail(1, "gone")
    assert state() == "finished"


def test_a_driven_study_shows_the_steps_of_first_epochs(made: MadeStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    trial, past = made.start(), made.start()
    made.train(past, range(1, 2))
    monkeypatch.setattr("trainables.core.step_progress.WRITTEN_EVERY", 0.0)
    for one in (trial, past):  # the second is left over from before its first epoch was reported
        made.files(one).path.mkdir(parents=True, exist_ok=True)
        StepProgressFile(made.files(one).path)(1, 1, 390, 128)
    assert not any("first_epochs" in cell for cell in status_of(made.folder.storage, "made")["cells"])  # it is dead
    with made.folder.driver_lock():
        status = status_of(made.folder.storage, "made")
    assert [cell.get("first_epochs") for cell in status["cells"]] == [
        None,
        [{"trial": trial.key, "epoch": 1, "step": 1, "steps": 390, "images_per_second": None}],
    ]
    console = Console(file=io.StringIO(), width=120)
    print_status(status, console)
    assert f"{trial.key}: first epoch: step 1 of 390\n" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_driven_study_shows_what_follows_the_last_epoch(made: MadeStudy) -> None:
    trial = made.start()
    made.train(trial, range(1, 2))
    made.files(trial).path.mkdir(parents=True, exist_ok=True)
    StepProgressFile(made.files(trial).path).say(1, "evaluating test images")  # it resumes after its last epoch
    with made.folder.driver_lock():
        status = status_of(made.folder.storage, "made")
    found = [cell["after_training"] for cell in status["cells"] if "after_training" in cell]
    assert found == [[{"trial": trial.key, "doing": "evaluating test images"}]]
    console = Console(file=io.StringIO(), width=120)
    print_status(status, console)
    assert f"{trial.key}: evaluating test images\n" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_failed_trials_epochs_count_though_its_metric_never_was_a_number(made: MadeStudy) -> None:
    made.complete(balanced_accuracy=math.nan)
    cce = status_of(made.folder.storage, "made")["cells"][1]
    assert cce["states"]["FAIL"] == 1
    assert cce["epochs_trained"] == 5


def test_a_smaller_loss_is_better(tmp_path: Path) -> None:
    made = MadeStudy(tmp_path, spec_of(methods=["cce"], search={"trials": 3, "metric": "loss", "pruner": "none"}))
    made.complete(loss=3.0)
    made.complete(loss=1.0)
    made.complete(loss=2.0)
    assert status_of(tmp_path, "made")["cells"][0]["best"]["value"] == 1.0


def test_an_unknown_study_is_told_with_the_nearest_name(made: MadeStudy) -> None:
    with pytest.raises(BadInput, match=r"mode.*did you mean 'made'"):
        status_of(made.folder.storage, "mode")


def test_a_study_without_a_ledger_yet_has_no_trials(made: MadeStudy) -> None:
    (made.folder.path / "ledger.journal").unlink()
    assert [cell["states"]["RUNNING"] for cell in status_of(made.folder.storage, "made")["cells"]] == [0, 0]
    assert not (made.folder.path / "ledger.journal").exists()


def test_the_table_names_cells_and_counts(made: MadeStudy) -> None:
    done = made.complete()
    console = Console(file=io.StringIO(), width=120)
    print_status(status_of(made.folder.storage, "made"), console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "made: interrupted" in text
    assert any(done.cell.name in line and " 1 " in line for line in text.splitlines())


def test_a_status_needs_neither_torch_nor_ray_nor_mlflow(made: MadeStudy) -> None:
    code = (
        "import sys; from pathlib import Path; from study.report.status import status_of; "
        "status_of(Path(sys.argv[1]), 'made'); print([m for m in ('torch', 'ray', 'mlflow') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(made.folder.storage)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[3], timeout=120)
    assert done.stdout.strip() == "[]", done.stderr


def _damage(folder: StudyFolder, how: str) -> None:
    journal = folder.path / "ledger.journal"
    lines = {"unknown operation": b'{"op_code": 99, "worker_id": "x"}', "a number": b"5", "no operation": b"{}"}
    if how in lines:
        journal.write_bytes(journal.read_bytes() + lines[how] + b"\n")
    elif how == "unknown method":
        folder.spec_path.write_text(folder.spec_path.read_text().replace("name: cce", "name: from-the-future"))
    elif how == "bad tag":
        folder.spec_path.write_text(folder.spec_path.read_text() + "seed: !!int '-'\n")
    else:
        folder.format_path.write_text('{"version": []}')


@pytest.mark.parametrize(
    "how", ["unknown operation", "a number", "no operation", "unknown method", "bad tag", "bad format"]
)
def test_a_damaged_study_has_one_line_and_hides_no_other(how: str, tmp_path: Path) -> None:
    for name in ("bad", "good"):
        MadeStudy(tmp_path, spec_of(name)).complete()
    _damage(StudyFolder(tmp_path, "bad"), how)
    bad, good = overview(tmp_path)
    assert bad["state"] == "unreadable" and len(bad["question"].splitlines()) == 1 and len(bad["question"]) < 500
    assert str(tmp_path / "bad") in bad["question"]
    assert (good["state"], good["done"]) == ("interrupted", 1)
    with pytest.raises(BadInput):
        status_of(tmp_path, "bad")
    assert RecordedRates(tmp_path, spec_of("third")).bytes_per_trial() is not None


def test_a_fault_while_a_study_is_counted_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bad", "good"):
        MadeStudy(tmp_path, spec_of(name))
    before = StudyView.remaining
    monkeypatch.setattr(StudyView, "remaining", lambda view: {}["gone"] if view.spec.name == "bad" else before(view))
    assert [study["state"] for study in overview(tmp_path)] == ["unreadable", "interrupted"]


def test_the_total_is_an_upper_bound_until_the_settings_to_confirm_are_known(tmp_path: Path) -> None:
    spec = spec_of(methods=["erm", "cce"], search={"trials": 2, "pruner": "none"}, confirm={"seeds": 3})
    MadeStudy(tmp_path, spec)
    (before,) = overview(tmp_path)
    assert (before["done"], before["trials"], before["trials_exact"]) == (0, 2 * 1 + 2 + 3 + 6, False)
