"""Plug-ins of a study: found, checked with one clear error, fingerprinted, stored, and read without their code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from search_spaces import SPACES
from study.report.comparison import compared, print_comparison
from study.spec.study_plugins import activate_plugins, store_plugins
from study.spec.validation import load_spec
from study.store.plugin_records import changed_origins, describe_plugins, plugin_records, write_plugin_records
from study.store.study_folder import StudyFolder
from study.store.study_view import open_view
from trainables.backbones import BACKBONES, build_backbone
from trainables.components.optimizers import OPTIMIZERS
from trainables.core.config import MethodConfig, TrialConfig
from trainables.core.errors import BadInput
from trainables.core.plugin_table import TABLES, activate_copies
from trainables.methods.registry import METHODS, build_params, method_named

METHOD = '''"""My loss."""
from pydantic import Field

from search_spaces import Range
from trainables.methods.baselines import linear_head
from trainables.methods.method import Method
from trainables.methods.plan import Hyperparameters, Plan, Stage


class Params(Hyperparameters):
    alpha: float = Field(0.1, ge=0, le=1)


def build(params, context):
    from torch.nn.functional import cross_entropy

    def loss(outputs, labels):
        return cross_entropy(outputs.logits, labels, reduction="none") * (1 + params.alpha)

    return Plan(linear_head(context), (Stage("plain", 0.0, loss),))


MINE = Method(name="mine", title="My loss", paper="me", equation="(1 + alpha) CE", params=Params, build=build)
SPACES = {"mine": {"alpha": Range(low=0.01, high=1, scale="log")}}
'''
OPTIMIZER = '''"""SGD at half the rate."""
from trainables.components.optimizers import OptimizerFactory


def build(parameters, training):
    from torch.optim import SGD

    return SGD(parameters, lr=training.lr / 2, momentum=training.momentum)


SLOW = OptimizerFactory(name="slow-sgd", build=build, settings=("momentum",))
'''
STUDY = """
name: outside
plugins: [./mine.py]
data: [{dataset: digits, profiles: [{ratio: 10}]}]
methods: [mine, erm]
model: mlp
"""
TRIAL = {"data": {"dataset": "digits"}, "model": {"name": "mlp"}, "method": {"name": "mine"}}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "mine.py").write_text(METHOD)
    (tmp_path / "study.yaml").write_text(STUDY)
    yield tmp_path
    activate_plugins([], tmp_path)
    for table in TABLES.values():
        table.forget_descriptions()


def _said(folder: Path, *given: str) -> str:
    with pytest.raises(BadInput) as caught:
        activate_plugins(given, folder)
    return str(caught.value)


def test_a_file_gives_a_method_with_its_space_and_no_other_process_knows_it(folder: Path) -> None:
    assert "mine" not in METHODS
    spec = load_spec(folder / "study.yaml")
    assert [method.name for method in spec.methods] == ["mine", "erm"]
    assert set(SPACES["mine"]) == {"alpha"} and list(METHODS)[-1] == "mine"
    assert build_params(MethodConfig(name="mine")).model_dump() == {"alpha": 0.1}
    activate_plugins([], folder)
    assert "mine" not in METHODS
    with pytest.raises(BadInput, match="unknown method 'mine'"):
        method_named("mine")


def test_a_package_by_path_and_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = folder / "my_losses"
    package.mkdir()
    (package / "__init__.py").write_text("from my_losses.mine import MINE, SPACES\n")
    (package / "mine.py").write_text(METHOD)
    activate_plugins(["./my_losses"], folder)
    assert METHODS["mine"].title == "My loss"
    by_path = METHODS.code_of("mine")
    activate_plugins([], folder)
    monkeypatch.syspath_prepend(str(folder))
    activate_plugins(["my_losses"], folder / "elsewhere")
    assert METHODS.code_of("mine") == by_path
    (package / "mine.py").write_text(METHOD.replace("0.1", "0.2"))
    activate_plugins(["my_losses"], folder)
    assert METHODS.code_of("mine") != by_path and build_params(MethodConfig(name="mine")).model_dump() == {"alpha": 0.2}


def test_a_missing_plugin_is_named_with_where_it_was_looked_for(folder: Path) -> None:
    assert _said(folder, "./lost.py") == f"plug-in ./lost.py: {folder / 'lost.py'}: No such file or directory"
    assert "there is no such folder" in _said(folder, "./lost/")
    assert "this Python has no module of that name" in _said(folder, "lost")
    assert "./lost.py" in _said(folder, "lost")


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("import os\n\n1 / 0\n", 3, "ZeroDivisionError: division by zero"),
        ("def f(:\n", 1, "SyntaxError"),
        ("import no_such_module_at_all\n", 1, "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        (METHOD.replace('name="mine"', 'name="My Loss"'), 23, "lower-case letters, digits and hyphens, got 'My Loss'"),
    ],
)
def test_a_plugin_that_fails_on_import_is_named_with_file_and_line(
    folder: Path, text: str, line: int, said: str
) -> None:
    (folder / "bad.py").write_text(text)
    message = _said(folder, "./bad.py")
    assert message.startswith(f"plug-in ./bad.py: {folder / 'bad.py'}, line {line}: ")
    assert said in message
    assert "bad" not in {Path(str(getattr(m, "__file__", ""))).stem for m in list(sys.modules.values())}


def test_a_plugin_that_holds_nothing_is_refused(folder: Path) -> None:
    (folder / "empty.py").write_text("from trainables.methods.baselines import ERM\n")
    assert "it has nothing at its top level that a study can use" in _said(folder, "./empty.py")


def test_names_clash_with_this_project_and_between_plugins(folder: Path) -> None:
    (folder / "erm.py").write_text(METHOD.replace('"mine"', '"erm"'))
    said = _said(folder, "./erm.py")
    assert (
        said
        == f"plug-in ./erm.py: {folder / 'erm.py'}, line 23: methods: 'erm' is a name of this project; take another"
    )
    (folder / "other.py").write_text("\n" + METHOD)
    said = _said(folder, "./mine.py", "./other.py")
    assert f"plug-in ./other.py: {folder / 'other.py'}, line 24: methods: 'mine' is also in plug-in ./mine.py" in said
    (folder / "sub").mkdir()
    (folder / "sub" / "mine.py").write_text(METHOD.replace('"mine"', '"yours"'))
    assert "both are called 'mine'; rename one" in _said(folder, "./mine.py", "./sub/mine.py")


def test_a_space_of_no_method_and_of_no_dimensions_is_refused(folder: Path) -> None:
    (folder / "bad.py").write_text(METHOD.replace('SPACES = {"mine"', 'SPACES = {"mien"'))
    assert "SPACES has 'mien', and no method of the file has that name: ['mine']" in _said(folder, "./bad.py")
    (folder / "bad.py").write_text(METHOD.replace('Range(low=0.01, high=1, scale="log")', "(0, 1)"))
    assert "the space of 'mine' must hold a Range or Choices" in _said(folder, "./bad.py")


def test_an_error_in_a_study_file_names_the_file(folder: Path) -> None:
    (folder / "study.yaml").write_text(STUDY.replace("mine.py", "mien.py"))
    with pytest.raises(BadInput, match=r"study\.yaml: plugins: plug-in \./mien\.py: .*No such file"):
        load_spec(folder / "study.yaml")
    (folder / "study.yaml").write_text(STUDY.replace("[./mine.py]", "3"))
    with pytest.raises(BadInput, match=r"study\.yaml: plugins: must be a valid tuple, got 3"):
        load_spec(folder / "study.yaml")


def test_the_source_takes_part_in_the_fingerprint_of_what_uses_it(folder: Path) -> None:
    mine, erm = (TrialConfig.model_validate({**TRIAL, "method": {"name": name}}) for name in ("mine", "erm"))
    without = erm.fingerprint()
    activate_plugins(["./mine.py"], folder)
    before = mine.fingerprint()
    assert erm.fingerprint() == without
    activate_plugins(["./mine.py"], folder)
    assert mine.fingerprint() == before
    (folder / "mine.py").write_text(METHOD + "# a remark\n")
    activate_plugins(["./mine.py"], folder)
    assert mine.fingerprint() != before


def _stored(folder: Path) -> StudyFolder:
    stored = StudyFolder(folder / "runs", "outside")
    stored.path.mkdir(parents=True)
    stored.create(load_spec(folder / "study.yaml"), {})
    return stored


def test_a_stored_study_holds_the_source_and_goes_on_with_it(folder: Path) -> None:
    stored = _stored(folder)
    assert stored.read_spec(to_train=True).plugins == ("plugins/mine.py",)
    digest = METHODS.code_of("mine")
    (folder / "mine.py").write_text(METHOD.replace("0.1", "0.2"))
    (note,) = changed_origins(stored.path)
    assert f"plug-in {folder / 'mine.py'} has changed" in note and "goes on with its own copy" in note
    stored.read_spec(to_train=True)
    assert METHODS.code_of("mine") == digest and build_params(MethodConfig(name="mine")).model_dump() == {"alpha": 0.1}
    (folder / "mine.py").unlink()
    assert changed_origins(stored.path) == []
    (stored.path / "plugins" / "mine.py").write_text(METHOD.replace("0.1", "0.2"))
    with pytest.raises(BadInput, match=r"this copy of the plug-in .* has changed since the study began"):
        stored.read_spec(to_train=True)


@pytest.mark.parametrize("given", ["./mine.py", "mine.py", "./lab/../mine.py"])
def test_a_change_is_seen_from_any_folder(given: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "lab").mkdir()
    monkeypatch.chdir(folder)
    Path("study.yaml").write_text(STUDY.replace("./mine.py", given))
    stored = StudyFolder(Path("runs"), "outside")
    stored.path.mkdir(parents=True)
    stored.create(load_spec(Path("study.yaml")), {})
    stored = StudyFolder(folder / "runs", "outside")
    (record,) = plugin_records(stored.path)
    assert Path(record.origin).is_absolute() and Path(record.origin).samefile("mine.py")
    assert changed_origins(stored.path) == []
    Path("mine.py").write_text(METHOD.replace("0.1", "0.2"))
    for place in (folder, folder / "lab"):
        monkeypatch.chdir(place)
        (note,) = changed_origins(stored.path)
        assert "has changed since the study began; the study goes on with its own copy" in note


def test_a_comparison_says_that_a_method_has_several_sources(folder: Path) -> None:
    stored = []
    for name, source in (("one", METHOD), ("two", METHOD), ("three", METHOD.replace("0.1", "0.2"))):
        (folder / "mine.py").write_text(source)
        (folder / "study.yaml").write_text(STUDY.replace("name: outside", f"name: {name}"))
        made = StudyFolder(folder / "runs", name)
        made.path.mkdir(parents=True)
        made.create(load_spec(folder / "study.yaml"), {})
        stored.append(made)
    activate_plugins([], folder)
    one, two, three = stored
    first, other = (plugin_records(each.path)[0].digest[:8] for each in (one, three))
    assert "not comparable" not in _compared(one, two)
    assert _compared(one, three).endswith(
        f"Results of mine are not comparable: the source of its plug-in differs (one: {first}, three: {other})\n"
    )


def _compared(*stored: StudyFolder) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        print_comparison(compared(list(stored), "balanced_accuracy"), "balanced_accuracy", console)
    return capture.get()


def test_a_stored_study_is_read_without_the_code_of_its_plugins(folder: Path) -> None:
    stored = _stored(folder)
    activate_plugins([], folder)
    (folder / "mine.py").unlink()
    (stored.path / "plugins" / "mine.py").write_text("raise SystemExit('this must not run')\n")
    view = open_view(stored)
    mine = view.cells[0]
    assert mine.cell.preset_params() == {"alpha": 0.1} and set(mine.cell.space) == {"alpha"}
    assert mine.cell.pruning_start_epoch == 0 and not mine.cell.has_reference
    assert stored.read_spec().methods[0].name == "mine"
    assert "mine" not in list(METHODS)
    with pytest.raises(BadInput, match="comes from a plug-in that is not loaded"):
        METHODS["mine"].build(None, None)


def test_a_worker_refuses_a_copy_that_is_not_the_studys(folder: Path) -> None:
    activate_plugins(["./mine.py"], folder)
    digest = METHODS.code_of("mine")
    store_plugins(load_spec(folder / "study.yaml"), folder / "stored")
    copy = folder / "stored" / "plugins" / "mine.py"
    activate_plugins([], folder)
    activate_copies({str(copy): str(digest)})
    assert METHODS["mine"].title == "My loss"
    activate_copies({})
    assert "mine" not in METHODS
    with pytest.raises(BadInput, match="is not the one that the study began with"):
        activate_copies({str(copy): "0" * 64})


def test_an_installed_package_declares_its_things_by_entry_points(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainables.core import plugin_table

    site = folder / "site"
    (site / "lab").mkdir(parents=True)
    (site / "lab" / "__init__.py").write_text("")
    (site / "lab" / "losses.py").write_text(METHOD)
    info = site / "lab-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[longtail_study.methods]\nmine = lab.losses:MINE\n[longtail_study.spaces]\nmine = lab.losses:SPACE\n"
    )
    (site / "lab" / "losses.py").write_text(METHOD + 'SPACE = SPACES["mine"]\n')
    monkeypatch.syspath_prepend(str(site))
    for cached in (plugin_table._entries, plugin_table._installed):
        cached.cache_clear()
    try:
        (folder / "study.yaml").write_text(STUDY.replace("plugins: [./mine.py]\n", ""))
        assert "mine" in METHODS and "lab" not in sys.modules
        assert set(SPACES["mine"]) == {"alpha"}
        stored = _stored(folder)
        assert stored.read_spec().plugins == ("plugins/lab",)
        monkeypatch.undo()
        for cached in (plugin_table._entries, plugin_table._installed):
            cached.cache_clear()
        assert "mine" not in list(METHODS)
        stored.read_spec(to_train=True)
        assert METHODS["mine"].title == "My loss" and set(SPACES["mine"]) == {"alpha"}
    finally:
        for cached in (plugin_table._entries, plugin_table._installed):
            cached.cache_clear()
        sys.modules.pop("lab", None)


def test_a_network_a_searcher_and_a_pruner(folder: Path) -> None:
    (folder / "more.py").write_text(
        "from optuna.pruners import NopPruner\nfrom optuna.samplers import RandomSampler\n"
        "from study.spec.search_tables import Pruner, Searcher\n"
        "from trainables.backbones.architecture import Architecture\n"
        "def build(channels, size):\n    from torch import nn\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, 5))\n"
        "NET = Architecture(name='flat', features=5, build=build, square=True)\n"
        "S = Searcher(name='mine-random', build=lambda context: RandomSampler(seed=context.seed))\n"
        "P = Pruner(name='never', build=lambda context: NopPruner())\n"
    )
    (folder / "study.yaml").write_text(
        STUDY.replace("./mine.py", "./mine.py, ./more.py").replace("mlp", "flat")
        + "search: {searcher: mine-random, pruner: never}\n"
    )
    from study.search.pruners import build_pruner
    from study.search.sampler_factory import build_searcher

    spec = load_spec(folder / "study.yaml")
    assert build_backbone("flat", 1, 8).feature_dim == 5
    assert type(build_searcher(spec.search.searcher, 0, "cell", 0)).__name__ == "RandomSampler"
    build_pruner(spec.search.pruner, 0, 3)
    stored = _stored(folder)
    activate_plugins([], folder)
    assert open_view(stored).spec.search.searcher == "mine-random"
    read = stored.read_spec()
    assert read.model.name == "flat" and "flat" not in list(BACKBONES)
    with pytest.raises(BadInput, match="not loaded"):
        build_searcher("mine-random", 0, "cell", 0)


def test_transfer_is_off_by_default_beside_a_searcher_that_says_it_learns_over_cells(folder: Path) -> None:
    (folder / "more.py").write_text(
        "from study.spec.search_tables import Searcher\n"
        "WIDE = Searcher(name='wide', build=print, over_cells=True)\nNARROW = Searcher(name='narrow', build=print)\n"
    )
    plain = STUDY.replace("./mine.py", "./mine.py, ./more.py")
    for search, transfer in (("wide", False), ("narrow", True), ("wide, transfer: true", True)):
        (folder / "study.yaml").write_text(plain + f"search: {{searcher: {search}}}\n")
        assert load_spec(folder / "study.yaml").search.transfer is transfer
    stored = _stored(folder)
    activate_plugins([], folder)
    assert stored.read_spec().search.transfer and stored.read_spec(to_train=True).search.transfer


def test_names_of_this_project_are_refused_also_where_its_things_stand_elsewhere(folder: Path) -> None:
    things = {
        "searchers": ("study.spec.search_tables", "Searcher(name='tpe', build=print)"),
        "pruners": ("study.spec.search_tables", "Pruner(name='median', build=print)"),
        "datasets": ("trainables.data.sources.own_dataset", "OwnDataset(name='mnist', read=print)"),
    }
    for group, (module, thing) in things.items():
        (folder / f"{group}.py").write_text(f"from {module} import *\nX = {thing}\n")
        assert f"line 2: {group}: " in (said := _said(folder, f"./{group}.py"))
        assert said.endswith("is a name of this project; take another")
        assert list(TABLES[group]) == [] and TABLES[group].source_of("tpe") is None


def test_a_study_without_plugins_sees_none_of_the_study_before(folder: Path) -> None:
    load_spec(folder / "study.yaml")
    (folder / "plain.yaml").write_text(STUDY.replace("plugins: [./mine.py]\n", ""))
    with pytest.raises(BadInput, match="unknown method 'mine'"):
        load_spec(folder / "plain.yaml")


def test_an_optimizer_is_checked_stored_fingerprinted_and_described(folder: Path) -> None:
    (folder / "mine.py").write_text(OPTIMIZER)
    text = STUDY.replace("methods: [mine, erm]", "methods: [erm]")
    (folder / "study.yaml").write_text(text + "training: {optimizer: slow-sgd, momentum: 0.5}\n")
    spec = load_spec(folder / "study.yaml")
    trial = TrialConfig.model_validate(
        {"data": {"dataset": "digits"}, "method": {"name": "erm"}, "training": spec.training.model_dump()}
    )
    digest = trial.fingerprint()
    (folder / "mine.py").write_text(OPTIMIZER.replace("/ 2", "/ 3"))
    activate_plugins(["./mine.py"], folder)
    assert trial.fingerprint() != digest
    stored = folder / "stored"
    stored.mkdir()
    write_plugin_records(stored, spec)
    assert store_plugins(spec, stored).plugins == ("plugins/mine.py",)
    activate_plugins([], folder)
    with pytest.raises(BadInput, match="unknown optimizer 'slow-sgd'"):
        load_spec(_without_plugins(folder))
    describe_plugins(stored)
    assert OPTIMIZERS["slow-sgd"].settings == ("momentum",)
    assert load_spec(_without_plugins(folder)).training.optimizer == "slow-sgd"


def _without_plugins(folder: Path) -> Path:
    path = folder / "plain.yaml"
    path.write_text((folder / "study.yaml").read_text().replace("plugins: [./mine.py]", ""))
    return path
