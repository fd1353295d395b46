"""`study verify` reads everything that is stored of a study, says what it read, and names each damage in a line."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from study.cli import app
from study.report.export import export_study
from study.store.study_check import check_study
from study.store.study_folder import StudyFolder
from study.tracking import record_study
from tests.study.made_study import MadeStudy, spec_of
from trainables.core.logit_file import KeptLogits, SplitLogits, write_logits
from trainables.core.trial_folder import TrialFolder
from trainables.training.checkpoints import save_state

Command = Callable[..., tuple[int, str, str]]
CELL = "digits/long_tail-10"


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command in this process: exit code, output, errors."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["study", *words])
        with pytest.raises(SystemExit) as caught:
            app.main()
        said = capsys.readouterr()
        return int(caught.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def made(tmp_path: Path) -> MadeStudy:
    """A finished study with complete, pruned, failed and confirmed trials, all bundled."""
    made = MadeStudy(tmp_path, spec_of(confirm={"seeds": 1}))
    made.complete()
    made.fail("no reason", epochs=3)
    made.prune()
    made.complete()
    for _ in range(4):
        made.complete("erm")
    made.confirm(lambda _: 0.5)
    for file in list(tmp_path.rglob("trial.json")):
        TrialFolder(file.parent).pack()
    return made


def _flip(file: Path) -> Path:
    whole = bytearray(file.read_bytes())
    whole[len(whole) // 2] ^= 1
    file.write_bytes(whole)
    return file


def _bundle(made: MadeStudy, trial: str) -> Path:
    return Path(str(made.folder.path)) / "cells" / CELL / trial / "trial.zip"


def test_it_says_what_it_read(made: MadeStudy, study: Command) -> None:
    code, out, err = study("verify", "made", "--storage", str(made.folder.storage))
    assert (code, err) == (0, "")
    assert out == (
        "checked format.json, study.yaml, data.json, the ledger, 10 trials, 0 shared trainings: all as it was stored\n"
    )


@pytest.mark.parametrize("trial", ["cce/00000", "cce/00001", "cce/00002", "erm/confirm/00000"])
def test_bundles_of_trials_in_every_state_are_read(trial: str, made: MadeStudy, study: Command) -> None:
    file = _flip(_bundle(made, trial))
    code, out, err = study("verify", "made", "--storage", str(made.folder.storage))
    assert (code, err) == (1, "")
    damaged, checked = out.splitlines()
    assert damaged.startswith(f"{file}: is damaged (")
    assert damaged.endswith("), and with it the trial's epochs and results per class; put back a copy of it")
    assert checked.endswith("10 trials, 0 shared trainings: 1 damaged")


def test_a_lost_bundle_of_a_failed_trial_is_named(made: MadeStudy) -> None:
    file = _bundle(made, "cce/00001")
    file.unlink()
    assert check_study(made.folder).faults == (
        f"{file.parent}: lacks the results of epochs 1, 2, 3, which the ledger has",
    )


def test_damaged_files_do_not_hide_each_other(made: MadeStudy, study: Command) -> None:
    path = Path(str(made.folder.path))
    bundle = _flip(_bundle(made, "erm/00002"))
    (path / "study.yaml").write_text((path / "study.yaml").read_text().replace("Does CCE help?", "Does CCE hurt?"))
    (path / "data.json").write_text("")
    (path / "warm-starts.json").write_text('{"crc32": "00000000"}')
    (path / "ledger.journal").unlink()
    code, out, _ = study("verify", "made", "--storage", str(made.folder.storage))
    lines = out.splitlines()
    assert code == 1 and lines[-1].endswith("10 trials, 0 shared trainings: 4 damaged")
    for file in (path / "study.yaml", path / "data.json", path / "warm-starts.json", bundle):
        assert sum(line.startswith(f"{file}: ") for line in lines) == 1, file
    (path / "study.yaml").unlink()
    (path / "cells").rename(path.parent / "elsewhere")
    (path.parent / "elsewhere").rename(path / "cells")
    code, out, _ = study("verify", "made", "--storage", str(made.folder.storage))
    assert code == 1 and f"{path / 'study.yaml'}: is missing, but cells of the study are there" in out
    assert str(bundle) in out and out.splitlines()[-1] == "checked 10 trials, 0 shared trainings: 2 damaged"


def test_digests_are_compared_with_those_that_trials_have_recorded(made: MadeStudy) -> None:
    made.folder.write_data({CELL: "f1"})
    assert check_study(made.folder).faults == ()
    made.folder.write_data({CELL: "f2"})
    (fault,) = check_study(made.folder).faults
    assert fault.startswith(f"{made.folder.data_path}: has the digest f2 of {CELL}, but trial {CELL}/erm/00000 has ")


def test_a_seed_is_compared_with_that_of_the_training(made: MadeStudy) -> None:
    journal = made.folder.path / "ledger.journal"
    lines = journal.read_text().splitlines()
    for number, line in enumerate(lines):
        if (said := json.loads(line)).get("user_attrs", {}).get("phase") == "confirm":
            said["user_attrs"]["seed"] += 5
            del said["crc32"]
            lines[number] = json.dumps(said)
    journal.write_text("\n".join(lines) + "\n")
    faults = check_study(made.folder).faults
    assert any("its seed is 10005 by study file and ledger, but it was trained with 10000" in fault for fault in faults)


def test_checkpoints_networks_and_logits_are_read(made: MadeStudy) -> None:
    folder = _bundle(made, "cce/00000").parent
    save_state(folder / "checkpoint-000005.pt", {"weights": torch.arange(1000.0)})
    save_state(folder / "model.pt2", {"weights": torch.arange(1000.0)})
    kept = SplitLogits.of(np.random.default_rng(0).normal(size=(50, 2)), np.zeros(50, dtype=int))
    write_logits(folder, KeptLogits(None, ("a", "b"), (3, 2), {"validation": kept}))
    assert check_study(made.folder).faults == ()
    damaged = [_flip(folder / name) for name in ("checkpoint-000005.pt", "model.pt2")]
    (folder / "logits.parquet").write_bytes(b"PAR1")
    faults = check_study(made.folder).faults
    assert len(faults) == 3
    for file in (*damaged, folder / "logits.parquet"):
        assert sum(fault.startswith(f"{file}: ") for fault in faults) == 1, faults


def test_a_folder_in_the_place_of_a_bundle_is_one_error(made: MadeStudy, study: Command, tmp_path: Path) -> None:
    searched, confirmed = _bundle(made, "cce/00000"), _bundle(made, "erm/confirm/00000")
    for file in (searched, confirmed):
        file.unlink()
        file.mkdir()
    storage = ("--storage", str(made.folder.storage))
    code, out, err = study("verify", "made", *storage)
    assert (code, err) == (1, "")
    assert [line.split(", and")[0] for line in out.splitlines()[:-1]] == [
        f"{file}: is damaged (Is a directory)" for file in (confirmed, searched)
    ]
    code, out, err = study("export", "made", "--to", str(tmp_path / "a.parquet"), *storage)
    assert code == 2 and err.count("\n") == 1
    assert err.startswith(f"error: {confirmed}: is damaged, and with it the test results of trial {CELL}/erm/confirm/")
    assert study("status", "made", *storage)[0] == study("show", "made", "--trials", *storage)[0] == 0


def test_a_search_trial_without_its_curves_is_named_and_the_rest_exported(
    made: MadeStudy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = export_study(made.folder, tmp_path / "whole.parquet")
    file = _flip(_bundle(made, "cce/00000"))
    with caplog.at_level(logging.WARNING):
        rows = export_study(made.folder, tmp_path / "rest.parquet")
    assert rows == whole - 4  # one row without metrics instead of five epochs
    table = pq.read_table(tmp_path / "rest.parquet").to_pylist()
    (row,) = (row for row in table if (row["cell"], row["phase"], row["trial"]) == (f"{CELL}/cce", "search", 0))
    assert (row["state"], row["epoch"], row["loss"]) == ("COMPLETE", None, None)
    (said,) = caplog.messages
    assert said.startswith(f"{file}: is damaged (") and "epochs and results per class" in said
    assert "test results" not in said


@pytest.mark.parametrize("words", [("status", "made"), ("show", "made", "--trials")])
def test_lists_name_a_damaged_bundle_that_they_open_once(
    words: tuple[str, ...], made: MadeStudy, study: Command, caplog: pytest.LogCaptureFixture
) -> None:
    failed = _flip(_bundle(made, "cce/00001"))
    with caplog.at_level(logging.WARNING):
        code, _, _ = study(*words, "--storage", str(made.folder.storage))
    assert code == 0
    (said,) = caplog.messages
    assert said.startswith(f"{failed}: is damaged (")


def test_a_trial_without_its_curves_is_not_recorded_until_a_copy_is_back(made: MadeStudy) -> None:
    file = _bundle(made, "cce/00000")
    whole = file.read_bytes()
    _flip(file)
    recorded = record_study(made.folder)
    assert (recorded.written, list(recorded.failed)) == (9, [f"{CELL}/cce/00000"])
    assert f"  not recorded: {CELL}/cce/00000: {file}: is damaged (" in str(recorded)
    file.write_bytes(whole)
    again = record_study(StudyFolder(made.folder.storage, "made"))
    assert (again.written, again.there, again.failed) == (1, 9, {})
