from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from study.ledger.study_ledger import Ledger
from study.slurm.next_job import Decision, decide
from study.spec.study_spec import StudySpec
from study.store.study_folder import StudyFolder
from trainables.core.errors import BadInput

STOPPED = 130


@pytest.fixture
def stored(
    tmp_path: Path, make_spec: Callable[..., StudySpec], open_ledger: Callable[..., Ledger]
) -> tuple[StudyFolder, Ledger]:
    """A stored study of two trials, with the folder of its job."""
    folder = StudyFolder(tmp_path, "tiny")
    spec = make_spec(search={"trials": 2, "pruner": "none"})
    (folder.path / "slurm").mkdir(parents=True)
    folder.create(spec, {})
    return folder, open_ledger(spec, folder.path)


def _train(ledger: Ledger, epochs: range) -> None:
    assignment = next(iter(ledger.interrupted()), None) or ledger.next()
    cell = ledger.of(assignment)
    for epoch in epochs:
        cell.report(assignment.number, epoch, 0.5)
    if epochs[-1] == 10:
        cell.complete(assignment.number, 0.5)


def test_a_stopped_study_continues_while_epochs_end(stored: tuple[StudyFolder, Ledger]) -> None:
    folder, ledger = stored
    for epochs in (range(1, 4), range(4, 5), range(5, 11)):
        _train(ledger, epochs)
        assert decide(folder, STOPPED) == Decision(True, "study 'tiny' continues in another job")


def test_two_jobs_without_an_epoch_end_it_and_one_does_not(stored: tuple[StudyFolder, Ledger]) -> None:
    folder, ledger = stored
    assert decide(folder, STOPPED).again
    _train(ledger, range(1, 2))
    assert decide(folder, STOPPED).again
    assert decide(folder, STOPPED).again
    last = decide(folder, STOPPED)
    assert not last.again and last.failed
    assert "2 successive jobs ended without a new epoch" in last.why and "raise --time" in last.why


def test_a_job_that_is_killed_before_the_study_exists_counts_as_one_without_an_epoch(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path, "tiny")
    (folder.path / "slurm").mkdir(parents=True)
    assert decide(folder, 137).again
    assert not decide(folder, 137).again


def test_epochs_of_a_shared_training_count(stored: tuple[StudyFolder, Ledger]) -> None:
    folder, _ = stored
    shared = folder.storage / "shared" / ("0" * 32)
    shared.mkdir(parents=True)
    for epoch in range(1, 5):
        (shared / "epochs-1.jsonl").write_text("{}\n" * epoch)
        assert decide(folder, STOPPED).again


def test_a_finished_study_ends_whatever_the_driver_s_exit_code(stored: tuple[StudyFolder, Ledger]) -> None:
    folder, ledger = stored
    for _ in range(2):
        _train(ledger, range(1, 11))
    for code in (0, 1, STOPPED, 137):
        decision = decide(folder, code)
        assert not decision.again and not decision.failed and "is finished" in decision.why


@pytest.mark.parametrize("code", [1, 2])
def test_a_failure_ends_it_and_names_the_code(stored: tuple[StudyFolder, Ledger], code: int) -> None:
    decision = decide(stored[0], code)
    assert not decision.again and decision.failed and f"exit code {code}" in decision.why


def test_the_limit_of_hours_ends_it(stored: tuple[StudyFolder, Ledger]) -> None:
    decision = decide(stored[0], 0)
    assert not decision.again and not decision.failed and "wall_hours" in decision.why


def test_a_damaged_count_is_named(stored: tuple[StudyFolder, Ledger]) -> None:
    path = stored[0].path / "slurm" / "progress.json"
    path.write_text("{")
    with pytest.raises(BadInput, match=r"progress\.json: cannot be read"):
        decide(stored[0], STOPPED)
