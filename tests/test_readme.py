"""The README says what is so: its table of methods, its example study, its worked method."""

from __future__ import annotations

import math
import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from search_spaces import SPACES, Range
from study.report.catalog_tables import methods_markdown
from study.report.readme_table import renewed
from study.spec.validation import checked_spec
from trainables.core.config import MethodConfig, TrialConfig
from trainables.core.errors import BadInput
from trainables.data import load
from trainables.methods.registry import METHODS, build_params
from trainables.training.trainer import Trainer

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
STUDIES = [path for path in sorted((ROOT / "studies").rglob("*.yaml")) if path.parent.name != "published"]


def _block(language: str) -> str:
    found = re.search(rf"^( *)```{language}\n(.*?)^\1```", README, flags=re.S | re.M)
    assert found is not None
    return re.sub(rf"^{found[1]}", "", found[2], flags=re.M)


def test_the_table_of_methods_is_the_one_in_the_code() -> None:
    assert methods_markdown() in README, "run `make readme`"
    assert renewed(README) == README


def test_every_ready_study_is_listed() -> None:
    for path in (ROOT / "studies").glob("*.yaml"):
        assert f"](studies/{path.name})" in README.partition("### Data")[0]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_page_that_the_index_links(name: str) -> None:
    index = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| \[.*?\]\((.*?)\) \|.*`{name}`", index, flags=re.M)
    assert row is not None
    assert f"`{name}`" in (ROOT / "docs" / row[1]).read_text(encoding="utf-8")


def test_the_example_study_is_valid() -> None:
    checked_spec(yaml.safe_load(_block("yaml")), (), source="README.md")


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_ready_studies_are_valid_and_named_like_their_files(path: Path) -> None:
    spec = checked_spec(yaml.safe_load(path.read_text(encoding="utf-8")), (), source=str(path))
    assert spec.name == path.stem


def test_the_study_of_all_methods_names_them_all() -> None:
    study = yaml.safe_load((ROOT / "studies" / "digits-all-methods.yaml").read_text(encoding="utf-8"))
    assert study["methods"] == list(METHODS)


def test_the_worked_method_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {"__name__": "mine"}
    # a module, since pydantic looks annotations up in the namespace that defines a class
    monkeypatch.setitem(sys.modules, "mine", types.ModuleType("mine"))
    exec(compile(_block("python"), "README.md", "exec"), names)

    line = re.search(r'`"mine": mine\.(\w+),`', README)
    space = re.search(r'`"mine": (\{.*?\}),`', README)
    assert line is not None and space is not None
    monkeypatch.setitem(METHODS, "mine", names[line[1]])
    monkeypatch.setitem(SPACES, "mine", eval(space[1], {"Range": Range}))
    config = TrialConfig.model_validate(
        {
            "data": {"dataset": "digits", "profile": {"ratio": 10}},
            "model": {"name": "mlp"},
            "method": {"name": "mine", "params": {"alpha": 0.01}},
            "training": {"epochs": 1, "precision": "float32"},
        }
    )
    for value in (-1.0, math.nan, math.inf):
        with pytest.raises(BadInput, match="`alpha` must be "):
            build_params(MethodConfig(name="mine", params={"alpha": value}))
    record = Trainer(config, load(config.data), torch.device("cpu")).run_epoch()
    assert record["balanced_accuracy"] > 0.1
