from __future__ import annotations

import io
import math
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console

from study.driver.preflight import check_data, check_places, check_resources, checked_cluster, precision_note
from study.spec.cell import expand
from study.spec.study_spec import RecordsSpec, ResourcesSpec, StudySpec
from study.spec.validation import milestone_note
from tests.trainables.data.written_sets import write_celeba, write_image, write_vector_folder
from trainables.core.errors import BadInput
from trainables.data import load

MakeSpec = Callable[..., StudySpec]


def _checked(spec: StudySpec) -> tuple[dict[str, str], list[str]]:
    console = Console(file=io.StringIO(), width=300)
    found = check_data(spec, expand(spec), console, source="my.yaml")
    return found, console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_says_what_every_profile_leaves_and_returns_fingerprints(make_spec: MakeSpec) -> None:
    spec = make_spec("data.0.profiles.0.ratio=[10, 20]", methods=["erm", "cce"])
    found, lines = _checked(spec)
    assert list(found) == ["digits/long_tail-10", "digits/long_tail-20"]
    for cell in expand(spec):
        assert found[f"{cell.dataset}/{cell.profile}"] == load(cell.base.data).fingerprint
    counts = load(expand(spec)[0].base.data).class_counts
    assert len(lines) == 2
    assert f"digits/long_tail-10: {counts.sum()} images to train on" in lines[0]
    assert f"{counts.max()} in the largest class and {counts.min()} in the smallest" in lines[0]


def test_says_once_per_data_set_that_test_images_are_drawn(make_spec: MakeSpec, tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        for i in range(20):
            write_image(tmp_path / "pets" / name / f"{i}.png", i)
    spec = make_spec("data.0.dataset=pets", "data.0.profiles.0.ratio=[2, 4]", f"data.0.data_dir={tmp_path}")
    _, lines = _checked(spec)
    assert [line for line in lines if "test images" in line] == [
        "  pets: no test split of its own: 8 of its 40 images, 20 % of every class, are drawn as test images by "
        "test_seed 0"
    ]


def test_fingerprints_follow_what_is_drawn(make_spec: MakeSpec) -> None:
    def fingerprint(*overrides: str) -> str:
        (found,) = _checked(make_spec(*overrides))[0].values()
        return found

    base = fingerprint()
    assert fingerprint() == base
    for change in ("subset_seed=1", "label_noise=0.1", "protocol=m2m", "validation_fraction=0.3"):
        assert fingerprint(f"data.0.{change}") != base
    assert fingerprint("seed=5", "training.epochs=3") == base


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.0.dataset=digit"], ["data[0]", "unknown data set 'digit'", "did you mean 'digits'?", "Allowed:"]),
        (["data.0.profiles.0.ratio=1000"], ["data[0]", "class", "ratio"]),
        (["data.0.data_dir=/no/such/folder"], ["data[0]", "/no/such/folder"]),
    ],
)
def test_data_that_cannot_be_had_is_named_with_file_and_path(
    overrides: list[str], said: list[str], make_spec: MakeSpec
) -> None:
    with pytest.raises(BadInput) as caught:
        _checked(make_spec(*overrides))
    assert str(caught.value).startswith("my.yaml: ")
    for part in said:
        assert part in str(caught.value)


def test_the_faulty_one_of_several_data_sets_is_named(make_spec: MakeSpec) -> None:
    data = [{"dataset": name, "profiles": [{"ratio": 10}]} for name in ("digits", "digitz")]
    with pytest.raises(BadInput, match=r"my\.yaml: data\[1\]: unknown data set 'digitz'"):
        _checked(make_spec(data=data))


def test_images_too_small_for_the_network_are_named(
    make_spec: MakeSpec, write_data_set: Callable[..., Path], tmp_path: Path
) -> None:
    write_data_set(tmp_path / "dots", size=4)
    spec = make_spec("data.0.dataset=dots", "data.0.profiles.0.ratio=2", f"data.0.data_dir={tmp_path}")
    with pytest.raises(BadInput, match=r"my\.yaml: model: `image_size` must be at least 8 pixels, got 4"):
        _checked(spec)


def test_vectors_name_the_networks_and_augmentation_that_fit(make_spec: MakeSpec, tmp_path: Path) -> None:
    write_vector_folder(tmp_path / "texts")
    data = ("data.0.dataset=texts", "data.0.profiles.0.ratio=2", f"data.0.data_dir={tmp_path}")
    assert list(_checked(make_spec(*data))[0]) == ["texts/long_tail-2"]
    with pytest.raises(BadInput, match=r"my\.yaml: model: .*; feature vectors need one of: mlp, mlp-2-layer"):
        _checked(make_spec(*data, "model=resnet20"))
    with pytest.raises(BadInput, match=r"my\.yaml: training: `augmentation` crop needs images"):
        _checked(make_spec(*data, "training.augmentation=crop"))


def test_an_image_size_reaches_the_data(make_spec: MakeSpec, tmp_path: Path) -> None:
    write_celeba(tmp_path / "faces")
    data = ("data.0.dataset=faces", "data.0.profiles.0.ratio=2", f"data.0.data_dir={tmp_path}")
    with pytest.raises(BadInput, match=r"my\.yaml: model: mlp needs square images, got 24 x 18 pixels .*`image_size`"):
        _checked(make_spec(*data))
    assert list(_checked(make_spec(*data, "data.0.image_size=16"))[0]) == ["faces/long_tail-2"]


def test_a_trial_must_fit_the_machine() -> None:
    cpus = os.cpu_count() or 1
    check_resources(ResourcesSpec(cpus=cpus), None)
    with pytest.raises(BadInput, match=rf"resources\.cpus: a trial asks for {cpus + 1}, this machine has {cpus}"):
        check_resources(ResourcesSpec(cpus=cpus + 1), None)
    check_resources(ResourcesSpec(workers=cpus), None)
    with pytest.raises(
        BadInput, match=rf"resources\.workers: the {cpus + 1} workers of a trial ask for {cpus + 1} proc"
    ):
        check_resources(ResourcesSpec(workers=cpus + 1), None)
    with pytest.raises(BadInput, match=r"resources\.gpus: a trial asks for 64"):
        check_resources(ResourcesSpec(gpus=64), None)


def test_a_cluster_may_grow_and_is_not_asked() -> None:
    check_resources(ResourcesSpec(cpus=10_000, gpus=64), "auto")


def test_places_that_can_be_written_pass(tmp_path: Path) -> None:
    check_places(RecordsSpec(), tmp_path)
    check_places(RecordsSpec(tracking_uri="http://127.0.0.1:1"), tmp_path)  # unreachable; a study runs without it
    check_places(RecordsSpec(tracking_uri="records.db", ledger=f"sqlite:///{tmp_path}/ledger.db"), tmp_path)


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ({"tracking_uri": "file:mlruns"}, "records.tracking_uri"),
        ({"tracking_uri": "folder"}, "records.tracking_uri"),
        ({"ledger": "postgresql+psycopg://me:secret@127.0.0.1:1/ledger"}, "records.ledger"),
        ({"ledger": "nonsense://x"}, "records.ledger"),
    ],
)
def test_places_that_cannot_are_named(records: dict[str, str], said: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadInput, match=re.escape(said)) as caught:
        check_places(RecordsSpec(**records), tmp_path)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("metric", "ratio", "refused"), [("few", 10, False), ("few", 2, True), ("many", 2, False)])
def test_a_metric_of_a_group_without_classes_is_refused(
    metric: str, ratio: int, refused: bool, make_spec: MakeSpec
) -> None:
    spec = make_spec(f"search.metric={metric}", f"data.0.profiles.0.ratio={ratio}")
    if not refused:
        _checked(spec)
        return
    with pytest.raises(BadInput, match=r"my\.yaml: search\.metric: 'few' is undefined on digits/long_tail-2"):
        _checked(spec)


def test_weights_that_do_not_fit_are_named_before_anything_starts(make_spec: MakeSpec, tmp_path: Path) -> None:
    import torch

    torch.save({"0.weight": torch.zeros(1)}, tmp_path / "w.pt")
    for file, said in (("w.pt", "do not fit the network: it lacks"), ("none.pt", "cannot be read")):
        with pytest.raises(BadInput, match=rf"my\.yaml: model: weights {tmp_path}/{file}.*{said}"):
            _checked(make_spec(f"model={{name: mlp, weights: {tmp_path / file}}}"))


@pytest.mark.parametrize(
    ("precision", "native", "said"),
    [("auto", True, True), ("float32", True, True), ("bfloat16", True, False), ("native", True, False)]
    + [(name, False, False) for name in ("auto", "float32", "native")],
)
def test_says_where_bfloat16_would_be_faster(
    precision: str, native: bool, said: bool, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.driver.preflight.pick_device", lambda: torch.device("cpu"))
    for module in ("study.driver.preflight", "trainables.core.device"):
        monkeypatch.setattr(f"{module}.multiplies_bfloat16", lambda device: native)
    note = precision_note(make_spec(f"training.precision={precision}"))
    assert (note is not None) is said
    if note is not None:
        assert "trials train in float32; this device multiplies bfloat16 natively" in note


def test_warns_of_a_milestone_without_effect(make_spec: MakeSpec) -> None:
    assert milestone_note(make_spec("training.schedule.milestones=[0.8, 0.9]")) is None
    assert milestone_note(make_spec("training.schedule.milestones=[5, 9]")) is None
    said = milestone_note(make_spec("training.schedule.milestones=[0.8, 0.95]"))
    assert said is not None
    assert "training.schedule.milestones: 0.95 (after 9.5 of 10 epochs) falls inside the last epoch" in said


def test_warns_once_for_every_cell_whose_first_setting_moves_a_boundary_too_far(make_spec: MakeSpec) -> None:
    spec = make_spec(
        "data.0.profiles.0.ratio=[20, 100]",
        methods=[
            "erm",
            "ldam",
            {"name": "elm", "label": "published", "preset": "paper"},
            {"name": "logit-adjustment", "params": {"tau": 3}},
        ],
    )
    warnings = [line.strip() for line in _checked(spec)[1] if "warning:" in line]
    assert [line.split(": ")[1] for line in warnings] == [
        f"digits/long_tail-{ratio}/{method}" for ratio in (20, 100) for method in ("published", "logit-adjustment")
    ]
    assert "preset `recommended` with the params set by hand" in warnings[1]
    published = next(cell for cell in expand(spec) if cell.method == "published" and cell.ratio == 100)
    counts = load(published.base.data).class_counts
    ratio = float(counts.max() / counts.min())
    shift = 30 * 0.5 * (1 - ratio**-0.25)
    assert "preset `paper` moves the boundary" in warnings[2]
    assert f"by {shift:.1f} nats, more than twice log({ratio:.4g}) = {math.log(ratio):.1f}" in warnings[2]


def test_a_setting_that_fits_the_ratio_is_not_warned_of(make_spec: MakeSpec) -> None:
    spec = make_spec("data.0.profiles.0.ratio=[100]", methods=["ldam-drw", "elm-drw", "balanced-softmax", "vs", "cce"])
    assert not any("warning" in line for line in _checked(spec)[1])


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "[::1]:1"])
def test_a_cluster_that_does_not_answer_is_named(address: str) -> None:
    with pytest.raises(BadInput, match=rf"^--address {re.escape(address)}: no Ray cluster answers there"):
        checked_cluster(address)


@pytest.mark.parametrize("address", ["", "somewhere", "host:", "host:port", "host:99999", "x://"])
def test_an_address_without_a_port_is_refused(address: str) -> None:
    with pytest.raises(BadInput, match=r"^--address: must be auto or host:port"):
        checked_cluster(address)


@pytest.mark.parametrize("address", [None, "local"])
def test_ray_on_this_machine_has_no_address_yet(address: str | None) -> None:
    assert checked_cluster(address) == address


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "https://head"])
def test_the_address_of_a_job_server_is_for_study_submit(address: str) -> None:
    with pytest.raises(BadInput, match=rf"host:port.*, got '{address}': .* job server, .* `study submit`"):
        checked_cluster(address)


def test_a_port_at_which_something_else_listens_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr("study.driver.preflight.why_no_head", lambda address: None)
        assert checked_cluster(address) == address
        monkeypatch.setattr("study.driver.preflight.why_no_head", lambda address: "a database")
        with pytest.raises(BadInput, match=rf"^--address {address}: no Ray cluster can be joined there \(a database\)"):
            checked_cluster(address)


@pytest.mark.parametrize("command", ["run", "resume"])
def test_a_database_that_is_away_when_a_study_starts_says_how_to_go_on(command: str, tmp_path: Path) -> None:
    from study.driver import driver
    from tests.study.made_study import MadeStudy, spec_of

    url = "postgresql+psycopg://me@127.0.0.1:1/study"  # nothing listens there
    storage = tmp_path / "runs"
    with pytest.raises(BadInput) as caught:
        if command == "run":
            spec = spec_of(records={"ledger": url})
            driver.run(spec, storage, address=None, console=Console(quiet=True))
        else:
            made = MadeStudy(storage)
            made.folder.write_spec(spec_of(records={"ledger": url}))
            driver.resume("made", storage, (), address=None, console=Console(quiet=True))
    said = str(caught.value)
    assert said.startswith(f"records.ledger: cannot open {url}: ") and "refused" in said and "\n" not in said
    assert ". Nothing has started, and nothing was changed: once the database answers, run the same command" in said
    assert "`study doctor` with STUDY_LEDGER set" in said
    assert (storage / "made/study.yaml").exists() == (command == "resume")


def test_random_weights_under_fine_tuning_are_a_warning(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(methods=["erm", "bitfit"])
    assert any("warning: model.weights: under bitfit a small part of mlp is trained" in x for x in _checked(spec)[1])
    assert not any("model.weights" in line for line in _checked(make_spec(methods=["erm", "crt"]))[1])


@pytest.mark.parametrize(
    ("methods", "tuned", "said"),
    [
        (["erm", "adaptformer"], None, "methods: adaptformer: adapters need transformer blocks, and mlp has none"),
        (
            ["erm", "cce"],
            {"scope": "lora"},
            "methods: erm: `projections: query-value` needs transformer blocks, and mlp",
        ),
    ],
)
def test_a_network_without_what_is_tuned_is_refused(
    methods: list[str], tuned: object, said: str, make_spec: MakeSpec
) -> None:
    with pytest.raises(BadInput, match=rf"^my\.yaml: {re.escape(said)}"):
        _checked(make_spec(methods=methods, model={"name": "mlp", "tuned": tuned}))


@pytest.mark.parametrize("address", ["x:pass-word-8@h:1", "http://x:pass-word-8@h:1", "h:1?token=pass-word-8", "[x"])
def test_an_address_that_may_hold_a_password_is_not_shown(address: str) -> None:
    with pytest.raises(BadInput, match=r"must be auto or host:port.*not shown") as caught:
        checked_cluster(address)
    assert "word-8" not in str(caught.value)


def test_a_token_that_is_none_is_refused_before_ray_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "aaa-2\nbbb-2")
    with pytest.raises(BadInput, match=r"^RAY_AUTH_TOKEN: is no cluster token") as caught:
        checked_cluster("127.0.0.1:1")
    assert "bbb-2" not in str(caught.value)


def test_a_token_that_is_not_there_is_missed_before_ray_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BadInput, match=r"^RAY_AUTH_MODE=token is set, and there is no token in"):
        checked_cluster("127.0.0.1:1")
