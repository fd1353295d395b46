"""A kill changes neither past nor later pruning decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.faults.fault_lab import Lab, Undisturbed, content, timeless, wait_until

pytestmark = pytest.mark.timeout(900)  # starting Ray takes long on a busy machine

EPOCHS, TRIALS = 12, 6


def _study(pruner: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "pruned",
        "data": [{"dataset": "digits", "validation_fraction": 0.2, "profiles": [{"ratio": 20}]}],
        "methods": ["cce", "ldam-drw"],
        "model": "mlp",
        "training": {"epochs": EPOCHS, "batch_size": 32, "lr": 0.05, "checkpoint_seconds": 0, "precision": "float32"},
        "search": {
            "trials": TRIALS,
            "searcher": "tpe",
            "pruner": pruner,
            "training": {"lr": {"low": 0.0001, "high": 0.5, "scale": "log"}},
            "concurrency": 1,  # two concurrent trials do not always end in the same order
        },
    }


@pytest.mark.parametrize(
    "pruner",
    [
        {"name": "successive-halving", "warmup_epochs": 1, "reduction_factor": 2},
        pytest.param({"name": "median", "startup_trials": 1}, marks=pytest.mark.slow),
        pytest.param({"name": "ratio-gp", "startup_trials": 2}, marks=pytest.mark.slow),
    ],
    ids=lambda pruner: pruner["name"],
)
def test_a_kill_changes_no_proposal_and_no_judgement(pruner: dict[str, Any], lab: Lab, tmp_path: Path) -> None:
    undisturbed = Undisturbed(_study(pruner), tmp_path / "undisturbed")
    pruned = [said for said in undisturbed.content.values() if said.state == "PRUNED"]
    assert 2 <= len(pruned) < len(undisturbed.content) - 2
    running = lab.run(_study(pruner))
    wait_until(lambda: lab.ended() >= TRIALS - 1, "half of the trials")
    running.kill_everything()
    before = {key: said for key, said in content(lab.view()).items() if said.state != "RUNNING"}
    assert TRIALS - 1 <= len(before) < 2 * TRIALS
    assert {key: undisturbed.content[key] for key in before} == before
    lab.finish()
    found = content(lab.view())
    assert found == undisturbed.content
    for key, folder in lab.trials().items():
        assert [timeless(record) for record in folder.history()] == undisturbed.records[key]
        assert len(undisturbed.records[key]) == (EPOCHS if found[key].state == "COMPLETE" else max(found[key].epochs))
