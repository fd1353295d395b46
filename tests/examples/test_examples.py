"""The examples are short, keep the contract, and make a study together."""

from __future__ import annotations

from pathlib import Path

import pytest

from study.spec.study_plugins import activate_plugins
from study.spec.validation import load_spec
from trainables.testing import check_backbone, check_dataset, check_method, check_optimizer

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def _no_plugins_afterwards() -> object:
    yield
    activate_plugins([], EXAMPLES)


def test_the_method_has_at_most_25_lines_and_keeps_the_contract() -> None:
    assert len((EXAMPLES / "confidence_penalty.py").read_text().splitlines()) <= 25
    activate_plugins(["./confidence_penalty.py"], EXAMPLES)
    from trainables.methods.registry import METHODS

    check_method(METHODS["confidence-penalty"])


def test_the_network_keeps_the_contract() -> None:
    activate_plugins(["./two_convolutions.py"], EXAMPLES)
    check_backbone("two-convolutions")


def test_the_data_set_keeps_the_contract() -> None:
    activate_plugins(["./rings.py"], EXAMPLES)
    check_dataset("rings")


def test_the_optimizer_keeps_the_contract() -> None:
    activate_plugins(["./lion.py"], EXAMPLES)
    check_optimizer("lion")


def test_the_study_is_valid_and_trains_an_epoch() -> None:
    import torch

    from study.spec.cell import expand
    from trainables.data import load
    from trainables.training.trainer import Trainer

    for cell in expand(load_spec(EXAMPLES / "own-everything.yaml")):
        trainer = Trainer(cell.base, load(cell.base.data), torch.device("cpu"))
        assert trainer.run_epoch()["balanced_accuracy"] >= 0.2
