"""Fill a ledger quickly with trials that were never trained, to measure it at large sizes."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import insert, select

from search_spaces import Space, distributions_of
from study.ledger.optuna_tables import models

PRUNED_SHARE = 0.4


def ended_trials(space: Space, epochs: int, count: int, rng: random.Random) -> Iterator[FrozenTrial]:
    """Generate ended trials, some of them pruned.

    Args:
        space: the cell's search space.
        epochs: budget of a trial.
        count: number of trials.
        rng: draws params, curve heights and the pruned trials.
    """
    searched = distributions_of(space)
    for _ in range(count):
        reached = rng.randint(1, epochs - 1) if rng.random() < PRUNED_SHARE else epochs
        height = rng.random()
        yield create_trial(
            state=TrialState.COMPLETE if reached == epochs else TrialState.PRUNED,
            value=height if reached == epochs else None,
            params={name: _drawn(distribution, rng) for name, distribution in searched.items()},
            distributions=searched,
            intermediate_values={epoch: height * epoch / epochs for epoch in range(1, reached + 1)},
        )


def _drawn(distribution: BaseDistribution, rng: random.Random) -> Any:
    match distribution:
        case CategoricalDistribution():
            return rng.choice(distribution.choices)
        case IntDistribution():
            return rng.randint(distribution.low, distribution.high)
        case FloatDistribution(log=True):
            return math.exp(rng.uniform(math.log(distribution.low), math.log(distribution.high)))
        case FloatDistribution():
            return rng.uniform(distribution.low, distribution.high)
    raise TypeError(distribution)


def fill(storage: BaseStorage, study_id: int, trials: list[FrozenTrial]) -> None:
    """Add trials to a study; a database receives them in bulk, because Optuna takes 70 ms for each."""
    if isinstance(storage, RDBStorage):
        _fill_database(storage, study_id, trials)
    else:
        for trial in trials:
            storage.create_new_trial(study_id, template_trial=trial)


def _fill_database(storage: RDBStorage, study_id: int, trials: list[FrozenTrial]) -> None:
    begin, now = storage.get_n_trials(study_id), datetime.now()
    with storage.engine.begin() as connection:
        rows = [
            {
                "number": begin + offset,
                "study_id": study_id,
                "state": trial.state,
                "datetime_start": now,
                "datetime_complete": now,
            }
            for offset, trial in enumerate(trials)
        ]
        connection.execute(insert(models.TrialModel), rows)
        new = models.TrialModel.study_id == study_id, models.TrialModel.number >= begin
        ordered = select(models.TrialModel.trial_id).where(*new).order_by(models.TrialModel.number)
        ids = list(connection.scalars(ordered))
        for model, rows in _parts(ids, trials):
            connection.execute(insert(model), rows)


def _parts(ids: list[int], trials: list[FrozenTrial]) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    pairs = list(zip(ids, trials, strict=True))
    yield (
        models.TrialParamModel,
        [
            {
                "trial_id": number,
                "param_name": name,
                "param_value": distribution.to_internal_repr(trial.params[name]),
                "distribution_json": distribution_to_json(distribution),
            }
            for number, trial in pairs
            for name, distribution in trial.distributions.items()
        ],
    )
    yield (
        models.TrialValueModel,
        [
            {"trial_id": number, "objective": 0, "value": trial.value, "value_type": "FINITE"}
            for number, trial in pairs
            if trial.state == TrialState.COMPLETE
        ],
    )
    yield (
        models.TrialIntermediateValueModel,
        [
            {
                "trial_id": number,
                "step": step,
                "intermediate_value": value,
                "intermediate_value_type": "FINITE",
            }
            for number, trial in pairs
            for step, value in trial.intermediate_values.items()
        ],
    )
