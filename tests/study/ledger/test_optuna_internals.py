"""Private parts of Optuna that the ledger relies on, and the versions they were checked with."""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.distributions import FloatDistribution
from optuna.samplers import QMCSampler
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from study.ledger.optuna_internals import (
    CHECKED,
    study_ids,
    trial_id,
    writable_trial,
)
from study.ledger.optuna_tables import TrialReadingStorage, models, table_of
from study.search.trial_params import QUEUED_PARAMS

COLUMNS = {
    models.TrialModel: {"trial_id", "number", "study_id", "state", "datetime_start", "datetime_complete"},
    models.TrialParamModel: {"param_id", "trial_id", "param_name", "param_value", "distribution_json"},
    models.TrialValueModel: {"trial_id", "objective", "value", "value_type"},
    models.TrialIntermediateValueModel: {"trial_id", "step", "intermediate_value", "intermediate_value_type"},
    models.TrialUserAttributeModel: {"trial_id", "key", "value_json"},
    models.TrialSystemAttributeModel: {"trial_id", "key", "value_json"},
}


def test_the_version_was_checked() -> None:
    version = tuple(int(part) for part in optuna.__version__.split(".")[:2])
    assert CHECKED[0] <= version <= CHECKED[1], (
        f"optuna {optuna.__version__} was not checked: run the tests of study/ledger and study/search, compare the "
        "tables in optuna.storages._rdb.models, RDBStorage._get_trials and QMCSampler._find_sample_id with what "
        "study/ledger/optuna_internals.py and study/search/sampler_factory.py rely on; then widen CHECKED"
    )


def test_tables_have_the_columns_that_are_read() -> None:
    for model, columns in COLUMNS.items():
        assert columns <= {column.name for column in table_of(model).columns}


def test_a_trial_of_another_process_can_be_written() -> None:
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(study_name="mine", storage=storage)
    optuna.create_study(study_name="other", storage=storage)
    assert study_ids(storage) == {name: storage.get_study_id_from_name(name) for name in ("mine", "other")}
    study.ask()
    (running,) = study.get_trials(deepcopy=False)
    assert trial_id(running) == storage.get_trial_id_from_study_id_trial_number(study_ids(storage)["mine"], 0)
    writable_trial(study, running).suggest_float("x", 0, 1)
    storage.set_trial_intermediate_value(trial_id(running), 3, 0.5)
    assert study.trials[0].intermediate_values == {3: 0.5}
    assert 0 <= study.trials[0].params["x"] <= 1


def test_a_queued_trial_keeps_its_params_where_they_are_looked_for() -> None:
    study = optuna.create_study()
    study.enqueue_trial({"x": 0.25})
    assert study.trials[0].state == TrialState.WAITING
    assert study.trials[0].system_attrs[QUEUED_PARAMS] == {"x": 0.25}


def test_a_database_reads_all_trials_by_the_hook(tmp_path: Path) -> None:
    read: list[int] = []

    class Counting(TrialReadingStorage):
        def read_trials(self, study_id, states, included_ids, newer_than):  # type: ignore[no-untyped-def]
            read.append(study_id)
            return super().read_trials(study_id, states, included_ids, newer_than)

    url = f"sqlite:///{tmp_path}/ledger.db"
    study = optuna.create_study(storage=Counting(url))
    study.tell(study.ask({"x": FloatDistribution(0, 1)}), 1.0)
    assert [trial.value for trial in study.trials] == [1.0]
    assert read
    assert [t.value for t in RDBStorage(url).get_all_trials(study_ids(Counting(url))[study.study_name])] == [1.0]


def test_the_sampler_of_a_sequence_has_the_hook_that_numbers_its_points() -> None:
    assert callable(QMCSampler._find_sample_id)
