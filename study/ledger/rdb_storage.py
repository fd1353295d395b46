"""Optuna's database storage with bulk reads: a few statements per study instead of one object per value."""

from __future__ import annotations

import json
import weakref
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from optuna.distributions import json_to_distribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import ColumnElement, Connection, or_, select

from study.ledger.optuna_tables import TrialReadingStorage, models, table_of

_distribution = lru_cache(maxsize=1024)(json_to_distribution)
"""Trials of a cell share their distributions, which are never modified."""
_VALUE = models.TrialValueModel.stored_repr_to_value
_STEP = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value
_TRIALS: Any = table_of(models.TrialModel)


class BulkReadStorage(TrialReadingStorage):
    """An Optuna database storage that reads trials as rows.

    Optuna builds an object for every parameter and intermediate value through SQLAlchemy's unit of work, which takes
    half a minute for 10,000 trials of ten epochs. The values read and written are identical. The connections are
    closed when nothing holds the storage any more.
    """

    def __init__(self, url: str, engine_settings: dict[str, Any] | None = None) -> None:
        """Connect to the database and create Optuna's tables if they are missing.

        Args:
            url: of the database, with its password.
            engine_settings: arguments for SQLAlchemy's ``create_engine``.
        """
        super().__init__(url, engine_settings)
        weakref.finalize(self, self.engine.dispose)

    def read_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_ids: set[int],
        newer_than: int,
    ) -> list[FrozenTrial]:
        """Return the same trials as the overridden method, from rows."""
        trial = _TRIALS.c
        chosen: list[ColumnElement[bool]] = [trial.study_id == study_id]
        if states is not None:
            assert isinstance(states, Iterable)
            chosen.append(trial.state.in_(list(states)))
        if newer_than > -1:
            named = [number for number in included_ids if number <= newer_than]
            newer = trial.trial_id > newer_than
            chosen.append(or_(newer, trial.trial_id.in_(named)) if named else newer)
        with self.engine.connect() as connection:
            found = list(_trials(connection, chosen))
        if not found:
            self.get_study_name_from_id(study_id)  # raises KeyError; a study with trials exists
        return found


def _trials(connection: Connection, chosen: list[ColumnElement[bool]]) -> Iterator[FrozenTrial]:
    names = ("trial_id", "number", "state", "datetime_start", "datetime_complete")
    columns = [_TRIALS.c[name] for name in names]
    heads = connection.execute(select(*columns).where(*chosen).order_by(_TRIALS.c.trial_id)).all()
    if not heads:
        return

    def parts(model: Any, *names: str) -> dict[int, list[tuple[Any, ...]]]:
        """Return trial id -> rows of a table, ordered by the first column."""
        table = table_of(model)
        columns = [table.c[name] for name in names]
        query = select(table.c.trial_id, *columns).join(_TRIALS, _TRIALS.c.trial_id == table.c.trial_id)
        found = defaultdict(list)
        for trial, *row in connection.execute(query.where(*chosen).order_by(columns[0])):
            found[trial].append(tuple(row))
        return found

    params = parts(models.TrialParamModel, "param_id", "param_name", "param_value", "distribution_json")
    values = parts(models.TrialValueModel, "objective", "value", "value_type")
    steps = parts(models.TrialIntermediateValueModel, "step", "intermediate_value", "intermediate_value_type")
    user = parts(models.TrialUserAttributeModel, "key", "value_json")
    system = parts(models.TrialSystemAttributeModel, "key", "value_json")
    for head in heads:
        key = head.trial_id
        searched = {name: (_distribution(text), stored) for _, name, stored, text in params.get(key, ())}
        yield FrozenTrial(
            number=head.number,
            state=head.state,
            value=None,
            values=[_VALUE(stored, kind) for _, stored, kind in values[key]] if key in values else None,
            datetime_start=_local(head.datetime_start),
            datetime_complete=_local(head.datetime_complete),
            params={name: distribution.to_external_repr(stored) for name, (distribution, stored) in searched.items()},
            distributions={name: distribution for name, (distribution, _) in searched.items()},
            user_attrs={name: json.loads(text) for name, text in user.get(key, ())},
            system_attrs={name: json.loads(text) for name, text in system.get(key, ())},
            intermediate_values={step: _STEP(stored, kind) for step, stored, kind in steps.get(key, ())},
            trial_id=key,
        )


def _local(stored: datetime | None) -> datetime | None:
    """Convert a stored UTC time to this machine's time zone, which Optuna's trials use."""
    return None if stored is None else stored.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
