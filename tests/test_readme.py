"""The README says what is so: its table of methods, its example study, its worked method."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from study.report.catalog_tables import methods_markdown
from study.report.method_documents import documents, from_scratch
from study.spec.validation import checked_spec
from trainables.methods.registry import METHODS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
STUDIES = [path for path in sorted((ROOT / "studies").rglob("*.yaml")) if path.parent.name != "published"]


def _block(language: str, nth: int = 0) -> str:
    found = list(re.finditer(rf"^( *)```{language}\n(.*?)^\1```", README, flags=re.S | re.M))[nth]
    return re.sub(rf"^{found[1]}", "", found[2], flags=re.M)


def test_what_documents_say_of_methods_is_what_the_methods_are() -> None:
    assert methods_markdown() in README
    for path, text in documents().items():
        assert path.read_text(encoding="utf-8") == text, f"{path}: run `make readme`"


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
    assert study["methods"] == from_scratch()


def test_the_worked_method_is_two_files_and_all_else_is_derived(tmp_path: Path) -> None:
    for part in ("study", "search_spaces", "trainables", "docs", "studies"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "images"))
    shutil.copy(ROOT / "README.md", tmp_path)
    method, space = (_block("python", nth) for nth in range(2))
    (tmp_path / "trainables" / "methods" / "mine.py").write_text(f'"""My loss."""\n\n{method}', encoding="utf-8")
    (tmp_path / "search_spaces" / "mine.py").write_text(f'"""Space of my loss."""\n\n{space}', encoding="utf-8")

    def said(*words: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    said("study.report.method_documents")
    row = "| [`mine`](trainables/methods/mine.py) | My loss | Me, 2026, eq 1 | loss | `alpha` |"
    assert row in (tmp_path / "README.md").read_text(encoding="utf-8")
    page = (tmp_path / "docs" / "methods" / "mine.md").read_text(encoding="utf-8")
    assert page.startswith("# My loss: `mine`\n") and "| `alpha` | 1.0 | >= 0 | 0.01 to 10, log |" in page
    assert "[My loss](methods/mine.md) | `mine` |" in (tmp_path / "docs" / "methods.md").read_text(encoding="utf-8")
    every = yaml.safe_load((tmp_path / "studies" / "digits-all-methods.yaml").read_text(encoding="utf-8"))
    assert "mine" in every["methods"]
    assert "alpha=1.0*" in said("study.cli.app", "methods")
    assert "mine" in said("study.cli.app", "train", "mine", "--model", "mlp", "--epochs", "1", "--set", "alpha=0.01")


def test_the_worked_params_have_bounds() -> None:
    # a module, since pydantic looks annotations up in the namespace that defines a class
    names: dict[str, Any] = {"__name__": "mine"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "mine", types.ModuleType("mine"))
        exec(compile(_block("python"), "README.md", "exec"), names)
    for value in (-1.0, math.nan, math.inf):
        with pytest.raises(ValidationError, match="alpha"):
            names["MineParams"](alpha=value)
