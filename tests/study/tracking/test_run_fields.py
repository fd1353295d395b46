from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name

from study.store.study_view import trial_view
from study.tracking.data_inputs import data_of
from study.tracking.metric_keys import EPOCH_METRICS, recall_keys
from study.tracking.run_fields import epoch_times, metrics, trial_parameters, trial_tags
from tests.study.made_study import MadeStudy
from trainables.core.metric_names import METRICS
from trainables.methods.registry import METHODS

NAMES = st.lists(st.text(max_size=30), min_size=1, max_size=20)


@given(NAMES)
def test_recall_keys_are_unique_and_mlflow_takes_them(names: list[str]) -> None:
    keys = recall_keys(names)
    assert len(set(keys)) == len(names)
    for key in keys:
        _validate_metric_name(key)
        assert key.startswith("validation/recall/")
        assert key.count("/") == 2


def test_metrics_are_those_that_an_epoch_has() -> None:
    assert set(EPOCH_METRICS) <= {*METRICS, "learning_rate", "images_per_second"}


def test_no_hyperparameter_hides_a_parameter_of_every_trial(made: MadeStudy) -> None:
    trial = made.complete("erm")
    cell = made.ledger.of(trial)
    view = trial_view(cell.cell, cell.trials()[0], made.folder.path)
    general = set(trial_parameters(view, view.config))
    for name, method in METHODS.items():
        assert not general & set(method.params.model_fields), name


def test_test_images_that_are_no_split_of_the_data_set_are_recorded(made: MadeStudy) -> None:
    made.described = {"test_images": "drawn: 20 % of every class, test_seed 0"}
    trial = made.complete("erm")
    cell = made.ledger.of(trial)
    view = trial_view(cell.cell, cell.trials()[0], made.folder.path)
    stored = view.stored_config()
    assert trial_tags(view, stored)["test_images"] == "drawn: 20 % of every class, test_seed 0"
    data = data_of(view, stored, view.evaluation())
    assert data is not None and data.profile["test_images"] == "drawn: 20 % of every class, test_seed 0"


def test_searched_values_come_first(made: MadeStudy) -> None:
    trial = made.complete("cce")
    cell = made.ledger.of(trial)
    view = trial_view(cell.cell, cell.trials()[0], made.folder.path)
    assert next(iter(trial_parameters(view, view.config))) == "gamma"


def test_epochs_end_a_training_time_apart() -> None:
    history = [{"epoch": e, "images_per_second": pace} for e, pace in ((1, 50.0), (2, 100.0), (3, math.nan))]
    assert epoch_times(history, 1000, images=100) == {1: 3000, 2: 4000, 3: 4001}
    assert epoch_times(history, 0, images=0) == {1: 1, 2: 2, 3: 3}


def test_only_finite_numbers_become_metrics() -> None:
    values = {"a": 1, "b": math.nan, "c": math.inf, "d": None}.items()
    assert [(m.key, m.value, m.step, m.timestamp) for m in metrics(values, 3, 9)] == [("a", 1.0, 3, 9)]
