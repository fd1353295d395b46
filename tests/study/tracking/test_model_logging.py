from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from mlflow.models import Model

from study.ledger.cell_ledger import Assignment
from study.tracking import record_study
from tests.study.made_study import MadeStudy, spec_of
from tests.study.tracking.conftest import Dump

_PREDICT = """
import sys, numpy as np, mlflow
model = mlflow.pyfunc.load_model(sys.argv[1])
images = np.load(sys.argv[2])
np.save(sys.argv[3], model.predict(images))
assert not [name for name in sys.modules if name.split(".")[0] in ("study", "trainables", "search_spaces")]
"""


def export(made: MadeStudy, trial: Assignment) -> tuple[torch.nn.Module, np.ndarray]:
    """Store a small exported network in a trial's folder, as the trial's process does."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).eval()
    images = np.random.default_rng(0).random((4, 1, 8, 8), dtype=np.float32)
    given, batch = torch.as_tensor(images), {0: torch.export.Dim("images", min=1)}
    content = io.BytesIO()
    torch.export.save(torch.export.export(network, (given,), dynamic_shapes=(batch,)), content)
    files = made.files(trial)
    files.write_program(content.getvalue())
    with torch.no_grad():
        files.write_arrays("model", {"images": images, "logits": network(given).numpy(), "of_test": np.array(True)})
    return network, images


@pytest.fixture
def made(storage: Path) -> MadeStudy:
    spec = spec_of(methods=["cce"], search={"trials": 1, "pruner": "none"}, confirm={"seeds": 1})
    made = MadeStudy(storage, spec)
    made.complete()
    return made


def test_a_logged_model_predicts_without_the_projects_code(
    made: MadeStudy, client: MlflowClient, dump: Callable[[], Dump], tmp_path: Path
) -> None:
    (trial,) = made.confirm(lambda trial: 0.75)
    network, _ = export(made, trial)
    record_study(made.folder)

    run = next(run for run in dump().values() if run["tags"].get("study.kind") == "confirmed")
    model = client.get_logged_model(run["tags"]["study.model"])
    assert model.status == "READY" and model.source_run_id == run["id"]
    assert model.tags["test/balanced_accuracy"] == "0.75"
    place = Path(model.artifact_location.removeprefix("file://"))
    images = np.random.default_rng(1).random((7, 1, 8, 8), dtype=np.float32)
    np.save(tmp_path / "images.npy", images)
    files = [str(place), str(tmp_path / "images.npy"), str(tmp_path / "found.npy")]
    subprocess.run([sys.executable, "-I", "-c", _PREDICT, *files], check=True, cwd=tmp_path, timeout=200)
    with torch.no_grad():
        wanted = network(torch.as_tensor(images)).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), wanted, rtol=1e-4, atol=1e-4)
    assert json.loads((place / "input_example.json").read_text())
    signature = Model.load(str(place)).signature
    assert signature.inputs.input_types() == [np.dtype("float32")]
    assert [spec.shape for spec in (*signature.inputs, *signature.outputs)] == [(-1, 1, 8, 8), (-1, 10)]

    record_study(made.folder)
    assert len(client.search_logged_models([model.experiment_id])) == 1


def test_a_death_while_a_model_is_logged_leaves_one_model(
    made: MadeStudy, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    (trial,) = made.confirm(lambda trial: 0.75)
    export(made, trial)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "finalize_logged_model", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            record_study(made.folder)
    record_study(made.folder)
    experiment = client.get_experiment_by_name("made").experiment_id
    (model,) = client.search_logged_models([experiment])
    assert model.status == "READY"
