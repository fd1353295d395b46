"""Simulated trainings on a ledger, for tests of whole studies without Ray."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from study.ledger.cell_ledger import Assignment
from study.ledger.storage import open_storage
from study.ledger.study_ledger import Ledger
from study.spec.cell import expand
from study.spec.study_spec import StudySpec

EPOCHS = 4
Curve = Callable[[Assignment], float]


def height(assignment: Assignment) -> float:
    """Return the final value of a trial; the optimum in every cell is gamma -20 and lr 0.1."""
    gamma = assignment.params.get("gamma", -20.0)
    lr = assignment.params.get("training.lr", 0.1)
    return 1 / (1 + abs(math.log(gamma / -20)) + abs(math.log(lr / 0.1)))


def train(ledger: Ledger, assignment: Assignment, value: float | None = None) -> None:
    """Train a trial to its end or until it is pruned."""
    cell, number = ledger.of(assignment), assignment.number
    top = height(assignment) if value is None else value
    for epoch in range(1, EPOCHS + 1):
        stop = cell.report(number, epoch, top * epoch / EPOCHS)
        if stop and epoch < EPOCHS:
            return cell.prune(number)
    cell.complete(number, top)


def finish(ledger: Ledger) -> list[Assignment]:
    """Train one trial at a time until the study is finished; return the trials in the order they were handed out."""
    handed = ledger.interrupted()
    for assignment in handed:
        train(ledger, assignment)
    while (new := ledger.next()) is not None:
        train(ledger, new)
        handed.append(new)
    return handed


def content(ledger: Ledger) -> dict[str, list[tuple[Any, ...]]]:
    """Return the content of the ledger, without times."""
    return {
        name: [(t.number, t.state.name, t.params, t.values, t.intermediate_values, t.user_attrs) for t in cell.trials()]
        for name, cell in ledger.cells.items()
    }


def param_sources(ledger: Ledger, cell: str) -> list[str]:
    """Where the trials of a cell came from, in their order."""
    return [trial.user_attrs.get("param_source", "searcher") for trial in ledger.cells[cell].trials()]


def ends_the_same_killed_after_any_write(
    study: StudySpec, places: Path, every: int, warm_starts: Any = None
) -> Iterable[int]:
    """Kill a study after every ``every``-th ledger write, resume it and compare; yield the numbers of writes."""
    whole = places / "whole"
    whole.mkdir()

    def opened(folder: Path) -> Ledger:
        return Ledger(study, expand(study), open_storage(folder, None), warm_starts)

    finish(opened(whole))
    expected = content(opened(whole))
    lines = (whole / "ledger.journal").read_bytes().splitlines(keepends=True)
    for count in range(0, len(lines), every):
        killed = places / f"killed-{count}"
        killed.mkdir()
        (killed / "ledger.journal").write_bytes(b"".join(lines[:count]) + lines[count][: len(lines[count]) // 2])
        finish(opened(killed))
        assert content(opened(killed)) == expected, f"after {count} of {len(lines)} writes"
        yield count
