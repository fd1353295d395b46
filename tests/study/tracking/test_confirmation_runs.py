from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from study.tracking import Recorder, record_study
from tests.study.made_study import MadeStudy, spec_of
from tests.study.tracking.conftest import Dump


@pytest.fixture
def made(storage: Path) -> MadeStudy:
    spec = spec_of(methods=["cce"], search={"trials": 2, "pruner": "none"}, confirm={"seeds": 1})
    made = MadeStudy(storage, spec)
    made.complete(balanced_accuracy=0.1), made.complete(balanced_accuracy=0.9)
    return made


@pytest.mark.parametrize("live", [True, False])
def test_trials_that_confirm_are_runs_of_their_own_kind(live: bool, made: MadeStudy, dump: Callable[[], Dump]) -> None:
    best, preset = made.confirm(lambda trial: 0.75)
    if live:
        recorder = Recorder(made.folder.storage, made.spec, made.ledger, warn=print)
        recorder.touch(best, True)
        assert recorder.close() == []
    else:
        record_study(made.folder)
    runs = dump()
    cell = runs[best.cell.name]
    assert len(runs) == 5
    for trial, origin in ((best, "best"), (preset, "preset")):
        run = runs[f"{best.cell.name}/confirm/{trial.number:05d}"]
        assert run["status"] == "FINISHED"
        assert (run["tags"]["study.phase"], run["tags"]["param_source"]) == ("confirm", origin)
        assert run["tags"]["mlflow.parentRunId"] == cell["id"]
        assert run["tags"]["study.kind"] == "confirmed"
        assert (run["tags"]["study.setting"], run["tags"]["study.group"]) == (origin, f"cce · {origin}")
        assert run["name"] == f"cce · {origin} · seed 10000"
        assert run["params"]["seed"] == "10000"
        assert [point[:2] for point in run["metrics"]["test/balanced_accuracy"]] == [(0, 0.75)]
        assert "test/few" not in run["metrics"]  # not a number
    for number in range(2):
        run = runs[f"{best.cell.name}/{number:05d}"]
        assert run["tags"]["study.phase"] == "search"
        assert not [name for name in run["metrics"] if name.startswith("test/")]
    record_study(made.folder)
    assert dump() == runs
