from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from study.report.leaderboard import print_leaderboard
from study.store.study_folder import StudyFolder
from tests.study.made_study import MadeStudy, spec_of
from trainables.core.errors import BadInput


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
    cce = text[text.rindex("digits/long_tail-10/cce") :]
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
