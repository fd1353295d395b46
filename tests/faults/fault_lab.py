"""Runs the real command in processes of its own, kills them at chosen moments, and reads what is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch

from study.ledger.cell_ledger import Assignment
from study.ledger.storage import open_storage
from study.ledger.study_ledger import Ledger
from study.spec.cell import expand
from study.spec.validation import load_spec
from study.spec.yaml_io import write_yaml
from study.store.study_folder import StudyFolder
from study.store.study_view import StudyView, cell_view, open_view
from trainables.core.object_path import ObjectPath
from trainables.core.storage_path import StoragePath, files_below
from trainables.core.trial_folder import PACK, EpochResult, TrialFolder
from trainables.data import load
from trainables.training.finite_watch import NonFiniteLoss
from trainables.training.trainer import Trainer

DEADLINE = 240.0


def wait_until(happened: Callable[[], Any], what: str, seconds: float = DEADLINE) -> None:
    """Poll until a condition holds."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.01)


def one_cell(name: str, *, epochs: int, trials: int) -> dict[str, Any]:
    """Return a study of one cell whose trials come one after another and depend on nothing but its seed."""
    return {
        "name": name,
        "data": [{"dataset": "digits", "validation_fraction": 0.2, "profiles": [{"ratio": 10}]}],
        "methods": ["cce"],
        "model": "mlp",
        "training": {"epochs": epochs, "batch_size": 32, "lr": 0.05, "checkpoint_seconds": 0, "precision": "float32"},
        "search": {"trials": trials, "searcher": "random", "pruner": "none", "concurrency": 1, "transfer": False},
        "artifacts": {"embedding": "none", "mistakes": "none"},
    }


class Running:
    """The command and all processes that it started."""

    def __init__(self, process: subprocess.Popen[str], ray_folder: Path, log: Path) -> None:
        self.process, self._ray_folder, self._log = process, ray_folder, log

    def family(self) -> list[psutil.Process]:
        """Return every living process that descends from the command, even if its parents have ended."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error):
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            # a worker overwrites its arguments and environment with its title, but keeps its log open
            named = process.environ().get("RAY_TMPDIR") == str(self._ray_folder)
            return named or (title(process).startswith("ray::") and self._logs_here(process))
        return False

    def _logs_here(self, process: psutil.Process) -> bool:
        return any(Path(file.path).is_relative_to(self._ray_folder) for file in process.open_files())

    def kill_everything(self) -> None:
        """Kill with -9 the driver, Ray's daemons, all workers, and whatever they start meanwhile."""
        while family := self.family():
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self.left_of(family, within=5)
        self.process.wait(DEADLINE)

    def left_of(self, processes: list[psutil.Process], within: float) -> list[psutil.Process]:
        """Wait until processes have ended and return those that have not; one that nobody has waited for has ended."""
        end = time.monotonic() + within
        while left := [process for process in processes if self._lives(process)]:
            if time.monotonic() > end:
                break
            time.sleep(0.02)
        return left

    def _lives(self, process: psutil.Process) -> bool:
        if process.pid == self.process.pid:
            return self.process.poll() is None  # psutil would take the exit code away from here
        with contextlib.suppress(psutil.Error):
            return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
        return False

    def workers(self, family: list[psutil.Process] | None = None) -> list[psutil.Process]:
        """Return the worker processes that train; ``family`` is what `family` has just found."""
        names = ("ray::ImbalanceTrial", "ray::ResourceTrainable")  # the class, and what Tune makes of it
        return [process for process in family or self.family() if title(process).startswith(names)]

    def interrupt(self) -> None:
        """Send the driver the signal of Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """Wait for the end and return the exit code."""
        try:
            return self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.kill_everything()
            raise AssertionError(f"still running after {DEADLINE:.0f} s:\n{self.output()}") from None

    def output(self) -> str:
        """Return the output so far."""
        return self._log.read_text()


def title(process: psutil.Process) -> str:
    """Return the command line of a process, or nothing if it has ended."""
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


class Lab:
    """One study in a storage folder of its own."""

    def __init__(self, folder: Path, ray_folder: Path, storage: StoragePath | None = None) -> None:
        self.storage: StoragePath = storage or folder / "runs"
        self.folder, self._ray = folder, ray_folder
        self._started: list[Running] = []
        self.name = ""

    def start(self, *words: str, environment: Mapping[str, str] | None = None) -> Running:
        """Start ``study`` with these words, and with more variables."""
        environment = {**os.environ, "RAY_TMPDIR": str(self._ray), "OMP_NUM_THREADS": "1", **(environment or {})}
        log = self.folder / f"output-{len(self._started)}.txt"
        with log.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "study.cli.app", *words, "--storage", str(self.storage)],
                cwd=Path(__file__).parents[2],
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self._started.append(Running(process, self._ray, log))
        return self._started[-1]

    def run(self, mapping: dict[str, Any], *words: str, environment: Mapping[str, str] | None = None) -> Running:
        """Start a new study, with more words and variables."""
        path = self.folder / "study.yaml"
        path.write_text(write_yaml(mapping))
        self.name = mapping["name"]
        return self.start("run", str(path), *words, environment=environment)

    def resume(self, *words: str) -> Running:
        """Continue the study."""
        return self.start("resume", self.name, *words)

    def finish(self, *words: str) -> str:
        """Continue the study to its end and return the output."""
        running = self.resume(*words)
        code = running.wait()
        assert code == 0, running.output()
        return running.output()

    def stop_all(self) -> None:
        """Kill all processes that a failed test left behind."""
        for running in self._started:
            running.kill_everything()

    @property
    def path(self) -> StoragePath:
        """The study's folder."""
        return self.storage / self.name

    def view(self) -> StudyView:
        """Open the study for reading, as the commands do."""
        return open_view(StudyFolder(self.storage, self.name))

    def trials(self) -> dict[str, TrialFolder]:
        """Return the folders of all trials: trial key -> folder."""
        root = self.path / "cells"
        return {key: TrialFolder(root / key) for key in _trial_keys(root)}

    def epochs_written(self) -> int:
        """Return the number of finished epochs of all trials, counting repeated ones."""
        return sum(len(attempt) for folder in self.trials().values() for attempt in folder.attempts())

    def ended(self) -> int:
        """Return the number of trials that have ended according to the ledger."""
        ready = "study.yaml" if isinstance(self.path, ObjectPath) else "ledger.journal"
        if not (self.path / ready).exists():
            return 0
        return sum(len(cell.in_state("COMPLETE", "PRUNED", "FAIL")) for cell in self.view().cells)

    def finished_files(self) -> dict[str, str]:
        """Return what the files of every ended trial hold, every attempt at it included, bundled or not."""
        return {
            trial.key: repr([trial.files.attempts(), trial.evaluation(), trial.stored_config(), trial.test()])
            for cell in self.view().cells
            for trial in cell.in_state("COMPLETE", "PRUNED", "FAIL")
        }


def _trial_keys(root: StoragePath) -> list[str]:
    """Return the keys of all trials of the search that have files."""
    found = {file.folder for file in files_below(root) if file.name in ("trial.json", PACK)}
    return sorted(key for key in found if key.count("/") == 3)


class Said(NamedTuple):
    """A trial's content in the ledger, without times."""

    state: str
    params: dict[str, Any]
    epochs: dict[int, float]
    value: float | None
    reason: str | None


def content(view: StudyView) -> dict[str, Said]:
    """Return the content of a study's ledger: trial key -> content."""
    return {
        trial.key: Said(frozen.state.name, trial.params, dict(frozen.intermediate_values), frozen.value, trial.reason)
        for cell in view.cells
        for trial, frozen in zip(cell.trials, cell.frozen, strict=True)
    }


def timeless(result: EpochResult) -> dict[str, str]:
    """Return an epoch result without its speed, in a form in which NaN equals NaN."""
    return {name: repr(value) for name, value in result.items() if name not in ("images_per_second", "shared")}


class Undisturbed:
    """The same study trained in this process, one trial at a time: no Ray, no other processes, no kills."""

    def __init__(self, mapping: dict[str, Any], folder: Path) -> None:
        folder.mkdir()
        path = folder / "study.yaml"
        path.write_text(write_yaml(mapping))
        spec = load_spec(path)
        self.records: dict[str, list[dict[str, str]]] = {}
        self.ledger = ledger = Ledger(spec, expand(spec), open_storage(folder, None))
        while (assignment := ledger.next()) is not None:
            self._train(ledger, assignment)
        views = [cell_view(cell.cell, cell.trials(), spec.search.metric, folder) for cell in ledger.cells.values()]
        self.content = content(StudyView(spec, StudyFolder(folder, spec.name), tuple(views)))

    def _train(self, ledger: Ledger, assignment: Assignment) -> None:
        cell, number = ledger.of(assignment), assignment.number
        config = assignment.config
        trainer = Trainer(config, load(config.data), torch.device("cpu"))
        records = self.records[assignment.key] = []
        while not trainer.finished:
            try:
                record = trainer.run_epoch()
            except NonFiniteLoss as error:
                return cell.fail(number, f"NonFiniteLoss: {error}")
            records.append(timeless(record))
            value = record[ledger.study.search.metric]
            if cell.report(number, record["epoch"], value) and not trainer.finished:
                return cell.prune(number)
        return cell.complete(number, value)
