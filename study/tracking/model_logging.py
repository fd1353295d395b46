"""The exported network of a confirmed trial as an MLflow model, with signature and input example."""

from __future__ import annotations

import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from study.store.study_view import TrialView
from study.tracking.metric_keys import TEST_METRICS, test_key
from study.tracking.run_fields import cell_tags
from trainables.core.trial_folder import TrialFolder
from trainables.core.trial_task import MODEL

if TYPE_CHECKING:
    from study.tracking.run_index import KnownRun, Runs

MODEL_TAG = "study.model"
"""Tag of a run with the id of its logged model."""

_LOADER = "exported_classifier"


def log_model(runs: Runs, run: KnownRun, view: TrialView) -> None:
    """Log the exported network of a trial, if it has one and its run has no model yet.

    A model is logged whole or not at all: its run is tagged last, and what a killed process left unfinished is deleted.
    """
    folder = TrialFolder(view.folder)
    example = folder.arrays(MODEL)
    if MODEL_TAG in run.tags or example is None or not folder.program_path.exists():
        return
    from mlflow.entities import LoggedModelOutput

    client, experiment = runs.client, runs.experiment
    for left in client.search_logged_models([experiment], filter_string=f"source_run_id = '{run.id}'"):
        client.delete_logged_model(left.model_id)
    test = (view.test() or {}).get("metrics", {})
    tags = cell_tags(view.cell) | {f"{test_key(n)}": f"{test[n]:.6g}" for n in TEST_METRICS if n in test}
    name = f"{view.cell.method}-{view.cell.profile}-{view.cell.dataset}-seed{view.confirms}"
    model = client.create_logged_model(
        experiment, name=_plain(name), source_run_id=run.id, tags=tags, model_type="classifier"
    )
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "model"
        with folder.program() as program:
            write_model(place, program, example["images"], example["logits"])
        client.log_model_artifacts(model.model_id, str(place))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run.id, [LoggedModelOutput(model.model_id, step=0)])
    runs.write(run, (), {MODEL_TAG: model.model_id})


def write_model(place: Path, program: Path, images: object, logits: object) -> None:
    """Write an MLflow model that needs torch, numpy and MLflow to be loaded, and nothing of this project.

    Args:
        place: the model's folder, which must not exist.
        program: the exported network.
        images: an example (n, C, H, W), as the network takes it.
        logits: its logits (n, K).
    """
    import mlflow.pyfunc
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    given, found = np.asarray(images), np.asarray(logits)
    signature = ModelSignature(
        Schema([TensorSpec(given.dtype, (-1, *given.shape[1:]))]),
        Schema([TensorSpec(found.dtype, (-1, *found.shape[1:]))]),
    )
    with tempfile.TemporaryDirectory() as scratch:
        loader = Path(scratch) / f"{_LOADER}.py"
        shutil.copy(Path(__file__).with_name(loader.name), loader)  # importing it would import torch
        mlflow.pyfunc.save_model(
            str(place),
            loader_module=_LOADER,
            data_path=str(program),
            code_paths=[str(loader)],
            signature=signature,
            input_example=given,
            pip_requirements=[f"torch=={version('torch').partition('+')[0]}", f"numpy=={version('numpy')}"],
        )
    np.save(place / "example_logits.npy", found)


def _plain(name: str) -> str:
    """Return a name without the characters that MLflow refuses in a model's."""
    return "".join("-" if character in "/:.%\"'" else character for character in name)
