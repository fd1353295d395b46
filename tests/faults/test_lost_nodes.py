"""A cluster of four nodes that loses one every few seconds; `make test-nodes` prints the figures of docs/faults.md."""

from __future__ import annotations

import os
from dataclasses import asdict

import pytest

from tests.faults.lost_nodes import EPOCHS, measure, missing

TRIALS = int(os.environ.get("STUDY_NODES_TRIALS", "200"))
EVERY = float(os.environ.get("STUDY_NODES_EVERY", "20"))
"""Number of trials, and seconds between two lost nodes."""
LIMIT = 1500.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LIMIT + 600)]


@pytest.mark.parametrize("restart", [False, True], ids=["nodes", "nodes-and-services"])
def test_a_study_that_loses_nodes_loses_no_trial(restart: bool) -> None:
    if lacking := missing():
        pytest.skip(f"not here: {', '.join(lacking)}")
    figures, output = measure(trials=TRIALS, every=EVERY, restart=restart, limit=LIMIT)
    print(output)
    print("\n".join(f"{name:16} {value}" for name, value in asdict(figures).items()))
    assert "Traceback" not in output
    assert "study 'nodes' is finished" in output
    assert (figures.lost, figures.doubled) == (0, 0)
    assert figures.runs == figures.trials == TRIALS
    assert figures.epochs == EPOCHS * TRIALS
    assert figures.kills >= 1
    assert figures.repeated <= EPOCHS * (figures.not_counted + figures.counted)
    assert figures.resumes == 0
