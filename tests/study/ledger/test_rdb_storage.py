"""Trials read as rows are the trials that Optuna's own storage reads."""

from __future__ import annotations

import math
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

from study.ledger.rdb_storage import BulkReadStorage

SPACE = {
    "sigma": FloatDistribution(0.1, 10.0, log=True),
    "margin": FloatDistribution(0.0, 1.0),
    "prototypes": IntDistribution(1, 8),
    "form": CategoricalDistribution(("a", "b")),
}


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database with a study of two metrics, trials in every state, and a second study beside it."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    for name in ("other", "study"):
        study = optuna.create_study(study_name=name, storage=url, directions=["maximize", "minimize"])
        for index in range(4):
            study.add_trial(
                create_trial(
                    values=[0.1 * index, math.inf],
                    params={"sigma": 0.5, "margin": 0.25, "prototypes": index + 1, "form": "ab"[index % 2]},
                    distributions=SPACE,
                    intermediate_values={1: 0.5, 3: math.nan, 2: -math.inf},
                    user_attrs={"param_source": "paper", "shared_epochs": {"needed": 3}},
                )
            )
        study.add_trial(create_trial(state=TrialState.PRUNED, params={}, distributions={}))
        study.enqueue_trial({"sigma": 2.0}, user_attrs={"param_source": "transfer"})
        running = study.ask()
        running.suggest_float("margin", 0.0, 1.0)
        running.suggest_float("sigma", 0.1, 10.0, log=True)
        study.tell(study.ask().number, state=TrialState.FAIL)
        study.enqueue_trial({"sigma": 3.0})
    return url


def test_the_same_trials_are_read_as_by_optuna(url: str) -> None:
    plain, bulk = RDBStorage(url), BulkReadStorage(url)
    study = plain.get_study_id_from_name("study")
    first, *_, last = (trial._trial_id for trial in plain.get_all_trials(study))
    for states in (None, (TrialState.COMPLETE,), (TrialState.RUNNING, TrialState.WAITING)):
        for named, newer in ((set(), -1), (set(), last - 2), ({first, first + 2, last}, last - 3), (set(), last)):
            expected = plain._get_trials(study, states, named, newer)
            found = bulk._get_trials(study, states, named, newer)
            assert list(map(repr, found)) == list(map(repr, expected))  # nan is not equal to itself
            assert [list(trial.params) for trial in found] == [list(trial.params) for trial in expected]
    assert len(bulk._get_trials(study, None, set(), -1)) == 8
    assert bulk._get_trials(study, None, set(), last) == []


def test_a_study_that_is_not_there_is_a_key_error(url: str) -> None:
    with pytest.raises(KeyError):
        BulkReadStorage(url).get_all_trials(99)
