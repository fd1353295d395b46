"""The sweeps that `sweep_overhead` and `many_trials` compare, each run in its own process; the last line is JSON."""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.driver_growth import Watch
from study.spec.cell import expand
from study.spec.study_spec import StudySpec

_LOW, _HIGH = 0.005, 0.5
_METRIC = "balanced_accuracy"
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "MLFLOW_DISABLE_TELEMETRY": "true"}
SAMPLES = "samples.jsonl"
"""File of a sweep's folder with the driver's memory and open files over time."""


@dataclass(frozen=True)
class SweepTimes:
    """Seconds of one sweep, measured after all imports and with an empty MLflow database in place.

    Attributes:
        trials: number of trained trials.
        concurrency: trials at a time.
        wall: from the call that starts the sweep to its return, Ray's start and stop included.
        ray: Ray's start and stop only.
        training: time in the training loop, measured inside the trials and summed.
    """

    trials: int
    concurrency: int
    wall: float
    ray: float
    training: float

    @property
    def overhead(self) -> float:
        """Seconds per trial that are neither training nor Ray's start and stop."""
        return (self.wall - self.ray - self.training / self.concurrency) / self.trials


def sweep_spec(trials: int, concurrency: int, epochs: int) -> StudySpec:
    """Return a study of very short trials: a perceptron on a few hundred images of 8x8 pixels."""
    return StudySpec.model_validate(
        {
            "name": "overhead",
            "data": [{"dataset": "digits", "profiles": [{"kind": "long_tail", "ratio": 50}]}],
            "methods": ["erm"],
            "model": "mlp",
            "training": {"epochs": epochs, "batch_size": 64, "lr": 0.05},
            "search": {
                "trials": trials,
                "concurrency": concurrency,
                "metric": _METRIC,
                "pruner": "none",
                "training": {"lr": {"low": _LOW, "high": _HIGH, "scale": "log"}},
            },
        }
    )


class _Stopwatch:
    """Adds up the seconds spent inside the functions it wraps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - began

        return timed


def _empty_store(folder: Path) -> str:
    from mlflow import MlflowClient

    uri = f"sqlite:///{folder / 'mlflow.db'}"
    MlflowClient(tracking_uri=uri).search_experiments()
    return uri


def _ended_runs(uri: str, experiment: str, trial_tag: str) -> int:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    places = [found.experiment_id for found in client.search_experiments() if found.name == experiment]
    runs = client.search_runs(places, "attributes.status = 'FINISHED'", max_results=50_000)
    return sum(trial_tag in run.data.tags for run in runs)


def _training_seconds(epochs: list[dict[Any, Any]], images: int) -> float:
    return sum(images / float(epoch["images_per_second"]) for epoch in epochs)


def _nothing() -> None:
    """Count no ended trial."""


def ours(
    trials: int,
    concurrency: int,
    epochs: int,
    folder: Path,
    *,
    address: str | None = None,
    ended: Callable[[], None] = _nothing,
) -> SweepTimes:
    """Run the sweep as ``study run`` does, with ledger, tracking, artifacts and reused actors.

    Args:
        trials: number of trials.
        concurrency: trials at a time.
        epochs: results of a trial.
        folder: storage of the study.
        address: a Ray cluster to join; None starts Ray.
        ended: called when a trial has ended.
    """
    import ray
    from rich.console import Console

    from study import tracking
    from study.driver import driver, ray_tune
    from study.driver.local_ray import LocalRay
    from study.driver.trial_manager import TrialManager
    from trainables.core.trial_folder import TrialFolder
    from trainables.data import prepare

    assert ray_tune  # imported before the clock
    spec, uri, clock = sweep_spec(trials, concurrency, epochs), _empty_store(folder), _Stopwatch()
    images = sum(prepare(expand(spec)[0].base.data).class_counts)
    ray.init, ray.shutdown = clock.around(ray.init), clock.around(ray.shutdown)
    # the wait for Ray's start and end on this machine
    waits: Any = LocalRay
    waits.address, waits.close = clock.around(waits.address), clock.around(waits.close)
    manager: Any = TrialManager
    manager.end = _before(manager.end, ended)
    began = time.perf_counter()
    outcome = driver.run(spec, folder, address=address, console=Console(file=io.StringIO()))
    if _ended_runs(uri, "overhead", "study.trial") < trials:  # the driver left some to `study record`
        tracking.record_study(outcome.folder)
    wall = time.perf_counter() - began
    folders = [TrialFolder(path) for path in folder.glob("overhead/cells/*/*/*/[0-9]*")]
    trained = [record for trial in folders for record in trial.history()]
    _check(len(trained) == trials * epochs, outcome.message)
    _check(_ended_runs(uri, "overhead", "study.trial") == trials, "MLflow lacks runs")
    return SweepTimes(trials, concurrency, wall, clock.seconds, _training_seconds(trained, images))


def _before(function: Callable[..., Any], act: Callable[[], None]) -> Callable[..., Any]:
    def both(*args: Any, **kwargs: Any) -> Any:
        act()
        return function(*args, **kwargs)

    return both


def stock(
    trials: int,
    concurrency: int,
    epochs: int,
    folder: Path,
    *,
    address: str | None = None,
    ended: Callable[[], None] = _nothing,
    reuse: bool = False,
) -> SweepTimes:
    """Run the sweep with Ray's own components, combined as in its documentation; arguments as in `ours`.

    Args:
        reuse: train trial after trial in one actor, which is not Tune's default.
    """
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.search.optuna import OptunaSearch

    from benchmarks.stock_trial import EndedTrials, StockTrial
    from trainables.data import prepare

    base, uri, clock = expand(sweep_spec(trials, concurrency, epochs))[0].base, _empty_store(folder), _Stopwatch()
    images = sum(prepare(base.data).class_counts)
    if address is None:
        clock.around(ray.init)("local", include_dashboard=False, log_to_driver=False)
    else:
        clock.around(ray.init)(address, log_to_driver=False)
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(StockTrial, trial=base.model_dump(mode="json")), {"cpu": 1}),
        param_space={"lr": tune.loguniform(_LOW, _HIGH)},
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(),
            metric=_METRIC,
            mode="max",
            num_samples=trials,
            max_concurrent_trials=concurrency,
            reuse_actors=reuse,
        ),
        run_config=tune.RunConfig(
            name="stock",
            storage_path=str(folder),
            callbacks=[MLflowLoggerCallback(tracking_uri=uri, experiment_name="stock"), EndedTrials(ended)],
        ),
    )
    began = time.perf_counter()
    results = tuner.fit()
    wall = time.perf_counter() - began
    clock.around(ray.shutdown)()
    frames = [results[index].metrics_dataframe for index in range(len(results))]
    trained = [record for frame in frames if frame is not None for record in frame.to_dict("records")]
    _check(len(trained) == trials * epochs, f"{len(trained)} results of {trials} trials")
    _check(_ended_runs(uri, "stock", "trial_name") == trials, "MLflow lacks runs")
    return SweepTimes(trials, concurrency, wall + clock.seconds, clock.seconds, _training_seconds(trained, images))


def _check(held: bool, message: str) -> None:
    if not held:
        raise RuntimeError(f"the sweep did not do its work: {message}")


SIDES: dict[str, Callable[..., SweepTimes]] = {
    "ours": ours,
    "stock": stock,
    "stock, actors reused": partial(stock, reuse=True),
}


def in_new_process(
    side: str, trials: int, concurrency: int, epochs: int, folder: Path, *, address: str | None = None
) -> SweepTimes:
    """Run one sweep in a new process; arguments as in `ours`.

    Raises:
        RuntimeError: the sweep failed.
    """
    numbers = [str(trials), str(concurrency), str(epochs)]
    place = [] if address is None else ["--address", address]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sweeps", side, *numbers, str(folder), *place],
        cwd=Path(__file__).parents[1],
        env={**os.environ, **_QUIET},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{side}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return SweepTimes(**json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Run one of the two sweeps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("trials", type=int)
    parser.add_argument("concurrency", type=int)
    parser.add_argument("epochs", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--address", help="of a Ray cluster to join; without it, Ray is started")
    given = parser.parse_args()
    with Watch(given.folder / SAMPLES) as watch:
        numbers = given.trials, given.concurrency, given.epochs
        times = SIDES[given.side](*numbers, given.folder, address=given.address, ended=watch.count)
    print(json.dumps(asdict(times)), flush=True)


if __name__ == "__main__":
    main()
