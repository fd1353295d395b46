"""One run of Ray Tune over the ledger: Ray executes, and keeps nothing that a resume would need."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import time

import ray
from ray import tune

from study.driver.progress import Progress
from study.driver.trial_manager import TrialManager
from study.driver.tune_callback import ProgressCallback
from study.driver.tune_scheduler import LedgerScheduler
from study.driver.tune_searcher import LedgerSearcher
from study.ledger.study_ledger import Ledger
from study.spec.study_spec import StudySpec
from study.store.study_folder import StudyFolder
from trainables.entry_points.ray_trainable import ImbalanceTrial

_ON_DEMAND = 8
"""Trials at a time where there is no machine yet and the study says nothing."""


def _quiet() -> None:
    """Silence what Tune says of results it is not asked to keep; Ray's import sets its own log level."""
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "3600")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the ledger keeps why a trial failed


def fit(
    spec: StudySpec,
    manager: TrialManager,
    ledger: Ledger,
    folder: StudyFolder,
    address: str | None,
    progress: Progress,
) -> None:
    """Start or join Ray, train until the book hands out no more trials, leave Ray.

    Args:
        spec: the study.
        manager: hands out trials and takes in their results.
        ledger: how many trials are left.
        folder: where Tune may write, for as long as it runs.
        address: of a running Ray cluster; None starts Ray on this machine.
        progress: renewed as trials go on.
    """
    _quiet()
    ray.init(
        # without "local" Ray would first look for a cluster that somebody started here, and wait long for a dead one
        address=address or "local",
        include_dashboard=None if address else False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        configure_logging=False,
    )
    # Ray aborts a driver on SIGTERM; batch systems and service managers stop programs with it
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    scratch = folder.path / "tune"
    try:
        needs = {"cpu": spec.resources.cpus, "gpu": spec.resources.gpus}
        tuner = tune.Tuner(
            tune.with_resources(ImbalanceTrial, needs),
            tune_config=tune.TuneConfig(
                search_alg=LedgerSearcher(manager),
                scheduler=LedgerScheduler(manager),
                num_samples=-1,
                max_concurrent_trials=_concurrency(spec, ledger),
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=f"run-{int(time.time())}",
                storage_path=str(scratch),
                callbacks=[ProgressCallback(progress)],
                # trials write their own checkpoints; class Trainables are saved at their end otherwise
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        )
        tuner.fit()
    finally:
        ray.shutdown()
        shutil.rmtree(scratch, ignore_errors=True)


def _concurrency(spec: StudySpec, ledger: Ledger) -> int:
    if spec.search.concurrency is not None:
        return spec.search.concurrency
    cluster: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    fits = int(cluster.get("CPU", 1) // spec.resources.cpus)
    if spec.resources.gpus > 0:
        fits = min(fits, int(cluster.get("GPU", 0) / spec.resources.gpus))
    # a cluster that starts machines on demand has none before a trial asks
    return max(1, min(fits or _ON_DEMAND, ledger.remaining()))
