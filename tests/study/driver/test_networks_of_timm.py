"""What the driver says of a network of timm before anything trains: its images, its workers, its weights."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from rich.console import Console
from safetensors.torch import save_file
from typer.testing import CliRunner

from study.cli.app import app
from study.driver.preflight import check_data, with_weights
from study.spec.cell import expand
from study.spec.study_spec import StudySpec
from study.spec.validation import load_spec
from tests.trainables.backbones.hub_cache import cached, empty_cache
from trainables.core.errors import BadInput
from trainables.data import load
from trainables.training.trainer import Trainer

timm = pytest.importorskip("timm")
MakeSpec = Callable[..., StudySpec]


def _checked(spec: StudySpec) -> None:
    check_data(spec, expand(spec), Console(file=io.StringIO()), source="my.yaml")


def test_images_that_it_cannot_take_are_named_with_file_and_key(make_spec: MakeSpec) -> None:
    with pytest.raises(BadInput, match=r"my\.yaml: model: timm/test_vit cannot take images of 8 pixels .*`image_size`"):
        _checked(make_spec("model=timm/test_vit"))
    _checked(make_spec("model=timm/test_vit", "data.0.image_size=32"))
    _checked(make_spec("model.name=timm/test_vit", "model.options={patch_size: 4}"))


def test_several_workers_are_refused_where_the_network_draws_for_every_image(make_spec: MakeSpec) -> None:
    several = ("model.name=timm/test_vit", "data.0.image_size=32", "resources.workers=2")
    _checked(make_spec(*several))
    with pytest.raises(
        BadInput, match=r"my\.yaml: resources\.workers: timm/test_vit draws .* must be 1 with it, got 2"
    ):
        _checked(make_spec(*several, "model.options={drop_path_rate: 0.1}"))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("timm/test_vti", "model: timm has no network 'test_vti'; did you mean 'timm/test_vit'?"),
        ({"name": "timm/test_vit", "options": {"patch": 4}}, "model: timm cannot build timm/test_vit with options"),
        ({"name": "resnet20", "options": {"depth": 4}}, "model: `options` are for networks of timm"),
        ("test_vit", "timm/NAME is a network of timm"),
    ],
)
def test_a_study_file_with_a_wrong_network_is_refused(
    model: Any, said: str, study_mapping: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(study_mapping(model=model)))
    with pytest.raises(BadInput) as caught:
        load_spec(path)
    assert said in str(caught.value)


def test_the_file_of_timms_weights_is_stored_in_their_place(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, study_mapping: Callable[..., Any]
) -> None:
    hub = empty_cache(monkeypatch, tmp_path)
    spec = make_spec("model.name=timm/test_resnet", "model.weights=timm")
    console = Console(file=io.StringIO(), width=300)
    with pytest.raises(BadInput, match=r"my\.yaml: model: the weights of timm/test_resnet are not in .*HF_HUB_OFFLINE"):
        with_weights(spec, console, source="my.yaml")
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(study_mapping(model={"name": "timm/test_resnet", "weights": "timm"})))

    def note() -> str:
        words = ["check", str(path), "--storage", str(tmp_path / "runs")]
        return CliRunner().invoke(app, words, env={"COLUMNS": "400"}).output

    assert "the weights of timm/test_resnet are in no cache yet; `study run` downloads them" in note()
    torch.manual_seed(1)
    published = timm.create_model("test_resnet")
    save_file(published.state_dict(), tmp_path / "w.safetensors")
    place = cached(hub, "models--timm--test_resnet.r160_in1k", tmp_path / "w.safetensors")
    assert f"the weights of timm/test_resnet are in {place}" in note()
    found = with_weights(spec, console, source="my.yaml")
    assert found.model.weights == str(place)
    _checked(found)
    cell = expand(found)[0]
    begun = Trainer(cell.base, load(cell.base.data), torch.device("cpu"))
    weights = begun.network.backbone.network.state_dict()
    assert torch.equal(weights["layer2.0.conv1.weight"], published.state_dict()["layer2.0.conv1.weight"])
