"""The trial runner on Ray Tune. Ray executes trials and stores nothing that a resume needs."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import ray
from ray import tune

from study.driver.interrupts import Interrupts
from study.driver.progress import Progress
from study.driver.ray_connection import init_ray
from study.driver.trial_manager import TrialManager
from study.driver.tune_adapters import LedgerScheduler, LedgerSearcher, NoTrialProgress, ProgressCallback
from study.ledger.study_ledger import Ledger
from study.spec.study_spec import ResourcesSpec, StudySpec
from study.store.study_folder import StudyFolder
from study.tracking.client import import_mlflow
from trainables.core.errors import BadInput, shown
from trainables.entry_points.ray_trainable import ImbalanceTrial

_ON_DEMAND = 8
"""Concurrent trials on a cluster that has no machines yet, if the study sets no concurrency."""


def _quiet() -> None:
    """Silence Tune's warnings about results that it does not store. Importing Ray sets its own log level."""
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "3600")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the ledger stores why a trial failed


@dataclass(frozen=True)
class RayTuneRunner:
    """A `TrialRunner` on Ray Tune.

    Attributes:
        spec: the study.
        ledger: counts the remaining trials.
        folder: the study's folder, where Tune writes scratch files while it runs.
        address: address of a running Ray cluster.
        progress: updated after every step.
        interrupts: answers to Ctrl-C while Tune runs.
    """

    spec: StudySpec
    ledger: Ledger
    folder: StudyFolder
    address: str
    progress: Progress
    interrupts: Interrupts

    def run(self, manager: TrialManager) -> None:
        """Join Ray, train until the manager hands out no more trials, then leave Ray."""
        _quiet()
        _join(self.address, self.folder)
        self.interrupts.install()  # Ray has installed a handler that aborts
        scratch = self._scratch()
        import_mlflow()  # Tune does, too, to count its users' callbacks
        try:
            self._tuner(manager, scratch).fit()
        except EOFError:  # Tune reads back the errors of trials, which a full disk has cut short
            raise OSError(errno.ENOSPC, f"Tune's scratch files in {scratch} are cut short") from None
        finally:
            ray.shutdown()
            self.interrupts.install()  # Ray's core has put back what the system does with SIGTERM: end without a word
            shutil.rmtree(scratch, ignore_errors=True)

    def _scratch(self) -> Path:
        """Return the folder for Tune's own files, which nothing reads later; Tune wants one of this machine."""
        if isinstance(self.folder.path, Path):
            return self.folder.path / "tune"
        return Path(tempfile.mkdtemp(prefix="study-tune-"))

    def _tuner(self, manager: TrialManager, scratch: Path) -> tune.Tuner:
        return tune.Tuner(
            tune.with_resources(ImbalanceTrial, _places(self.spec.resources)),
            tune_config=tune.TuneConfig(
                search_alg=LedgerSearcher(manager),
                scheduler=LedgerScheduler(manager),
                num_samples=-1,
                max_concurrent_trials=_concurrency(self.spec, self.ledger),
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=f"run-{int(time.time())}",
                storage_path=str(scratch),
                callbacks=[ProgressCallback(self.progress, self.interrupts), NoTrialProgress()],
                # trials write their own checkpoints; Tune would save class Trainables at their end otherwise
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        )


def _places(resources: ResourcesSpec) -> dict[str, float] | tune.PlacementGroupFactory:
    """Return what Tune reserves for a trial: all its workers at once, near each other where that is possible."""
    if resources.workers == 1:
        return {"cpu": resources.cpus, "gpu": resources.gpus}
    worker = {"CPU": float(resources.cpus), "GPU": resources.gpus}
    return tune.PlacementGroupFactory([worker] * resources.workers, strategy="PACK")


def _join(address: str, folder: StudyFolder) -> None:
    try:
        init_ray(address)
    except Exception as error:  # Ray raises many types, some of its own and some bare
        ray.shutdown()
        said = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(
            f"cannot join Ray at {address}: {shown(said, 500)}; `study doctor --address {address}` says why, for "
            f"example that the cluster asks for another token. Once that is fixed: {folder.command('resume')}"
        ) from None


def _concurrency(spec: StudySpec, ledger: Ledger) -> int:
    if spec.search.concurrency is not None:
        return spec.search.concurrency
    cluster: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    fits = int(cluster.get("CPU", 1) // spec.resources.cpus)
    if spec.resources.gpus > 0:
        fits = min(fits, int(cluster.get("GPU", 0) / spec.resources.gpus))
    fits //= spec.resources.workers
    # an autoscaling cluster has no machine before a trial asks for one
    return max(1, min(fits or _ON_DEMAND, ledger.remaining()))
