"""The Python interface: a real study from start to trained network, and its data frames against what was stored."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import study
from study import BadInput, Study, load_model, train
from study.spec.yaml_io import write_yaml
from tests.study.made_study import EPOCHS, MadeStudy, spec_of
from trainables.data import load

SMALL: dict[str, Any] = {
    "name": "small",
    "question": "Does CCE help?",
    "data": [{"dataset": "digits", "profiles": [{"kind": "long_tail", "ratio": 10}]}],
    "methods": ["erm", "cce"],
    "model": "mlp",
    "training": {"epochs": 2, "batch_size": 64, "lr": 0.05},
    "search": {"trials": 1, "pruner": "none"},
    "confirm": {"seeds": 1},
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Run a study of two methods, with one confirmation seed."""
    made = Study.from_dict(SMALL, storage=tmp_path_factory.mktemp("runs"))
    assert made.state == "new"
    assert made.run(quiet=True) is made
    return made


def test_a_study_runs_and_its_results_are_data_frames(ended: Study) -> None:
    assert ended.state == "finished"
    status = ended.status()
    assert status.attrs == {"study": "small", "state": "finished"}
    assert list(status.method) == ["erm", "cce"]
    assert list(status.complete) == [1, 1]
    assert list(status.confirmed) == [1, 1]
    trials = ended.trials()
    assert list(trials.phase) == ["search", "confirm", "search", "confirm"]
    assert trials.balanced_accuracy.between(0.1, 1).all()
    assert trials[trials.phase == "search"].test_accuracy.isna().all()
    confirmed = ended.confirmed()
    tested = trials[trials.phase == "confirm"].set_index("method").test_balanced_accuracy
    for row in confirmed.itertuples():
        assert row.mean == tested[row.method]
    assert len(ended.trials(epochs=True)) == 4 * 2
    assert set(ended.recall().on) == {"validation", "test"}


def test_the_loaded_model_predicts_what_the_confirmation_recorded(ended: Study) -> None:
    best = ended.best("cce")
    with pytest.raises(BadInput, match=r"keeps no checkpoint; its confirmation does: .*confirmations\[0\]"):
        load_model(best)
    confirmed = best.confirmations[0]
    network = load_model(confirmed)
    test = load(confirmed.config.data).test()
    with torch.no_grad():
        predicted = network(torch.as_tensor(np.asarray(test.images))).argmax(1).numpy()
    assert confirmed.test_metrics is not None
    assert (predicted == np.asarray(test.labels)).mean() == pytest.approx(confirmed.test_metrics["accuracy"], abs=1e-6)


def test_a_second_run_is_refused_and_a_resume_raises_the_budget(ended: Study) -> None:
    with pytest.raises(BadInput, match="exists already"):
        ended.run(quiet=True)
    ended.resume({"search.trials": 2}, quiet=True)
    assert list(ended.status().complete) == [2, 2]
    with pytest.raises(BadInput, match=r"must be at least 2"):
        ended.resume({"search.trials": 1}, quiet=True)


def test_the_frames_agree_with_the_stored_trials(tmp_path: Path) -> None:
    spec = spec_of(methods=["erm", "cce"], search={"trials": 1, "pruner": "none"}, confirm={"seeds": 3})
    made = MadeStudy(tmp_path, spec)
    done = made.complete()
    made.complete("erm")
    made.confirm(lambda trial: 0.5 + 0.1 * ((trial.seed or 0) % 7) + (0.05 if trial.cell.method == "cce" else 0))
    found = Study("made", tmp_path)
    best = found.best("cce")
    assert best.params == done.params
    assert best.metrics["balanced_accuracy"] == made.files(done).history()[-1]["balanced_accuracy"]
    assert len(best.history()) == EPOCHS
    assert len(best.confirmations) == 3
    confirmed = found.confirmed()
    assert isinstance(confirmed, pd.DataFrame)
    cce = confirmed[(confirmed.method == "cce") & (confirmed.setting == "best")].iloc[0]
    assert cce.over_baseline == pytest.approx(0.05)
    assert cce["mean"] == pytest.approx(np.mean([trial.test_metrics["accuracy"] for trial in best.confirmations]))
    page = tmp_path / "page.html"
    assert found.report(page) == [page]
    assert "<html" in page.read_text()


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"the study: search.trials: "):
        Study.from_dict({**SMALL, "search": {"trials": 0}}, storage=tmp_path)
    file = tmp_path / "small.yaml"
    file.write_text(write_yaml(SMALL))
    given = Study.from_file(file, overrides={"search.trials": 3, "training": {"epochs": 4}}, storage=tmp_path)
    assert (given.spec.search.trials, given.spec.training.epochs) == (3, 4)
    for read in (given.status, given.trials, given.resume):
        with pytest.raises(BadInput, match="small"):
            read()
    with pytest.raises(BadInput, match=r"resume\(\) continues it"):
        Study("small", tmp_path).run()
    made = MadeStudy(tmp_path)
    found = Study("made", tmp_path)
    with pytest.raises(BadInput, match=r"name one cell of .*erm.*cce"):
        found.best()
    with pytest.raises(BadInput, match="unknown cell"):
        found.best("focal")
    with pytest.raises(BadInput, match="no complete trial"):
        found.best("cce")
    with pytest.raises(BadInput, match="has no confirmation"):
        found.confirmed()
    made.complete()
    assert found.best("cce").confirmations == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "resnet23"}, "model: unknown model 'resnet23'; did you mean 'resnet"),
        (
            {"model": {"name": "mlp", "options": {"depth": 3}}},
            "model: `options` are for networks of timm, and mlp is none",
        ),
        ({"data": [{**SMALL["data"][0], "dataset": "digts"}]}, "unknown data set 'digts'; did you mean 'digits'"),
        ({"data": [{**SMALL["data"][0], "image_size": 4}], "model": "resnet32"}, "image_size"),
    ],
)
def test_a_mapping_is_checked_as_study_check_does(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        Study.from_dict({**SMALL, **change}, storage=tmp_path)
    assert said in str(caught.value)
    file = tmp_path / "small.yaml"
    file.write_text(write_yaml({**SMALL, **change}))
    with pytest.raises(BadInput) as of_file:
        Study.from_file(file, storage=tmp_path)
    assert said in str(of_file.value)


def test_a_stored_study_is_read_where_its_data_are_not(tmp_path: Path) -> None:
    data = [{"dataset": "lost", "profiles": [{"kind": "natural"}]}]
    MadeStudy(tmp_path, spec_of(data=data))
    assert Study.from_dict({**SMALL, "name": "made", "data": data}, storage=tmp_path).state == "interrupted"


def test_one_training_goes_on_from_its_folder(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"model": "mlp", "ratio": 10, "batch_size": 64, "quiet": True}
    first = train("ldam-drw", epochs=2, output=tmp_path / "kept", test=True, **settings)
    again = train("ldam-drw", epochs=2, output=tmp_path / "kept", test=True, **settings)
    pd.testing.assert_frame_equal(first.epochs, again.epochs)
    assert first.test == again.test
    assert list(first.epochs.epoch) == [1, 2]
    images = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
    assert torch.equal(first.model(images), again.model(images))
    with pytest.raises(BadInput, match="unknown key 'epohcs'; did you mean 'epochs'"):
        train("erm", epohcs=2)
    with pytest.raises(BadInput, match="unknown method 'emr'; did you mean 'erm'"):
        train("emr")


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, study; dir(study); sys.exit(bool({'pandas', 'torch', 'optuna', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert set(study.__all__) <= set(dir(study))
    with pytest.raises(AttributeError, match="has no attribute 'studdy'"):
        study.studdy  # noqa: B018
