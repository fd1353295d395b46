"""The shape of the code beyond the import contracts of `make lint`: drawing, file names, a command that starts fast."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

from docs.draw_rooms import PACKAGES, PAGE, README, Graph, drawn_arrows, listed, read_graph, renewed
from tests.study.made_study import MadeStudy, spec_of

ROOT = Path(__file__).parents[1]
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
DUMPING_GROUNDS = {"utils", "util", "helpers", "helper", "common", "misc"}
HEAVY = ("torch", "ray", "mlflow", "optuna")

SPACES = {path.stem for path in (ROOT / "search_spaces").glob("*.py")} - {"__init__", "dimension", "encoding", "grid"}


@pytest.fixture(scope="module")
def graph() -> Graph:
    return read_graph(ROOT)


def test_no_file_imports_itself_through_others_and_no_room_one_above_it(graph: Graph) -> None:
    assert len(graph.arrows) > 50
    assert graph.circles == []
    assert graph.upward == []


def test_the_drawing_of_the_rooms_is_up_to_date(graph: Graph) -> None:
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    assert page.count("<!-- rooms -->") == page.count("<!-- /rooms -->") == 1
    assert "flowchart" in page.partition("<!-- rooms -->")[2].partition("<!-- /rooms -->")[0]
    assert renewed(page, graph) == page, "run `make rooms`"


def test_the_readme_lists_every_file_as_its_docstring_describes_it() -> None:
    readme = (ROOT / README).read_text(encoding="utf-8")
    assert readme.count("<!-- files -->") == readme.count("<!-- /files -->") == 1
    assert "- `cell.py`: The cells of a study" in readme
    assert listed(readme, ROOT) == readme, "run `make rooms`"


def test_a_circle_and_an_upward_arrow_are_found_where_they_are() -> None:
    imports = {"study.cli.app": ["study.spec.cell"], "study.spec.cell": ["study.spec.grid"], "study.spec.grid": []}
    straight = Graph({name: frozenset(others) for name, others in imports.items()}, ("study.cli", "study.spec"))
    assert (straight.circles, straight.upward, straight.arrows) == ([], [], [("study.cli", "study.spec")])
    assert straight.chain() == ["study.cli.app", "study.spec.cell", "study.spec.grid"]
    bent = Graph({**straight.imports, "study.spec.grid": frozenset(["study.cli.app"])}, straight.layers)
    assert bent.circles == [("study.cli.app", "study.spec.cell", "study.spec.grid")]
    assert bent.upward == [("study.spec", "study.cli")]
    with pytest.raises(ValueError, match=r"in no layer of pyproject\.toml: study\.spec"):
        _ = Graph(straight.imports, ("study.cli",)).upward


def test_imports_in_functions_and_for_types_alone_count(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.importlinter]\ncontracts = []\n")
    (tmp_path / "study" / "spec").mkdir(parents=True)
    for name in ("spec/__init__", "spec/cell", "spec/grid", "terminal"):
        (tmp_path / "study" / f"{name}.py").touch()
    (tmp_path / "study" / "app.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "import study.terminal\n"
        "if TYPE_CHECKING:\n    from study.spec import Something, cell\n"
        "def run():\n    from study.spec.grid import Grid\n"
    )
    below = {"study.terminal", "study.spec", "study.spec.cell", "study.spec.grid"}
    assert read_graph(tmp_path).imports["study.app"] == below
    assert read_graph(tmp_path).arrows == [("study.app", "study.spec"), ("study.app", "study.terminal")]


def test_the_drawing_leaves_out_what_follows_and_nothing_else(graph: Graph) -> None:
    drawn = drawn_arrows(graph.arrows)
    assert set(drawn) < set(graph.arrows)
    below = {room: {room} for room in graph.rooms}
    for _ in graph.rooms:
        for upper, lower in drawn:
            below[upper] |= below[lower]
    assert all(lower in below[upper] for upper, lower in graph.arrows)


def test_no_file_is_a_dumping_ground() -> None:
    assert not [path for path in FILES if path.stem in DUMPING_GROUNDS or path.parent.name in DUMPING_GROUNDS]


def test_one_name_means_one_file() -> None:
    """A space alone shares its name, with the family of methods that it belongs to."""
    spaces = [path for path in FILES if path.parent.name == "search_spaces" and path.stem in SPACES]
    others = [path for path in (*FILES, *(ROOT / "benchmarks").rglob("*.py")) if path not in spaces]
    files: dict[str, list[str]] = {}
    for path in others:
        if path.stem != "__init__":
            files.setdefault(path.stem, []).append(path.relative_to(ROOT).as_posix())
    assert not {stem: paths for stem, paths in files.items() if len(paths) > 1}
    assert {stem: files.get(stem) for stem in SPACES} == {stem: [f"trainables/methods/{stem}.py"] for stem in SPACES}


def test_the_command_imports_nothing_heavy_before_it_is_needed() -> None:
    code = f"import sys, study.cli.app; print(*sorted({set(HEAVY)!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_help_needs_nothing_heavy() -> None:
    code = (
        "import sys, study.cli.app\n"
        "sys.argv = ['study', '--help']\n"
        "try: study.cli.app.main()\n"
        f"finally: print('heavy:', *sorted({set(HEAVY)!r} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].strip() == "heavy:"


def test_the_lock_file_names_no_address_and_every_dependency() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert not [line for line in lines if "://" in line or line.startswith("-")]
    pinned = {line.split("==")[0].split("[")[0] for line in lines if "==" in line}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in chain(project["dependencies"], *project["optional-dependencies"].values()):
        name = requirement.split("[")[0].split(">=")[0].split("==")[0].lower()
        assert name in pinned, f"{name} is not in requirements.lock: run `make lock`"


@pytest.mark.parametrize(
    "words",
    [
        ["methods"],
        ["methods", "--json"],
        ["spaces"],
        ["status"],
        ["status", "none"],
        ["run", "{bad}"],
        ["show", "none"],
        ["status", "stored", "--storage", "{folder}"],
        ["show", "stored", "--storage", "{folder}"],
    ],
    ids=" ".join,
)
def test_commands_that_do_not_train_import_no_torch(words: list[str], tmp_path: Path) -> None:
    MadeStudy(tmp_path / "runs", spec_of("stored", model="timm/test_vit"))
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: bad\ndata: [{dataset: digits, profiles: [{ratio: 10}]}]\nmethods: [ccee]\n")
    code = (
        "import sys\nfrom study.cli.app import main\n"
        f"sys.argv = {['study', *(word.format(bad=bad, folder=tmp_path / 'runs') for word in words)]!r}\n"
        "try: main()\n"
        "finally: print('heavy:', *sorted({'torch', 'timm', 'ray', 'mlflow', 'matplotlib'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1].strip() == "heavy:", done.stderr
    expected = 2 if {"run", "none"} & set(words) else 0
    assert done.returncode == expected, done.stderr


def test_timm_is_imported_only_where_a_network_of_timm_is_named(tmp_path: Path) -> None:
    study = tmp_path / "plain.yaml"
    study.write_text(
        "name: plain\ndata: [{dataset: digits, profiles: [{ratio: 10}]}]\nmethods: [cce]\nmodel: resnet18\n"
    )
    code = (
        "import sys\nfrom study.cli.app import main\n"
        f"sys.argv = ['study', 'check', {str(study)!r}]\n"
        "try: main()\n"
        "finally: print('heavy:', *sorted({'timm', 'huggingface_hub'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].strip() == "heavy:"
