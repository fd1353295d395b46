"""Kill a study at random moments, resume it until it is finished, and compare it with an undisturbed run of it.

``python -m tests.faults.random_kills --kills 40 --seed 1 --json kills.json`` runs a small study once undisturbed. Then
it runs the same study again and again, and strikes a random victim at random moments: the driver, all processes, the
process of a trial, Ray's services, their keeper, or the process group by SIGTERM. A driver that was ended is resumed;
after any other kill the study must go on by itself. Further calls with other seeds add to the same file; ``--table``
prints it, ``--write docs/faults.md`` puts it there. The seed determines the victims and the seconds between kills; what
the study does at these moments depends on the machine. ``--ratio-gp`` searches and prunes by the model over all ratios;
keep its kills in a file of their own.

The study trains one trial at a time, so that its file alone determines the order in which trials end, and with it
every proposal, transfer and pruning.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.machine import header
from study.store.study_folder import SHARED
from tests.faults.fault_lab import Lab, Running, title
from tests.faults.kill_table import Kill, Round, Tally
from tests.faults.stored_content import (
    ENDED,
    differing,
    recorded_runs,
    repetitions_differ,
    trained_epochs,
    trial_content,
    trials_in_ledger,
)
from tests.faults.victims import ENDS_DRIVER, GROUP, strikes

STUDY: dict[str, Any] = {
    "name": "killed",
    "data": [{"dataset": "digits", "validation_fraction": 0.2, "profiles": [{"ratio": [10, 20]}]}],
    "methods": ["drw", "elm", "m2m"],
    "model": "mlp",
    "training": {"epochs": 16, "batch_size": 32, "lr": 0.05, "checkpoint_seconds": 1, "precision": "float32"},
    "search": {
        "trials": 6,
        "concurrency": 1,
        "searcher": "tpe",
        "transfer": True,
        "pruner": {"name": "median", "startup_trials": 2},
    },
    "confirm": {"seeds": 2},
    "artifacts": {"embedding": "none"},  # UMAP compiles for twenty seconds in every new process
    "resources": {"retries": 20},  # the same trial may be struck often before it ends an epoch
}

LEARNED: dict[str, Any] = {
    **STUDY,
    "search": {**STUDY["search"], "searcher": "ratio-gp", "pruner": {"name": "ratio-gp", "startup_trials": 2}},
}
"""The same study by the model over all ratios."""

SOON = 0.3
"""Part of the kills that come before the study has gone on after the kill before, at most `LONGEST_SOON` s after it."""
LONGEST_SOON, LONGEST = 20.0, 12.0
"""Seconds; the other kills come at most `LONGEST` s after the first new epoch."""
BEGIN, END = "<!-- random kills -->", "<!-- /random kills -->"
"""Lines of docs/faults.md between which the tables stand."""

_LOOK_EVERY = 0.1
_GONE_WITHIN = 40.0
_STANDS_STILL = 200.0

STARTUP, SHARING, SEARCH, CONFIRMATION, RECORDING = "start", "shared training", "search", "confirmation", "recording"


class Watch:
    """Follows the epochs files of a storage folder."""

    def __init__(self, lab: Lab) -> None:
        """Begin with what is there."""
        self._lab = lab
        self._sizes: dict[str, int] = {}
        self.look()
        self.phase = STARTUP

    def look(self) -> bool:
        """Return whether an epoch has been added since the last look, and note in which phase."""
        grown = False
        for path, size in self._files():
            if size > self._sizes.get(path, 0):
                grown, self._sizes[path] = True, size
                self.phase = CONFIRMATION if "/confirm/" in path else SHARING if f"/{SHARED}/" in path else SEARCH
        return grown

    def restart(self) -> None:
        """Begin again after a kill."""
        self.look()
        self.phase = STARTUP

    def _files(self) -> Iterator[tuple[str, int]]:
        for top in (Path(self._lab.storage) / SHARED, Path(self._lab.path) / "cells"):
            for folder, _, names in os.walk(top):
                for name in names:
                    if name.startswith("epochs-"):
                        path = os.path.join(folder, name)
                        with contextlib.suppress(FileNotFoundError):  # bundled meanwhile
                            yield path, os.stat(path).st_size


def _trained_folders(lab: Lab) -> dict[str, Path]:
    """Return the folders in which epochs are trained, by a name: trials and shared trainings."""
    shared = {f"{SHARED}/{path.name}": path for path in (Path(lab.storage) / SHARED).glob("*") if path.is_dir()}
    cells = Path(lab.path) / "cells"
    return shared | {path.relative_to(cells).as_posix(): path for path in _folders_of_trials(cells)}


def _folders_of_trials(cells: Path) -> list[Path]:
    found = (Path(folder) for folder, _, names in os.walk(cells) if any(map(_is_of_a_trial, names)))
    return sorted(found)


def _is_of_a_trial(name: str) -> bool:
    return name in ("trial.json", "trial.zip") or name.startswith("epochs-")


def _repeated(folder: Path) -> int:
    trained = [result["epoch"] for result in trained_epochs(folder)]
    return len(trained) - len(set(trained))


def _since_checkpoint(folder: Path) -> int:
    """Return the number of stored epochs that are newer than the newest stored state."""
    states = [
        int(path.stem.rpartition("-")[2]) for kind in ("checkpoint", "state") for path in folder.glob(f"{kind}-*.pt")
    ]
    return len({result["epoch"] for result in trained_epochs(folder)} - set(range(max(states, default=0) + 1)))


class Reference:
    """What the study holds if nothing disturbs it; run once and kept in a file."""

    def __init__(self, work: Path, mapping: dict[str, Any]) -> None:
        """Run the study in ``work``, unless its result is there."""
        stored = work / "reference.json"
        if not stored.exists() or json.loads(stored.read_text())["study"] != mapping:
            with lab_in(work / "reference") as lab:
                began = time.monotonic()
                code = lab.run(mapping).wait()
                assert code == 0, "the undisturbed study failed"
                seconds = time.monotonic() - began
                stored.write_text(json.dumps({"study": mapping, "seconds": seconds, **_everything_in(lab)}, indent=1))
        found = json.loads(stored.read_text())
        self.seconds: float = found["seconds"]
        self.ledger: dict[str, tuple[str, str]] = {key: tuple(said) for key, said in found["ledger"].items()}
        self.files: dict[str, dict[str, str]] = found["files"]
        self.runs: dict[str, list[str]] = found["runs"]


def _everything_in(lab: Lab) -> dict[str, Any]:
    study, storage = Path(lab.path), Path(lab.storage)
    keys = trials_in_ledger(study)
    return {
        "ledger": keys,
        "files": {key: trial_content(study / "cells" / key) for key in keys},
        "runs": recorded_runs(storage / "mlflow.db", study.name),
    }


@contextlib.contextmanager
def lab_in(folder: Path) -> Iterator[Lab]:
    """Give a lab in a folder of its own, which is removed afterwards with all that runs there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    ray_folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short, as the paths of sockets are limited
    lab = Lab(folder, ray_folder)
    try:
        yield lab
    finally:
        lab.stop_all()
        shutil.rmtree(ray_folder, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


class Disturbed:
    """One run of the study from its start to its end, with kills on the way."""

    def __init__(self, lab: Lab, mapping: dict[str, Any], reference: Reference, random: Random, tally: Tally) -> None:
        """Start nothing yet; ``tally`` tells which victims were struck least so far."""
        self._lab, self._mapping, self._reference = lab, mapping, reference
        self._random, self._tally = random, tally
        self._kills: list[Kill] = []
        self._faults: list[str] = []
        self._repeated: dict[str, int] = {}
        self._checked: dict[str, tuple[str, str]] = {}
        lab.name = mapping["name"]
        self._watch = Watch(lab)

    def play(self, most: int, until: float) -> Round:
        """Run to the end; after ``most`` kills or at ``until`` (`time.monotonic`) the study is left in peace."""
        began = time.monotonic()
        running = self._go()
        while (
            code := self._wait_for_moment(running, in_peace=len(self._kills) >= most or time.monotonic() > until)
        ) != 0:
            if code is not None:
                self._say_of_end(running, code)
                running = self._go()
                self._watch.restart()
                continue
            running = self._strike(running)
        self._take_stock(trials_in_ledger(Path(self._lab.path)))
        return self._compare(time.monotonic() - began)

    def _go(self) -> Running:
        if (Path(self._lab.path) / "study.yaml").exists():
            return self._lab.resume()
        return self._lab.run(self._mapping)

    def _wait_for_moment(self, running: Running, in_peace: bool) -> int | None:
        """Wait until the next kill is due and return None, or until the command ends and return its exit code."""
        alive = time.monotonic()
        soon = self._random.random() < SOON
        due = alive + self._random.uniform(0, LONGEST_SOON) if soon else math.inf
        delay = self._random.uniform(0, LONGEST)
        while True:
            code, now = running.process.poll(), time.monotonic()
            if self._watch.look():
                alive = now
                due = min(due, now + delay)
            last = self._kills[-1] if self._kills else None
            if last is not None and last.on_after is None and (alive == now or code == 0):
                last.on_after = now - last.at
            if code is not None:
                return code
            if not in_peace and now >= due:
                return None
            if now - alive > _STANDS_STILL:
                self._faults.append(f"stood still for {now - alive:.0f} s: {running.output()[-2000:]}")
                running.kill_everything()
                return running.process.wait()
            time.sleep(_LOOK_EVERY)

    def _strike(self, running: Running) -> Running:
        """Kill one victim, wait until what must end with it is gone, and take stock of what is stored."""
        self._watch.look()
        possible = strikes(running)
        if not possible:  # it has just ended
            return running
        weights = [(1 + self._tally.kills_of(kind, self._kills)) ** -2.0 for kind in possible]
        (kind,) = self._random.choices([*possible], weights)
        at = time.monotonic()
        gone = possible[kind]()
        left = running.left_of(gone, _GONE_WITHIN)
        kill = Kill(kind, self._watch.phase, at, gone_after=time.monotonic() - at)
        if left:
            names = ", ".join(sorted({title(process)[:60] for process in left}))
            self._faults.append(f"{kind}: {names} outlived the kill by {_GONE_WITHIN:.0f} s")
            running.kill_everything()
        told = trials_in_ledger(Path(self._lab.path))
        for name, folder in _trained_folders(self._lab).items():
            if name not in told or told[name][0] not in ENDED:
                kill.allowed += _since_checkpoint(folder)
        self._take_stock(told)
        self._kills.append(kill)
        if len(self._checked) == len(self._reference.ledger):
            kill.phase = RECORDING
        self._watch.restart()
        if kind not in ENDS_DRIVER:
            return running
        code = running.process.wait()
        early = code == -signal.SIGTERM and "starting Ray" not in running.output()  # Python had hardly begun
        if kind == GROUP and code not in (130, 0) and not early:  # 0: it was just ending
            self._faults.append(f"{kind}: exit code {code}: {running.output()[-2000:]}")
        return self._go()

    def _take_stock(self, told: dict[str, tuple[str, str]]) -> None:
        """Compare what has ended since the last kill with the reference, and count the epochs repeated since then."""
        last = self._kills[-1] if self._kills else Kill("none", STARTUP, 0)
        for name, folder in _trained_folders(self._lab).items():
            before, now = self._repeated.get(name, 0), _repeated(folder)
            last.repeated += now - before
            self._repeated[name] = now
        last.lost += len(self._checked.keys() - {key for key, (state, _) in told.items() if state in ENDED})
        for key, said in told.items():
            if said[0] not in ENDED or key in self._checked:
                continue
            self._checked[key] = said
            expected = self._reference.ledger.get(key)
            if expected is None:
                last.doubled += 1
            elif expected != said:
                last.differing.append(f"{key}: ledger")

    def _compare(self, seconds: float) -> Round:
        """Compare all that is stored with the reference."""
        found = _everything_in(self._lab)
        reference = self._reference
        parts, wrong = 0, []
        for key in reference.files:
            parts += 1 + len(reference.files[key])
            if tuple(found["ledger"].get(key, ())) != reference.ledger[key]:
                wrong.append(f"{key}: ledger")
            wrong += [f"{key}: {part}" for part in differing(found["files"].get(key, {}), reference.files[key])]
        wrong += [
            f"{name}: repeated epochs" for name, at in _trained_folders(self._lab).items() if repetitions_differ(at)
        ]
        runs_lost = [key for key in reference.runs if key not in found["runs"]]
        wrong += [f"{key}: MLflow" for key in reference.runs if found["runs"].get(key, []) != reference.runs[key]]
        return Round(
            seconds=seconds,
            kills=self._kills,
            trials=len(reference.ledger),
            lost=sorted(reference.ledger.keys() - found["ledger"].keys()) + [f"{key}: MLflow" for key in runs_lost],
            doubled=sorted(found["ledger"].keys() - reference.ledger.keys())
            + [f"{key}: MLflow" for key, runs in found["runs"].items() if len(runs) > len(reference.runs.get(key, ()))],
            parts=parts + len(reference.runs),
            differing=wrong,
            faults=self._faults + self._raw_lines(),
        )

    def _say_of_end(self, running: Running, code: int) -> None:
        """Note that the command ended by itself, though the study is not finished; some kills allow that."""
        said = running.output()
        if "study resume" not in said[-500:]:
            self._faults.append(f"exit code {code}: {said[-2000:]}")

    def _raw_lines(self) -> list[str]:
        """Return tracebacks and lines of Ray's own in what the commands printed."""
        raw = ("Traceback", "(raylet)", "(gcs", "*** SIG", "Fatal Python", " E ", " C ")
        found = []
        for log in sorted(self._lab.folder.glob("output-*.txt")):
            lines = log.read_text(errors="replace").splitlines()
            found += [f"printed: {line[:300]}" for line in lines if any(mark in line for mark in raw)]
        return found


def with_tables(document: str, tables: str) -> str:
    """Return a document with the tables between its two marks."""
    before, mark, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise SystemExit(f"the document has no place for the tables: it needs lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{tables}\n{END}{after}"


def main() -> None:
    """Run rounds until there are kills enough or the time is over, and add them to the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="kills of this call")
    parser.add_argument("--minutes", type=float, default=20, help="after these no kill comes and no round begins")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=Path("runs/random-kills.json"), help="is added to")
    parser.add_argument(
        "--work", type=Path, default=None, help="scratch folder that keeps the undisturbed run's result"
    )
    parser.add_argument("--ratio-gp", action="store_true", help="search and prune by the model over all ratios")
    parser.add_argument("--table", action="store_true", help="print the tables of the file and stop")
    parser.add_argument("--write", type=Path, metavar="MD", help="put the tables of the file into a document and stop")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # which ends all that it has started
    tally = Tally.read(given.json)
    if given.write is not None:
        given.write.write_text(with_tables(given.write.read_text(), tally.tables()))
    if given.table or given.write is not None:
        print(tally.tables())
        return
    given.json.parent.mkdir(parents=True, exist_ok=True)
    work = given.work or Path(tempfile.mkdtemp(prefix="random-kills-"))
    work.mkdir(parents=True, exist_ok=True)
    said = header("tests.faults.random_kills", "ray", "torch", "optuna")
    print(said, flush=True)
    until = time.monotonic() + 60 * given.minutes
    study = LEARNED if given.ratio_gp else STUDY
    reference = Reference(work, study)
    random, done = Random(given.seed), 0
    while done < given.kills and time.monotonic() < until:
        with lab_in(work / "disturbed") as lab:
            played = Disturbed(lab, study, reference, random, tally).play(given.kills - done, until)
        done += len(played.kills)
        tally.add(played, said, reference.seconds)
        tally.write(given.json)
        print(played.said(), flush=True)
    if given.work is None:
        shutil.rmtree(work, ignore_errors=True)
    print(tally.tables())
    sys.exit(1 if tally.broken() else 0)


if __name__ == "__main__":
    main()
