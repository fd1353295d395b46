"""No test label is read before confirmation: while a study searches, whoever reads its test split meets an error."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from study.driver import driver
from study.driver.exit_codes import ExitCode
from study.driver.preflight import check_data
from study.driver.trial_manager import TrialManager
from study.ledger.cell_ledger import Assignment
from study.ledger.confirmation_ledger import Confirmation
from study.ledger.study_ledger import Ledger
from study.report.confirmed_results import confirmed_tables
from study.spec.study_spec import StudySpec
from study.spec.validation import checked_spec
from study.store.study_folder import StudyFolder
from study.store.study_view import open_view
from trainables.core.errors import BadInput
from trainables.core.trial_folder import TrialFolder
from trainables.core.trial_report import EpochDone, from_result
from trainables.data import load
from trainables.entry_points.ray_trainable import ImbalanceTrial

SEARCH = {"trials": 2, "pruner": "none", "training": {"lr": {"low": 0.01, "high": 0.2}}, "concurrency": 1}


_hand_out = Confirmation.next


class TestImagesRead(AssertionError):
    __test__ = False


def _train(manager: TrialManager) -> list[TrialFolder]:
    """Train what the trial manager hands out until there is none, as Tune would, in this process."""
    folders = []
    while (task := manager.start("tune")) is not None:
        trainable = ImbalanceTrial(task.to_json())
        while not (result := trainable.step())["done"]:
            pass
        last = from_result(result)
        assert isinstance(last, EpochDone), last
        manager.end("tune", last, failed=False)
        folders.append(TrialFolder(task.folder))
    return folders


def test_every_way_of_training_reads_them_only_to_confirm(
    make_spec: Callable[..., StudySpec],
    open_ledger: Callable[..., Ledger],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All kinds of methods: stages, a post-hoc change that is picked on validation, shared openings."""

    def spec(confirm: Any) -> StudySpec:
        methods = ["erm", "ldam-drw", "empirical-offset"]
        training = {"epochs": 2, "lr": 0.05, "precision": "float32"}
        return make_spec(methods=methods, training=training, search=SEARCH, confirm=confirm)

    def refuse(*given: object) -> None:
        raise TestImagesRead

    folder = tmp_path / "study"
    folder.mkdir()
    manager = TrialManager(open_ledger(spec(None), folder), folder, listener=lambda *given: None)
    with monkeypatch.context() as patched:
        patched.setattr("trainables.data.loading._read_test", refuse)
        with pytest.raises(TestImagesRead):  # it would be noticed
            load(manager._ledger.cells["digits/long_tail-10/erm"].cell.base.data).test()
        searched = _train(manager)
    assert len(searched) == 6
    assert all(trial.test() is None for trial in searched)

    ledger = open_ledger(spec({"seeds": 1}), folder)
    confirmed = _train(TrialManager(ledger, folder, listener=lambda *given: None))
    assert len(confirmed) in range(3, 7)
    for trial in confirmed:
        found = trial.test()
        assert found is not None
        assert len(found["recall"]) == len(found["confusion"]) == 10
        assert found["metrics"]["balanced_accuracy"] == pytest.approx(sum(found["recall"]) / 10)
    assert all(trial.test() is None for trial in searched)
    assert (ledger.remaining(), ledger.failed()) == (0, 0)


def test_a_real_study_searches_without_its_test_images(
    study_mapping: Callable[..., dict[str, Any]],
    write_data_set: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In processes of their own: their file is spoilt while the study searches."""
    monkeypatch.setattr("study.driver.preflight.check_data", _then_hide(tmp_path))
    monkeypatch.setenv("STUDY_CACHE_DIR", str(tmp_path / "cache"))
    write_data_set(tmp_path / "sets" / "mine", images=10)
    data = {"dataset": "mine", "data_dir": str(tmp_path / "sets"), "validation_fraction": 0.2}
    given = study_mapping(
        data=[{**data, "profiles": [{"ratio": 2}]}],
        methods=["erm"],
        training={"epochs": 2, "batch_size": 8, "lr": 0.05, "precision": "float32"},
        search=SEARCH,
        confirm={"seeds": 1},
    )
    storage, at = tmp_path / "runs", list[Any]()

    def hand_out(confirmation: Confirmation) -> Assignment | None:
        if not at:
            at.append(open_view(StudyFolder(storage, "tiny")).cells[0].counts())
            with pytest.raises(BadInput):  # who read them until now met this
                load(next(iter(confirmation._search.values())).cell.base.data).test()
            _show(tmp_path)
        return _hand_out(confirmation)

    monkeypatch.setattr(Confirmation, "next", hand_out)
    outcome = driver.run(checked_spec(given, (), source="x"), storage, address=None, console=Console(quiet=True))
    assert outcome.code == ExitCode.DONE, outcome.message
    assert outcome.message.endswith(f"test results: {StudyFolder(storage, 'tiny').command('report')}")
    assert at == [{"COMPLETE": 2, "PRUNED": 0, "FAIL": 0, "RUNNING": 0}]
    view = open_view(StudyFolder(storage, "tiny"))
    assert view.state == "finished"
    (table,) = confirmed_tables(view)
    assert {row.n for row in table.rows} == {1}


def _then_hide(folder: Path) -> Callable[..., dict[str, str]]:
    """Return a check of the data after which the test images can be read no more."""

    def check(*given: Any, **named: Any) -> dict[str, str]:
        found = check_data(*given, **named)
        hidden = folder / "hidden"
        hidden.mkdir()
        test = folder / "sets" / "mine" / "test.parquet"
        os.replace(test, hidden / "test.parquet")
        test.write_bytes(b"whoever opens this meets an error")
        return found

    return check


def _show(folder: Path) -> None:
    os.replace(folder / "hidden" / "test.parquet", folder / "sets" / "mine" / "test.parquet")
