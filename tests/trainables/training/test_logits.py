from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from trainables.core.config import TrialConfig
from trainables.core.logit_file import LOGIT_FILE, read_logits
from trainables.core.metrics import confusion_matrix
from trainables.core.trial_folder import TrialFolder
from trainables.data import load
from trainables.training.final_artifacts import write_final_artifacts
from trainables.training.logits import logits
from trainables.training.trainer import Trainer

MakeTrial = Callable[..., TrialConfig]


def _trained(config: TrialConfig) -> Trainer:
    trainer = Trainer(config, load(config.data))
    while not trainer.finished:
        trainer.run_epoch()
    return trainer


@pytest.mark.parametrize("method", ["erm", "posthoc-logit-adjustment", "tau-norm", "affinity", "empirical-offset"])
def test_kept_predictions_are_those_of_the_evaluation(make_trial: MakeTrial, method: str) -> None:
    trainer = _trained(make_trial(method))
    kept = logits(trainer, of_test=True)
    for name, split in {"validation": trainer.data.validation, "test": trainer.data.test()}.items():
        found = kept.splits[name]
        predicted, labels = torch.from_numpy(found.predictions), torch.from_numpy(found.labels)
        assert torch.equal(labels, split.labels)
        assert torch.equal(confusion_matrix(predicted, labels, 10), trainer.evaluate(split).confusion)
        assert np.array_equal(found.logits.argmax(axis=1), found.predictions)
    assert (kept.posthoc_value is None) == (trainer.plan.posthoc is None)
    assert kept.class_counts == tuple(trainer.data.class_counts.tolist())


def test_a_search_trial_keeps_validation_logits_alone_and_reads_no_test_image(
    make_trial: MakeTrial, tmp_path: Path
) -> None:
    trainer = _trained(make_trial(epochs=1))
    object.__setattr__(trainer.data, "read_test", lambda: pytest.fail("a test image was read"))
    write_final_artifacts(trainer, TrialFolder(tmp_path), ["logits"], of_test=False)
    assert list(read_logits(tmp_path).splits) == ["validation"]


def test_a_damaged_file_is_written_again_and_a_whole_one_is_not(make_trial: MakeTrial, tmp_path: Path) -> None:
    trainer, path = _trained(make_trial(epochs=1)), tmp_path / LOGIT_FILE
    for content in (b"", b"PAR1"):
        path.write_bytes(content)
        write_final_artifacts(trainer, TrialFolder(tmp_path), ["logits"], of_test=True)
        assert read_logits(tmp_path) is not None
    before = path.stat().st_mtime_ns, path.stat().st_ino
    write_final_artifacts(trainer, TrialFolder(tmp_path), ["logits"], of_test=True)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before


def test_logits_that_are_not_finite_cost_the_artifact_and_are_named(make_trial: MakeTrial, tmp_path: Path) -> None:
    trainer = _trained(make_trial(epochs=1))
    with torch.no_grad():
        next(trainer.network.head.parameters()).fill_(float("nan"))
    write_final_artifacts(trainer, TrialFolder(tmp_path), ["logits"], of_test=False)
    (said,) = TrialFolder(tmp_path).record("artifact-errors").values()
    assert "validation images are not finite" in said and not (tmp_path / LOGIT_FILE).exists()
