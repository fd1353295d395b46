from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from study.driver import driver
from study.driver.changed_settings import RAISABLE, refuse_changes
from study.driver.driver import _data_folders, _missing_umap
from study.driver.exit_codes import ExitCode
from study.driver.outcome import outcome_of
from study.ledger.study_ledger import Ledger
from study.spec.study_spec import StudySpec
from study.store.study_folder import StudyFolder
from trainables.core.errors import BadInput

MakeSpec = Callable[..., StudySpec]
LR = {"lr": {"low": 0.01, "high": 0.1}}


@pytest.mark.parametrize(
    "change",
    [
        *("search.trials=99", "search.wall_hours=2", "search.concurrency=3"),
        *("resources.cpus=2", "resources.gpus=0.5", "resources.retries=9"),
        "records.tracking_uri=http://127.0.0.1:5000",
        "artifacts.embedding=all",
    ],
)
def test_limits_and_places_may_change(change: str, make_spec: MakeSpec) -> None:
    refuse_changes(make_spec(), make_spec(change))


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ("name=other", "name"),
        ("question=why", "question"),
        ("seed=9", "seed"),
        ("data.0.dataset=mnist", "data.0.dataset"),
        ("data.0.subset_seed=1", "data.0.subset_seed"),
        ("data.0.profiles.0.ratio=[10, 20]", "data.0.profiles.0.ratio.1"),
        ("methods=[cce, erm]", "methods.1.name"),
        ("methods.0={name: cce, params: {gamma: -2}}", "methods.0.params.gamma"),
        ("model=resnet20", "model.name"),
        ("training.epochs=11", "training.epochs"),
        ("training.schedule.factor=0.5", "training.schedule.factor"),
        ("search.metric=accuracy", "search.metric"),
        ("search.searcher=random", "search.searcher"),
        ("search.pruner=median", "search.pruner.name"),
        ("search.training.lr={low: 0.01, high: 0.2}", "search.training.lr.high"),
        ("records.ledger=sqlite:///x.db", "records.ledger"),
    ],
)
def test_what_numbers_depend_on_may_not(change: str, place: str, make_spec: MakeSpec) -> None:
    search = {"trials": 4, "pruner": "none", "training": LR}
    with pytest.raises(BadInput) as caught:
        refuse_changes(make_spec(search=search), make_spec(change, search=search))
    assert str(caught.value).startswith(f"--set {place}=")
    assert all(path in str(caught.value) for path in RAISABLE)


def test_a_study_that_plots_embeddings_without_umap_says_so(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.training.embedding.has_umap", lambda: False)
    said = _missing_umap(make_spec(confirm={"seeds": 2}))
    assert said is not None and "pip install 'longtail-study[umap]'" in said
    assert _missing_umap(make_spec()) is None  # nothing is confirmed, so nothing is embedded
    assert _missing_umap(make_spec("artifacts.embedding=all")) == said
    assert _missing_umap(make_spec("artifacts.embedding=none", confirm={"seeds": 2})) is None
    monkeypatch.setattr("trainables.training.embedding.has_umap", lambda: True)
    assert _missing_umap(make_spec(confirm={"seeds": 2})) is None


def _end(ledger: Ledger, endings: str) -> None:
    for ending in endings:
        assignment = ledger.next()
        assert assignment is not None
        cell = ledger.of(assignment)
        if ending == "C":
            cell.complete(assignment.number, 0.5)
        elif ending == "P":
            cell.prune(assignment.number)
        elif ending == "F":
            cell.fail(assignment.number, "why")


@pytest.mark.parametrize(
    ("endings", "out_of_time", "code", "said"),
    [
        ("CCCC", False, ExitCode.DONE, "study 'tiny' is finished"),
        ("CPPC", False, ExitCode.DONE, "study 'tiny' is finished"),
        ("CCCC", True, ExitCode.DONE, "study 'tiny' is finished"),
        ("CFCF", False, ExitCode.SOME_FAILED, "2 trials failed; `study show tiny --storage "),
        ("CFC", False, ExitCode.INTERRUPTED, "interrupted with 1 trial left; nothing is lost: study resume tiny"),
        ("CCRR", False, ExitCode.INTERRUPTED, "interrupted with 2 trials left"),
        ("", False, ExitCode.INTERRUPTED, "interrupted with 4 trials left"),
        ("CC", True, ExitCode.DONE, "the wall-time budget is spent with 2 trials left: study resume tiny"),
    ],
)
def test_how_a_study_ends(
    endings: str,
    out_of_time: bool,
    code: ExitCode,
    said: str,
    make_spec: MakeSpec,
    open_ledger: Callable[..., Ledger],
    tmp_path: Path,
) -> None:
    ledger = open_ledger(make_spec())
    _end(ledger, endings)
    outcome = outcome_of(ledger.study, ledger, StudyFolder(tmp_path, "tiny"), fault=None, out_of_time=out_of_time)
    assert outcome.code == code
    assert said in outcome.message
    assert not outcome.idle


class Idle:
    """In place of Ray, a runner or a recorder: does nothing."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __enter__(self) -> Idle:
        return self

    def __exit__(self, *_: object) -> None: ...

    def address(self) -> str:
        return "nowhere"

    def watch(self, died: object) -> None: ...

    def run(self, manager: object) -> None: ...

    def touch(self, *_: object) -> None: ...

    def close(self, *_: object) -> None: ...


@pytest.mark.parametrize("late", [True, False])
def test_a_milestone_without_effect_is_told_once_by_a_run_and_by_a_resume(
    late: bool, make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.driver.local_ray.LocalRay", Idle)
    monkeypatch.setattr("study.driver.ray_tune.RayTuneRunner", Idle)
    monkeypatch.setattr("study.tracking.Recorder", Idle)
    spec = make_spec(f"training.schedule.milestones=[0.8, {0.95 if late else 0.9}]")
    for resumed in (False, True):
        console = Console(file=io.StringIO(), width=300)
        if resumed:
            outcome = driver.resume("tiny", tmp_path, (), address=None, console=console)
        else:
            outcome = driver.run(spec, tmp_path, address=None, console=console)
        assert outcome.code == ExitCode.INTERRUPTED
        said = console.file.getvalue()  # type: ignore[attr-defined]
        assert said.count("0.95 (after 9.5 of 10 epochs) falls inside the last epoch") == late


@pytest.fixture
def joins(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """In place of a cluster that can be joined; what its nodes are asked for is listed here."""
    asked: list[tuple[object, ...]] = []

    def check_nodes(*what: object) -> list[str]:
        asked.append(what)
        return ["warning: the clocks of a and b are 61 s apart"]

    monkeypatch.setattr("study.driver.preflight.checked_cluster", lambda address: address and "10.0.0.1:6379")
    monkeypatch.setattr("study.driver.node_report.check_nodes", check_nodes)
    monkeypatch.setattr("study.driver.local_ray.LocalRay", Idle)
    monkeypatch.setattr("study.driver.head_watch.HeadWatch", Idle)
    monkeypatch.setattr("study.driver.ray_tune.RayTuneRunner", Idle)
    monkeypatch.setattr("study.tracking.Recorder", Idle)
    return asked


def test_a_study_on_a_cluster_is_continued_there(
    joins: list[tuple[object, ...]], make_spec: MakeSpec, tmp_path: Path
) -> None:
    console = Console(file=io.StringIO(), width=300)
    outcome = driver.run(make_spec(), tmp_path, address="auto", console=console)
    assert outcome.message.endswith(f": study resume tiny --storage {tmp_path} --address auto")
    outcome = driver.resume("tiny", tmp_path, (), address="auto", console=console, continued_by="sbatch job.sh")
    assert outcome.message.endswith("nothing is lost: sbatch job.sh")
    outcome = driver.resume("tiny", tmp_path, (), address=None, console=console)
    assert outcome.message.endswith(f": study resume tiny --storage {tmp_path}")


def test_the_nodes_of_a_cluster_are_asked_for_the_folders_of_the_study(
    joins: list[tuple[object, ...]], make_spec: MakeSpec, tmp_path: Path
) -> None:
    spec, console = make_spec(), Console(file=io.StringIO(), width=300)
    driver.run(spec, tmp_path, address="auto", console=console)
    folders = sorted({data.data_dir for data in spec.data if data.data_dir is not None})
    assert joins == [("10.0.0.1:6379", tmp_path, folders)]
    assert console.file.getvalue().count("61 s apart") == 1  # type: ignore[attr-defined]
    driver.resume("tiny", tmp_path, (), address="auto", console=console)
    assert len(joins) == 2
    driver.resume("tiny", tmp_path, (), address=None, console=console)
    assert len(joins) == 2


def test_nodes_are_asked_for_the_folder_of_a_data_set_where_it_has_one(make_spec: MakeSpec, tmp_path: Path) -> None:
    # a mount point whose mount did not come up is an empty folder, which all nodes see
    (tmp_path / "mnist").mkdir()
    own = {"dataset": "mnist", "data_dir": str(tmp_path), "profiles": [{"ratio": 10}]}
    spec = make_spec(data=[own, own | {"dataset": "cifar10"}, {"dataset": "digits", "profiles": [{"ratio": 10}]}])
    assert _data_folders(spec) == [tmp_path, tmp_path / "mnist"]


def test_a_node_that_lacks_a_folder_leaves_no_study(
    joins: list[tuple[object, ...]], make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> list[str]:
        raise BadInput("the storage folder is not the same on node b")

    monkeypatch.setattr("study.driver.node_report.check_nodes", refuse)
    with pytest.raises(BadInput, match="not the same on node b"):
        driver.run(make_spec(), tmp_path, address="auto", console=Console(file=io.StringIO()))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_stops_the_study_and_says_how_to_go_on(
    make_spec: MakeSpec, open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    ledger = open_ledger(make_spec())
    outcome = outcome_of(ledger.study, ledger, StudyFolder(tmp_path, "tiny"), fault="disk full", out_of_time=False)
    assert outcome.code == ExitCode.SOME_FAILED
    assert "disk full; once that is fixed: study resume tiny" in outcome.message


def test_a_search_space_cannot_be_taken_away(make_spec: MakeSpec) -> None:
    searched = make_spec(methods=[{"name": "cce", "search": {"gamma": {"low": -5, "high": -1}}}])
    with pytest.raises(BadInput, match="a resume may change only"):
        refuse_changes(searched, make_spec(methods=[{"name": "cce", "search": {}}]))


def test_a_budget_cannot_be_lowered(make_spec: MakeSpec) -> None:
    with pytest.raises(BadInput, match="must be at least 4"):
        refuse_changes(make_spec(search={"trials": 4}), make_spec(search={"trials": 3}))
