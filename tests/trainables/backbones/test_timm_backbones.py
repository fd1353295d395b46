"""Networks of timm: their contract, their features, and what is refused with one clear error."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from trainables.backbones import BACKBONES, MODELS, build_backbone, check_image_shape
from trainables.backbones.timm_lookup import why_undivided
from trainables.components.whole_batch_norm import norms_over_workers
from trainables.core.config import ModelConfig, TrialConfig
from trainables.core.errors import BadInput
from trainables.core.workers import Workers
from trainables.testing import check_backbone

timm = pytest.importorskip("timm")


@pytest.mark.parametrize("name", ["timm/test_vit", "timm/test_resnet", "timm/test_convnext", "timm/test_efficientnet"])
def test_a_network_keeps_the_contract(name: str) -> None:
    check_backbone(name)


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_features_are_what_timm_computes_before_its_classifier(name: str) -> None:
    torch.manual_seed(3)
    backbone = build_backbone(f"timm/{name}", 3, 32).eval()
    sized = {"img_size": 32} if "vit" in name else {}
    whole = timm.create_model(name, **sized).eval()
    whole.load_state_dict(backbone.network.state_dict(), strict=False)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = whole.forward_head(whole.forward_features(images), pre_logits=True)
        assert torch.equal(backbone(images), expected)
    assert backbone.feature_dim == whole.num_features == BACKBONES[f"timm/{name}"].features


def test_options_change_the_network_and_its_image_size_follows_the_data() -> None:
    options = {"patch_size": 4, "depth": 2}
    backbone = build_backbone("timm/vit_tiny_patch16_224", 1, 28, options)
    assert backbone.network.patch_embed.grid_size == (7, 7)
    assert len(backbone.network.blocks) == 2
    assert backbone(torch.zeros(2, 1, 28, 28)).shape == (2, 192)


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("timm/test_vit", {}, None),
        ("timm/test_vit", {"proj_drop_rate": 0.1}, "draws random numbers"),
        ("timm/test_convnext", {"drop_path_rate": 0.1}, "draws random numbers"),
        ("timm/efficientvim_m1", {}, "has a parameter that no gradient reaches, weights, for which"),
    ],
)
def test_why_a_networks_batches_cannot_be_split(name: str, options: dict[str, Any], why: str | None) -> None:
    found = why_undivided(name, options, 3, 64)
    assert found == why if why is None else str(found).startswith(why)


def test_looking_at_a_network_draws_nothing() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    check_image_shape("timm/test_vit2", (3, 48, 48))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("name", "size", "options", "message"),
    [
        ("timm/vit_tiny_patch16_225", 32, {}, "did you mean 'timm/vit_tiny_patch16_224'"),
        ("timm/resnet50.nobody", 32, {}, r"no weights 'nobody' of timm/resnet50; allowed: .*a1_in1k"),
        ("timm/test_vit", 28, {}, r"multiple of its patches of 16 pixels .*It was made for 160 pixels: `image_size`"),
        ("timm/test_resnet", 4, {}, "`image_size` must be at least 8 pixels, got 4"),
        ("timm/test_resnet", 32, {"depht": 3}, r"cannot build timm/test_resnet with options {depht: 3}: .*'depht'"),
        ("timm/test_vit", 32, {"img_size": 32}, "`options.img_size` of timm/test_vit follows from the data"),
        ("timm/test_vit", 32, {"drop_path_rate": 1.5}, "`options.drop_path_rate` .* below 1, got 1.5"),
        ("timm/test_vit", 32, {"global_pool": ""}, "no feature vector"),
        ("resnet18", 32, {"depth": 3}, "`options` are for networks of timm, and resnet18 is none"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_trains(
    name: str, size: int, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        check_image_shape(name, (3, size, size), options)


def test_a_vision_transformer_needs_square_images_and_a_residual_network_does_not() -> None:
    with pytest.raises(BadInput, match="timm/test_vit needs square images, got 32 x 48"):
        check_image_shape("timm/test_vit", (3, 32, 48))
    check_image_shape("timm/test_resnet", (3, 32, 48))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_batch_norm_over_several_processes_keeps_the_activations_that_timm_joins_to_it(device: str) -> None:
    def features(over: Workers) -> torch.Tensor:
        torch.manual_seed(2)
        backbone = build_backbone("timm/test_efficientnet", 3, 32)
        norms_over_workers(backbone, over, torch.device(device))
        with torch.no_grad():
            found: torch.Tensor = backbone.eval()(torch.randn(4, 3, 32, 32))
        return found

    assert torch.equal(features(Workers()), features(Workers(0, 2)))


def test_only_this_projects_networks_are_listed() -> None:
    assert tuple(BACKBONES) == MODELS
    assert "timm/resnet18" in BACKBONES


def test_options_enter_the_fingerprint_where_there_are_some() -> None:
    def fingerprint(**model: Any) -> str:
        return TrialConfig.model_validate(
            {"data": {"dataset": "digits"}, "method": {"name": "erm"}, "model": model}
        ).fingerprint()

    plain = fingerprint(name="timm/test_vit")
    assert plain == fingerprint(name="timm/test_vit", options={})
    assert plain != fingerprint(name="timm/test_vit", options={"patch_size": 4})
    assert ModelConfig(name="timm/test_vit", options={"depth": 2, "drop_path_rate": 0.5, "qkv_bias": True}).options == {
        "depth": 2,
        "drop_path_rate": 0.5,
        "qkv_bias": True,
    }


def test_names_are_known_without_importing_timm_or_torch() -> None:
    program = (
        "import sys; from trainables.backbones import BACKBONES; assert 'timm/resnet18' in BACKBONES;"
        "print([name for name in ('torch', 'timm', 'torchvision') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_without_timm_the_error_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.backbones.timm_lookup.find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"timm/resnet18 is .* not installed.*pip install 'longtail-study\[timm\]'"):
        BACKBONES["timm/resnet18"]
