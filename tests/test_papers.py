"""The page of the papers' tables and figures, the study files it names, and the tables of class sizes."""

from __future__ import annotations

import re
import shlex
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from docs.holdout_table import PAGE, counts_of, renewed
from study.reproduce.published import published_tables
from study.spec.cell import expand
from study.spec.validation import load_spec

ROOT = Path(__file__).parents[1]
PAPERS = (ROOT / "docs" / "papers.md").read_text(encoding="utf-8")
FILES = sorted((ROOT / "studies" / "papers").glob("*.yaml"))

# What the papers contain, counted in their texts.
CONTENT = {
    "CCE": ("1 2 3 4 5 6 7 8 9", "1 2 3 4 5 6"),
    "Estimated offset": ("1 2 3", "1 2 3 4 5"),
    "ELM": ("I II III", "1 2 3"),
    "M2m": ("1 2 3 4", "1 2 3 4 5 6"),
    "Affinity": ("1 2 3 4", "1 2 3 4 5 6 7 8"),
}


def _section(paper: str) -> str:
    found = re.search(rf"^## {paper}:.*?(?=^## |\Z)", PAPERS, flags=re.S | re.M)
    assert found is not None
    return found[0]


@pytest.mark.parametrize("paper", CONTENT)
def test_every_table_and_figure_of_a_paper_has_a_row(paper: str) -> None:
    firsts = re.findall(r"^\| ((?:table|figure) \w+)", _section(paper), flags=re.M)
    tables, figures = CONTENT[paper]
    wanted = {f"table {n}" for n in tables.split()} | {f"figure {n}" for n in figures.split()}
    assert set(firsts) == wanted


def test_every_file_of_the_papers_is_linked_and_every_link_leads_to_a_file() -> None:
    linked = {(ROOT / "docs" / link).resolve() for link in re.findall(r"\]\((\.\./studies/[^)]*)\)", PAPERS)}
    assert set(FILES) == {path for path in linked if path.parent.name == "papers"}
    assert all(path.is_file() for path in linked)


def test_every_published_table_is_named_with_its_command() -> None:
    named = set(re.findall(r"(?:reproduce |`)([a-z0-9]+/(?:table|figure|text)-\w+)", PAPERS))
    assert named == {table.name for table in published_tables()}


def test_the_published_figures_and_study_files_are_installed_with_the_packages() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert {"studies", "studies.*"} <= set(setuptools["packages"]["find"]["include"])
    for path in (ROOT / "studies").rglob("*.*"):
        package = ".".join(path.parent.relative_to(ROOT).parts)
        assert f"*{path.suffix}" in setuptools["package-data"][package], path


def _commands(text: str) -> list[str]:
    """Return the commands `study run` of a comment or page that change keys of a file."""
    return re.findall(r"^[# ]*(study run \S+.*)$", text, flags=re.M)


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_commands_in_a_files_comment_run_that_file(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    loop = re.search(r"for net in (.*); do", text)
    for command in _commands(text):
        for net in loop[1].split() if loop else [""]:
            words = shlex.split(command.replace("$net", net))
            sets = tuple(word for flag, word in pairwise(words) if flag == "--set")
            spec = load_spec(ROOT / words[2], sets)
            assert ROOT / words[2] == file
            assert spec.model.name == net and spec.name.endswith(net)


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_a_file_of_a_paper_can_be_shortened(file: Path) -> None:
    assert expand(load_spec(file, ("training.epochs=1", "search.trials=1", "name=try")))


def test_rows_of_a_table_are_presets_with_fixed_params_or_the_papers_grid() -> None:
    for file in FILES:
        spec = load_spec(file)
        searched = [method.name for method in spec.methods if method.search is not None]
        if spec.search.trials == 1:
            assert not searched and not spec.search.training, file.name
            assert spec.confirm is not None, file.name
        else:
            assert searched or spec.search.training, file.name


def test_the_tables_of_class_sizes_are_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.count("<!-- holdout -->") == page.count("<!-- /holdout -->") == 1
    assert renewed(page) == page, "run `make holdout`"


def test_class_sizes_of_the_papers_and_of_the_holdout() -> None:
    assert sum(counts_of("cifar10", "long_tail", 100, "m2m")) == 12_406
    assert counts_of("cifar10", "long_tail", 100, "holdout")[::9] == (4500, 45)
    assert counts_of("cifar100", "step", 100, "holdout")[-1] == 4
