"""Measure how the ledger scales: seconds to suggest, to report and prune, to show a status, and to resume.

One cell holds all trials. This is the worst case, because searcher and pruner read the trials of their cell. The growth
exponent is the slope of log seconds over log trials between the last two sizes; 1 is linear. The benchmark runs on the
journal file and, where its programs are installed, on a private PostgreSQL server.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.ledger_filling import ended_trials, fill
from benchmarks.machine import header
from benchmarks.postgres_programs import missing, server_programs
from benchmarks.private_postgres import private_postgres
from study.ledger.cell_ledger import Assignment
from study.ledger.storage import open_storage
from study.ledger.study_ledger import Ledger
from study.report.status import status_of
from study.spec.cell import expand
from study.spec.study_spec import StudySpec
from study.store.study_folder import StudyFolder

SIZES = (100, 1_000, 10_000)
EPOCHS = 10
MOST_RESUME_SECONDS = 10.0
Times = dict[str, float]


def scale_spec(trials: int, searcher: str, ledger: str | None) -> StudySpec:
    """Return a study of one cell that searches five params."""
    search: dict[str, Any] = {
        "trials": trials,
        "searcher": searcher,
        "pruner": "median",
        "training": {"lr": {"low": 0.001, "high": 0.5, "scale": "log"}},
    }
    return StudySpec.model_validate(
        {
            "name": "scale",
            "data": [{"dataset": "digits", "profiles": [{"kind": "long_tail", "ratio": 50}]}],
            "methods": ["affinity"],
            "model": "mlp",
            "training": {"epochs": EPOCHS},
            "search": search,
            "records": {"ledger": ledger},
        }
    )


def _timed(act: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    done = act()
    return time.perf_counter() - began, done


def _open(folder: StudyFolder, spec: StudySpec) -> Ledger:
    return Ledger(spec, expand(spec), open_storage(folder.path, spec.records.ledger))


def _ask_and_report(ledger: Ledger, repeats: int) -> Times:
    """Time suggestions, and reports with pruning; the trials never end, as if interrupted."""
    asks, reports = [], []
    for _ in range(repeats):
        seconds, assignment = _timed(ledger.next)
        assert isinstance(assignment, Assignment)
        asks.append(seconds)
        for epoch in range(1, EPOCHS):
            report = partial(ledger.of(assignment).report, assignment.number, epoch, 0.05 * epoch)
            reports.append(_timed(report)[0])
    return {"suggest": statistics.median(asks), "report+prune": statistics.median(reports)}


def _resume(folder: StudyFolder, spec: StudySpec) -> Times:
    shared_prefix, ledger = _timed(lambda: _open(folder, spec))
    finding, cut_off = _timed(ledger.interrupted)
    first, _ = _timed(ledger.next)
    for assignment in cut_off:
        ledger.of(assignment).prune(assignment.number)
    return {
        "resume: open": shared_prefix,
        "resume: interrupted": finding,
        "resume: next": first,
        "resume": shared_prefix + finding + first,
    }


def measure(folder: StudyFolder, spec: StudySpec, sizes: tuple[int, ...], repeats: int) -> dict[int, Times]:
    """Fill a ledger to each size in turn and time every step at that size."""
    with folder.driver_lock():
        folder.create(spec, {})
    rng, found = random.Random(0), {}
    for size in sizes:
        ledger = _open(folder, spec)
        (cell,) = ledger.cells.values()
        storage = cell._storage
        study_id = storage.get_study_id_from_name(f"{spec.name}/{cell.cell.name}")
        trials = list(ended_trials(cell.cell.space, EPOCHS, size - len(cell.trials()), rng))
        filling, _ = _timed(lambda: fill(storage, study_id, trials))  # noqa: B023
        ledger = _open(folder, spec)
        print(f"  {size} trials, filled in {filling:.0f} s", flush=True)
        times = _ask_and_report(ledger, repeats)
        times["status"], _ = _timed(lambda: status_of(folder.storage, spec.name))
        found[size] = times | _resume(folder, spec)
    return found


def lines(found: dict[int, Times]) -> list[str]:
    """Format a table of milliseconds with the growth exponent between the last two sizes."""
    *_, before, last = found
    made = [f"  {'ms at':<20}" + "".join(f"{size:>10}" for size in found) + "    growth"]
    for step in found[last]:
        growth = math.log(found[last][step] / found[before][step]) / math.log(last / before)
        made.append(
            f"  {step:<20}" + "".join(f"{1000 * found[size][step]:>10.1f}" for size in found) + f"{growth:>10.2f}"
        )
    slow = found[last]["resume"]
    made.append(f"  resume at {last}: {slow:.1f} s (required: at most {MOST_RESUME_SECONDS:g} s)")
    return made


def _run(storage: Path, ledger: str | None, given: argparse.Namespace) -> None:
    sizes = tuple(given.sizes)
    spec = scale_spec(2 * sizes[-1] + 1_000, given.searcher, ledger)
    print("\n".join(lines(measure(StudyFolder(storage, spec.name), spec, sizes, given.repeats))), flush=True)


def main() -> None:
    """Measure both storages and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="trials, rising; at least two sizes")
    parser.add_argument("--searcher", default="tpe", help="what suggests")
    parser.add_argument("--repeats", type=int, default=5, help="suggestions timed at every size")
    parser.add_argument("--storage", choices=["journal", "postgresql", "both"], default="both")
    given = parser.parse_args()
    print(header("benchmarks.ledger_scale", "optuna", "sqlalchemy"), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        if given.storage != "postgresql":
            print("journal file", flush=True)
            _run(Path(folder) / "journal", None, given)
        programs = server_programs()
        if given.storage != "journal" and (lacking := missing()) is not None:
            print(f"PostgreSQL: skipped, {lacking}")
        elif given.storage != "journal" and programs is not None:
            print(f"PostgreSQL, {programs}", flush=True)
            with private_postgres(programs) as url:
                _run(Path(folder) / "postgresql", url, given)


if __name__ == "__main__":
    main()
