"""Record response landscapes without Ray, on small long-tailed images, as a stored study that `study replay` reads.

Trials cover the space evenly (QMC) and none is pruned, so that every curve is complete and poor regions are covered as
well as good ones. The ledger, the trial manager and the trial folders are the study's own. Only the training runs in
plain processes, which report when a trial is done. A restarted recording continues after its last finished trial.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.arms import workers
from benchmarks.machine import cores, header
from study.driver.trial_manager import TrialManager
from study.ledger.storage import open_storage
from study.ledger.study_ledger import Ledger
from study.spec.cell import expand
from study.spec.search_spec import SearchSpec
from study.spec.study_spec import StudySpec
from study.store.study_folder import StudyFolder
from trainables.core.trial_folder import EpochResult
from trainables.core.trial_report import EpochDone, Failed, TrialReport
from trainables.core.trial_task import TrialTask


@dataclass(frozen=True)
class Recipe:
    """Training settings of the trials on a data set.

    Attributes:
        ratios: imbalance ratios.
        batch_size: images per step.
        epochs: epochs per trial.
    """

    ratios: tuple[float, ...]
    batch_size: int
    epochs: int


RECIPES = {
    "digits": Recipe((10.0, 20.0, 50.0, 100.0, 125.0), 64, 12),
    "mnist": Recipe((10.0, 20.0, 50.0, 100.0, 200.0), 256, 6),
}
"""Recipes by data set. Digits keep an image of each class up to ratio 126; 280 validate, of MNIST 5,420."""
METHODS = ("cce", "affinity", "elm")
DEFERRED = ("ldam", "ldam-drw", "elm", "elm-drw")
"""Methods with and without a deferred stage, to compare when to prune."""


def landscape_spec(
    name: str,
    *,
    dataset: str = "digits",
    methods: tuple[str, ...] = METHODS,
    ratios: tuple[float, ...] | None = None,
    trials: int = 40,
    epochs: int | None = None,
    searcher: str = "qmc",
) -> StudySpec:
    """Return the study to record: it searches each method's own space and the learning rate."""
    recipe = RECIPES[dataset]
    profile = {"kind": "long_tail", "ratio": list(ratios or recipe.ratios)}
    search: dict[str, Any] = {
        "trials": trials,
        "searcher": searcher,
        "pruner": "none",
        "training": {"lr": {"low": 0.003, "high": 0.3, "scale": "log"}},
    }
    if "transfer" in SearchSpec.model_fields:  # transfer would concentrate trials where others were good
        search["transfer"] = False
    return StudySpec.model_validate(
        {
            "name": name,
            "question": "Recorded without pruning, to be replayed",
            "data": [{"dataset": dataset, "profiles": [profile]}],
            "methods": list(methods),
            "model": "mlp",
            "training": {
                "epochs": epochs or recipe.epochs,
                "batch_size": recipe.batch_size,
                "lr": 0.05,
                "precision": "float32",
            },
            "search": search,
        }
    )


def train_trial(task: TrialTask, metric: str) -> tuple[list[tuple[int, float]], str | None]:
    """Train one complete trial and write its folder; return (epoch, metric) pairs and the failure, or None."""
    import torch

    from trainables.core.trial_folder import TrialFolder
    from trainables.data import load
    from trainables.training.finite_watch import NonFiniteLoss
    from trainables.training.trainer import Trainer

    torch.set_num_threads(1)
    trial, folder = task.trial, TrialFolder(task.folder)
    folder.write_config({"trial": trial.model_dump(mode="json")})
    trainer = Trainer(trial, load(trial.data), torch.device("cpu"))
    found: list[tuple[int, float]] = []
    while not trainer.finished:
        try:
            result: EpochResult = trainer.run_epoch()
        except NonFiniteLoss as error:
            return found, f"NonFiniteLoss: {error}"
        folder.append_epoch(result)
        found.append((int(result["epoch"]), float(result[metric])))
    return found, None


def tell(manager: TrialManager, trial: str, metric: str, curve: list[tuple[int, float]], failure: str | None) -> None:
    """Report a trained trial to the trial manager epoch by epoch, as Ray Tune would."""
    reports: list[TrialReport] = [EpochDone({"epoch": epoch, metric: value}) for epoch, value in curve]
    if failure is not None:
        reports.append(Failed(failure))
    for report in reports[:-1]:
        manager.report(trial, report)
    manager.end(trial, reports[-1], failed=False)


def record(spec: StudySpec, storage: Path, jobs: int, say: Callable[[str], None]) -> StudyFolder:
    """Train every trial that the study still needs.

    Args:
        spec: the study; a stored study of the same name is continued.
        storage: the folder of all studies.
        jobs: processes.
        say: prints a line.

    Raises:
        BadInput: the data is unavailable, or another process works on the study.
    """
    from trainables.data import prepare

    folder, cells = StudyFolder(storage, spec.name), expand(spec)
    data = {f"{cell.dataset}/{cell.profile}": prepare(cell.base.data).fingerprint for cell in cells}
    with folder.driver_lock():
        if folder.spec_path.exists():
            spec = folder.read_spec()
            cells = expand(spec)
        else:
            folder.create(spec, data)
        ledger = Ledger(spec, cells, open_storage(folder.path, None))
        manager = TrialManager(ledger, folder.path, listener=lambda assignment, ended: None)
        _train_all(manager, spec.search.metrics[0], jobs, ledger, say)
    return folder


def _train_all(manager: TrialManager, metric: str, jobs: int, ledger: Ledger, say: Callable[[str], None]) -> None:
    began, handed_out, total = time.monotonic(), 0, ledger.remaining()
    at_work: dict[Future[Any], str] = {}
    with workers(jobs) as pool:
        while True:
            while len(at_work) < jobs and (task := manager.start(str(handed_out))) is not None:
                at_work[pool.submit(train_trial, task, metric)] = str(handed_out)
                handed_out += 1
            if not at_work:
                return
            for done in wait(at_work, return_when=FIRST_COMPLETED).done:
                tell(manager, at_work.pop(done), metric, *done.result())
                ended = total - ledger.remaining()
                if ended % 20 == 0 or ended == total:
                    say(f"{ended} of {total} trials, {time.monotonic() - began:.0f} s")


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return the parser for the landscapes to record and their storage."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--storage", type=Path, default=Path("runs"), help="folder of studies")
    made.add_argument("--name", default="landscapes", help="the study's name")
    made.add_argument("--methods", nargs="+", help=f"methods ({' '.join(METHODS)})")
    made.add_argument("--deferred", action="store_true", help=f"the methods {' '.join(DEFERRED)}")
    made.add_argument(
        "--dataset", default="digits", choices=RECIPES, help="images; MNIST is looked for as by study run"
    )
    made.add_argument("--ratios", type=float, nargs="+", help="imbalance ratios (the data set's)")
    made.add_argument("--trials", type=int, default=40, help="trials of a cell")
    made.add_argument("--epochs", type=int, help="of a trial (the data set's)")
    made.add_argument("--searcher", default="qmc", choices=["qmc", "random"], help="what draws the trials")
    made.add_argument("--jobs", type=int, default=cores(), help="processes")
    return made


def main() -> None:
    """Record the landscapes."""
    given = parser(__doc__).parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(header("benchmarks.landscapes", "torch", "optuna"), flush=True)
    methods = DEFERRED if given.deferred else tuple(given.methods or METHODS)
    spec = landscape_spec(
        given.name,
        dataset=given.dataset,
        methods=methods,
        ratios=tuple(given.ratios) if given.ratios else None,
        trials=given.trials,
        epochs=given.epochs,
        searcher=given.searcher,
    )
    folder = record(spec, given.storage.resolve(), given.jobs, lambda line: print(line, flush=True))
    print(f"recorded in {folder.path}; replay it with: study replay {given.name} --storage {given.storage}")


if __name__ == "__main__":
    main()
