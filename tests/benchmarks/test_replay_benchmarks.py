from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks import landscapes, ledger_scale, transfer_gain
from benchmarks.arms import Arm, BlindCell, difference, replay_arm, said
from benchmarks.postgres_programs import missing, server_programs
from benchmarks.private_postgres import private_postgres
from study.ledger.storage import open_storage
from study.replay.replay_outcome import Estimate
from study.spec.cell import expand
from study.store.study_folder import StudyFolder
from study.store.study_view import open_view


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def _arguments(monkeypatch: pytest.MonkeyPatch, name: str, *given: str) -> None:
    monkeypatch.setattr(sys, "argv", [name, *given])


def test_landscapes_are_stored_as_a_study_and_replayed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    place = ["--storage", str(tmp_path)]
    small = [*place, "--ratios", "10", "--trials", "2", "--epochs", "2", "--jobs", "1"]
    _arguments(monkeypatch, "landscapes", *small, "--methods", "cce")
    landscapes.main()
    landscapes.main()  # a second time there is nothing left to do
    view = open_view(StudyFolder(tmp_path, "landscapes"))
    assert view.state == "finished"
    (cell,) = view.cells
    assert [trial.state for trial in cell.trials] == ["COMPLETE"] * 2
    assert all(trial.last_epoch_result()["balanced_accuracy"] == trial.value for trial in cell.trials)

    _arguments(monkeypatch, "landscapes", *small, "--name", "deferred", "--methods", "cce", "ldam-drw")
    landscapes.main()
    _arguments(monkeypatch, "transfer", *place, "--trials", "2", "--seeds", "2", "--jobs", "1")
    transfer_gain.main()
    text = capsys.readouterr().out
    assert "without  trials until near" in text
    assert "transfer spares" in text or "no search.transfer" in text
    assert "no cell has a neighbour" in text and "no cell was given anything" in text
    assert "deferred methods" in text and "plain methods" in text
    assert "median, blind" in text


def test_what_a_neighbour_is_worth_is_told_without_noise(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    small = ["--storage", str(tmp_path), "--trials", "3", "--epochs", "2", "--jobs", "1", "--methods", "cce"]
    _arguments(monkeypatch, "landscapes", *small, "--ratios", "10", "20")
    landscapes.main()
    view, found = transfer_gain.recorded(StudyFolder(tmp_path, "landscapes"), ())
    (first, second), short_by = view.cells, transfer_gain.worth(view.cells, found, "balanced_accuracy")
    assert short_by.keys() == {first.cell.name, second.cell.name}
    ends = [
        [float(found[c.cell.name]["balanced_accuracy"].curve(t.params)[-1]) for t in first.trials] for c in view.cells
    ]
    best = ends[0].index(max(ends[0]))
    there = found[second.cell.name]["balanced_accuracy"]
    assert short_by[second.cell.name] == pytest.approx(there.best(maximize=True) - ends[1][best])
    assert transfer_gain.worth_line({"a": 0.001, "b": 0.02, "c": 0.03}).endswith(
        "1 of 3 cells, short by 0.0200 in the median cell"
    )


def test_a_blind_cell_lets_the_pruner_judge_before_the_switch() -> None:
    spec = landscapes.landscape_spec("x", methods=("ldam-drw",), ratios=(10.0,))
    (cell,) = expand(spec)
    assert cell.pruning_start_epoch > 0
    assert BlindCell(**vars(cell)).pruning_start_epoch == 0
    assert Arm(spec).blind is False
    assert callable(replay_arm)


def test_differences_are_taken_seed_by_seed() -> None:
    assert difference([3.0, 4.0, 5.0], [1.0, 2.0, 3.0]) == Estimate(2.0, 2.0, 2.0)
    assert said(Estimate(1.0, 0.5, 1.5)) == "1.00 [0.50, 1.50]"


def test_a_ledger_is_filled_and_timed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--sizes", "10", "30", "--repeats", "1", "--searcher", "random"]
    _arguments(monkeypatch, "ledger_scale", *small, "--storage", "journal")
    ledger_scale.main()
    text = capsys.readouterr().out
    for step in ("suggest", "report+prune", "status", "resume: interrupted"):
        assert step in text
    assert "growth" in text


def test_a_ledger_in_postgresql_is_filled_and_timed(tmp_path: Path) -> None:
    if (lacking := missing()) is not None:
        pytest.skip(lacking)
    programs = server_programs()
    assert programs is not None
    with private_postgres(programs) as url:
        spec = ledger_scale.scale_spec(100, "random", url)
        folder = StudyFolder(tmp_path, spec.name)
        found = ledger_scale.measure(folder, spec, (5, 12), 1)
        assert set(found) == {5, 12}
        storage = open_storage(tmp_path, url)
        assert storage.get_n_trials(storage.get_all_studies()[0]._study_id) >= 12
