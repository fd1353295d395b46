"""kill -9 of a study with pruning, shared trainings, transfers and confirmation; one trial at a time.

With one worker, trials end in the order they start, so the study file alone determines the transfers.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from study.ledger.storage import open_storage
from study.ledger.study_ledger import Ledger
from study.search.trial_params import ENDED_WITH
from study.spec.cell import expand
from study.store.study_folder import SHARED
from tests.faults.fault_lab import Lab, Undisturbed, timeless, wait_until
from trainables.core.storage_path import files_below
from trainables.core.trial_folder import PACK, TrialFolder
from trainables.shared_trainings.stored_trainings import shared_entries

pytestmark = pytest.mark.timeout(900)  # starting Ray takes long on a busy machine

EPOCHS, TRIALS, SEEDS = 10, 7, 2
STUDY: dict[str, Any] = {
    "name": "everything",
    "data": [{"dataset": "digits", "validation_fraction": 0.2, "profiles": [{"ratio": [10, 20]}]}],
    "methods": ["drw", "elm"],
    "model": "mlp",
    "training": {"epochs": EPOCHS, "batch_size": 32, "lr": 0.05, "checkpoint_seconds": 0, "precision": "float32"},
    "search": {
        "trials": TRIALS,
        "concurrency": 1,
        "searcher": "tpe",
        "transfer": True,
        "pruner": {"name": "median", "startup_trials": 2},
    },
    "confirm": {"seeds": SEEDS},
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The study trained one trial at a time, without shared trainings."""
    return Undisturbed(STUDY, tmp_path_factory.mktemp("undisturbed") / "study")


def _content(ledger: Ledger) -> dict[str, Any]:
    """Return the content of a ledger, without times and shared epochs."""
    return {
        f"{place}/{trial.number:05d}": (
            trial.state.name,
            trial.params,
            trial.intermediate_values,
            trial.values,
            {name: said for name, said in trial.user_attrs.items() if name not in ("shared_epochs", ENDED_WITH)},
        )
        for place, cell in ledger.places.items()
        for trial in cell.trials()
    }


def _check(lab: Lab, undisturbed: Undisturbed, kills: int) -> None:
    view = lab.view()
    ledger = Ledger(view.spec, expand(view.spec), open_storage(lab.path, None))
    found, expected = _content(ledger), _content(undisturbed.ledger)
    assert found == expected
    said = [attributes.get("param_source", "") for *_, attributes in found.values()]
    assert sum(source.startswith("transfer: ") for source in said) >= 1
    assert any(state == "PRUNED" for state, *_ in found.values())
    confirmed = {key for key in found if "/confirm/" in key}
    assert len(confirmed) >= 4 * SEEDS
    _check_files(lab, undisturbed, confirmed)
    _check_shared(lab, ledger, kills)
    _check_records(lab, {key: state for key, (state, *_) in found.items()})


def _check_files(lab: Lab, undisturbed: Undisturbed, confirmed: set[str]) -> None:
    """All numbers equal the undisturbed study's, and only confirmation trials have test results."""
    folders = {file.folder for file in files_below(lab.path / "cells") if file.name in ("trial.json", PACK)}
    assert folders == undisturbed.records.keys()
    for key, folder in ((key, TrialFolder(lab.path / "cells" / key)) for key in folders):
        assert [timeless(record) for record in folder.history()] == undisturbed.records[key], key
        assert (folder.test() is not None) == (key in confirmed), key


def _check_shared(lab: Lab, ledger: Ledger, kills: int) -> None:
    """Every shared training is complete and was trained once, apart from epochs interrupted by a kill."""
    entries = shared_entries(lab.storage / SHARED)
    assert entries
    shared_prefix = max(cell.cell.pruning_start_epoch for cell in ledger.cells.values())
    attributes = [trial.user_attrs for cell in ledger.places.values() for trial in cell.trials()]
    spent = [told["shared_epochs"] for told in attributes if "shared_epochs" in told]
    assert sum(one["trained"] for one in spent) <= len(entries) * shared_prefix + kills
    assert sum(one["adopted"] for one in spent) >= len(entries) * shared_prefix


def _check_records(lab: Lab, states: dict[str, str]) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{lab.storage}/mlflow.db")
    experiment = client.get_experiment_by_name(STUDY["name"])
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    tagged = [run.data.tags for run in runs if "study.trial" in run.data.tags]
    assert {(tags["study.trial"], tags["study.state"]) for tags in tagged} == set(states.items())
    assert len(tagged) == len(states)
    assert all(run.info.status == "FINISHED" for run in runs)


def _shared_is_being_trained(lab: Lab) -> bool:
    return any(not entry.pinned and entry.bytes for entry in shared_entries(lab.storage / SHARED))


def _confirming(lab: Lab) -> int:
    found = (lab.path / "cells" / file.folder for file in files_below(lab.path / "cells"))
    return sum(TrialFolder(folder).test() is not None for folder in {*found} if folder.parent.name == "confirm")


def _kill_when(lab: Lab, running: Any, happened: Callable[[], bool], what: str) -> None:
    wait_until(lambda: happened() or running.process.poll() is not None, what)
    running.kill_everything()


def test_killed_while_sharing_taking_over_and_confirming_a_study_loses_nothing(
    lab: Lab, undisturbed: Undisturbed
) -> None:
    running = lab.run(STUDY)
    _kill_when(lab, running, lambda: _shared_is_being_trained(lab), "a shared training")
    running = lab.resume()
    _kill_when(lab, running, lambda: lab.ended() >= 4 * TRIALS - 5, "cells to take over values")
    running = lab.resume()
    _kill_when(lab, running, lambda: _confirming(lab) >= 3, "three test results")
    lab.finish()
    _check(lab, undisturbed, kills=3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_killed_at_random_moments_with_everything_on_a_study_loses_nothing(
    seed: int, lab: Lab, undisturbed: Undisturbed
) -> None:
    moments = random.Random(seed)
    running, kills = lab.run(STUDY), 0
    wait_until(lambda: (lab.path / "study.yaml").exists(), "the study to exist")
    while running.process.poll() is None and kills < 3:
        end = time.monotonic() + moments.uniform(0, 35)
        _kill_when(lab, running, lambda: time.monotonic() >= end, "the moment")  # noqa: B023
        kills += 1
        running = lab.resume()
    code = running.wait()
    assert code == 0, running.output()
    _check(lab, undisturbed, kills=kills)
