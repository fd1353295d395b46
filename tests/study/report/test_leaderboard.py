from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from study.report.leaderboard import leaderboard_as_json, print_leaderboard
from study.store.study_folder import StudyFolder
from study.store.study_view import open_view
from tests.study.made_study import MadeStudy, spec_of
from trainables.core.errors import BadInput
from trainables.core.trial_folder import TrialFolder


def printed(folder: StudyFolder, *, every_trial: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, width=160)
    print_leaderboard(folder, console, every_trial=every_trial)
    return file.getvalue()


def rows(text: str, *starts: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(starts)]


def test_methods_stand_from_best_to_worst(made: MadeStudy) -> None:
    made.complete("cce", balanced_accuracy=0.7)
    made.complete("cce", balanced_accuracy=0.6)
    made.complete("erm", balanced_accuracy=0.9)
    text = printed(made.folder)
    best = rows(text, "erm", "cce")
    assert [line.split()[0] for line in best] == ["erm", "cce"]
    assert "0.9000" in best[0]
    assert "0.7000" in best[1]
    assert "gamma=-1" in best[1]
    for heading in ("bal acc", "g-mean", "worst"):
        assert heading in text


def test_a_cell_without_a_complete_trial_stands_last(made: MadeStudy) -> None:
    made.prune("cce")
    made.complete("erm", balanced_accuracy=0.1)
    best = rows(printed(made.folder), "erm", "cce")
    assert best[-1].startswith("cce")
    assert "no complete trial" in best[-1]


def test_every_trial_is_shown_with_its_end(made: MadeStudy) -> None:
    made.complete(balanced_accuracy=0.6)
    made.complete(balanced_accuracy=0.8)
    made.prune(epochs=2)
    made.fail("[the trial's process died]")
    made.train(made.start(), range(1, 4))
    with made.folder.driver_lock():
        text = printed(made.folder, every_trial=True)
    cce = text[text.index("digits/long_tail-10/cce") : text.index("digits long_tail-10")]
    trials = [line.split() for line in rows(cce, *"01234")]
    assert [(t[0], t[2], t[3]) for t in trials] == [
        ("1", "COMPLETE", "5"),
        ("0", "COMPLETE", "5"),
        ("2", "PRUNED", "2"),
        ("4", "RUNNING", "3"),
        ("3", "FAIL", "0"),
    ]
    assert "recommended" in trials[1]
    assert "[the trial's process died]" in cce


def test_what_nobody_drives_is_cut_off_and_does_not_run(made: MadeStudy) -> None:
    made.train(made.start(), range(1, 4))
    text = printed(made.folder, every_trial=True)
    assert "interrupted" in text
    assert "RUNNING" not in text
    with made.folder.driver_lock():
        text = printed(made.folder, every_trial=True)
    assert "RUNNING" in text
    assert "interrupted" not in text


def test_another_metric_has_its_column_and_decides(tmp_path: Path) -> None:
    made = MadeStudy(tmp_path, spec_of(search={"trials": 2, "metric": "loss", "pruner": "none"}))
    made.complete("erm", loss=2.0)
    made.complete("cce", loss=1.0)
    text = printed(made.folder)
    assert [line.split()[0] for line in rows(text, "erm", "cce")] == ["cce", "erm"]
    assert "loss" in text


def test_an_unknown_study_is_bad_input(made: MadeStudy) -> None:
    with pytest.raises(BadInput, match="did you mean 'made'"):
        printed(StudyFolder(made.folder.storage, "maded"))


def test_the_leaderboard_ends_the_output_and_trials_come_first(made: MadeStudy) -> None:
    made.complete("cce"), made.complete("erm"), made.fail("CUDA out of memory"), made.fail("CUDA out of memory")
    text = printed(made.folder, every_trial=True)
    assert text.index("digits/long_tail-10/cce") < text.index("digits long_tail-10")
    assert text.rstrip().splitlines()[-1].startswith("precision:")
    assert "digits/long_tail-10/cce: trials 1, 2 failed: CUDA out of memory" in text


def test_a_failed_confirmation_says_its_seed_and_why(tmp_path: Path) -> None:
    made = MadeStudy(tmp_path, spec_of(methods=["erm"], search={"trials": 1, "pruner": "none"}, confirm={"seeds": 2}))
    made.complete("erm")
    trial = made.ledger.next()
    assert trial is not None
    made.train(trial, range(1, 2))
    made.ledger.of(trial).fail(trial.number, "NonFiniteLoss: loss nan at epoch 1")
    text = printed(made.folder, every_trial=True)
    assert "digits/long_tail-10/erm: confirmation with seed 10000 failed: NonFiniteLoss: loss nan at epoch 1" in text


def test_one_method_is_shown_alone(made: MadeStudy) -> None:
    made.complete("cce"), made.complete("erm")
    file = io.StringIO()
    print_leaderboard(made.folder, Console(file=file, width=160), every_trial=True, method="cce")
    assert rows(file.getvalue(), "cce") and not rows(file.getvalue(), "erm")
    with pytest.raises(BadInput, match="did you mean 'cce'"):
        print_leaderboard(made.folder, Console(file=file), method="ccee")


def test_json_has_every_trial_of_search_and_confirmation(tmp_path: Path) -> None:
    made = MadeStudy(tmp_path, spec_of(search={"trials": 1}, confirm={"seeds": 2}))
    made.complete("erm"), made.complete("cce")
    made.confirm(lambda trial: 0.5)
    found = leaderboard_as_json(open_view(made.folder), "cce")
    assert [entry["method"] for entry in found] == ["cce"]
    assert (found[0]["best"], found[0]["front"]) == (0, [0])
    assert [(trial["phase"], trial["trial"]) for trial in found[0]["trials"]] == [
        ("search", 0),
        ("confirm", 0),
        ("confirm", 1),
    ]
    trial = made.folder.path / "cells" / "digits" / "long_tail-10" / "cce" / "00000"
    last = TrialFolder(trial).history()[-1]
    assert found[0]["trials"][0]["metrics"]["balanced_accuracy"] == last["balanced_accuracy"]
