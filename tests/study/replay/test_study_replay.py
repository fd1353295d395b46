from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from study.cli.app import app
from study.replay.study_replay import ReplayOptions, print_replay, replay_study
from study.store.study_folder import StudyFolder
from tests.study.replay.conftest import EPOCHS, Recorded, height
from trainables.core.errors import BadInput


@pytest.fixture
def made(tmp_path: Path) -> Recorded:
    return Recorded(tmp_path, height)


def test_json_and_table_say_what_was_recorded_how_far_to_trust_it_and_what_came_out(made: Recorded) -> None:
    wishes = ReplayOptions(("search.searcher=tpe", "search.pruner=median", "search.trials=12"), seeds=3, noise=True)
    found = replay_study(made.folder, wishes)
    assert json.loads(json.dumps(found)) == found
    (cell,) = found["cells"]
    assert cell["recorded"]["epochs_trained"] == 25 * EPOCHS
    assert cell["leave_one_out"]["trials"] == 25
    assert cell["leave_one_out"]["error"] < cell["leave_one_out"]["spread"] / 3
    assert cell["leave_one_out"]["rank_correlation"] > 0.9
    assert cell["replayed"]["trials"] == {"mean": 12, "low": 12, "high": 12}
    trained, saved = (found["all"]["replayed"][name]["mean"] for name in ("epochs_trained", "epochs_saved"))
    assert trained + saved == pytest.approx(12 * EPOCHS)
    console = Console(file=io.StringIO(), width=160)
    print_replay(found, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "over 3 seeds: searcher tpe, pruner median, 12 trials a cell, 1 at a time" in text
    assert "digits/long_tail-10/cce" in text
    assert "95 % interval, low" in text
    assert f"the recorded study trained {25 * EPOCHS} epochs" in text


def test_a_replay_with_equal_epochs_spends_them(made: Recorded) -> None:
    overrides = ("search.budget=epochs", "search.pruner=median", "search.trials=12", "search.concurrency=3")
    found = replay_study(made.folder, ReplayOptions(overrides, seeds=2))
    replayed = found["all"]["replayed"]
    assert replayed["trials"]["mean"] > 12
    assert 11 * EPOCHS < replayed["epochs_trained"]["mean"] <= 12 * EPOCHS
    console = Console(file=io.StringIO(), width=160)
    print_replay(found, console)
    assert f"{12 * EPOCHS} epochs a cell, 3 at a time" in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.epochs=3", r"a replay may change only seed and what stands under search"),
        ("search.training.lr.high=9", r"--set search\.training\.lr\.high=9: a replay may change only"),
        ("search.wall_hours=1", r"but not search\.training or search\.wall_hours"),
        ("search.searcher=tpee", r"search\.searcher"),
    ],
)
def test_what_a_replay_cannot_change_is_refused(made: Recorded, override: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        replay_study(made.folder, ReplayOptions((override,)))


def test_warm_starts_are_replayed_and_unknown_ones_refused(made: Recorded) -> None:
    alike, warm = (
        replay_study(made.folder, ReplayOptions((f"search.warm_start={names}", "search.trials=2")))["cells"][0][
            "replayed"
        ]
        for names in ("[]", "[recorded]")
    )
    # the second trial has the best values of the recorded study
    assert warm["best_found"]["mean"] > alike["best_found"]["mean"]
    assert warm["regret"]["mean"] == pytest.approx(0, abs=0.01)
    with pytest.raises(BadInput, match=r"--set: search\.warm_start\[0\]: .*'recordde'"):
        replay_study(made.folder, ReplayOptions(("search.warm_start=[recordde]",)))


def test_a_wrong_name_is_told_with_the_nearest(made: Recorded) -> None:
    with pytest.raises(BadInput, match="did you mean 'recorded'"):
        replay_study(StudyFolder(made.folder.storage, "recordde"), ReplayOptions())


def test_a_study_without_an_epoch_cannot_be_replayed(made: Recorded) -> None:
    os.remove(made.folder.path / "ledger.journal")
    shutil.rmtree(made.folder.path / "cells")
    with pytest.raises(BadInput, match=r"study 'recorded': no trial of digits/long_tail-10/cce has an epoch"):
        replay_study(made.folder, ReplayOptions())


def test_the_command_prints_a_table_or_json_and_changes_nothing(made: Recorded) -> None:
    before = {path: path.read_bytes() for path in made.folder.path.rglob("*") if path.is_file()}
    arguments = [
        "replay",
        "recorded",
        "--storage",
        str(made.folder.storage),
        "--set",
        "search.trials=3",
        "--seeds",
        "2",
    ]
    table = CliRunner().invoke(app, arguments)
    assert table.exit_code == 0, table.output
    assert "digits/long_tail-10/cce" in table.output
    plain = CliRunner().invoke(app, [*arguments, "--json"])
    assert json.loads(plain.output)["settings"]["trials"] == 3
    after = {path: path.read_bytes() for path in made.folder.path.rglob("*") if path.is_file()}
    assert {path: b for path, b in after.items() if path.name != "ledger.lock"} == {
        path: b for path, b in before.items() if path.name != "ledger.lock"
    }
