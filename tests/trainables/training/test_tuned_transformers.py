"""Fine-tuning of timm's vision transformers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trainables.backbones import build_backbone
from trainables.components.tuning import LowRank, ParallelAdapters
from trainables.core.config import MethodConfig, ModelConfig, TrialConfig
from trainables.core.errors import BadInput
from trainables.data import load
from trainables.methods.plan import MethodContext
from trainables.methods.registry import build_plan
from trainables.training.trainer import Trainer
from trainables.training.tuned_backbone import check_tuning, tune

pytest.importorskip("timm")
METHODS = ["linear-probe", "bitfit", "lora", "adaptformer", "lift"]


@pytest.mark.parametrize("name", METHODS)
def test_a_vision_transformer_trains_and_resumes_bit_for_bit(name: str, make_trial: Any) -> None:
    model = ModelConfig(name="timm/vit_tiny_patch16_224", options={"patch_size": 4, "depth": 2})
    config: TrialConfig = make_trial(name, epochs=2).model_copy(update={"model": model})
    data = load(config.data)
    check_tuning(config, data.class_counts, (1, 8, 8))
    whole, resumed = (Trainer(config, data, torch.device("cpu")) for _ in range(2))
    whole.run_epoch()
    resumed.load(whole.state())
    first, again = whole.run_epoch(), resumed.run_epoch()
    assert {**first, "images_per_second": 0} == {**again, "images_per_second": 0}
    for one, other in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("size", "share"), [("tiny", 0.0135), ("small", 0.0069)])
def test_lora_trains_at_most_two_per_cent_with_its_head(size: str, share: float) -> None:
    name = f"timm/vit_{size}_patch16_224"
    with torch.device("meta"):
        backbone = build_backbone(name, 3, 224)
    plan = build_plan(MethodConfig(name="lora"), MethodContext(torch.ones(10, dtype=torch.int64), backbone.feature_dim))
    tuned = tune(backbone, ModelConfig(name=name), plan, "lora")
    assert tuned is not None
    head = sum(parameter.numel() for parameter in plan.head.parameters())
    trained = head + sum(p.numel() for key, p in backbone.named_parameters() if key in tuned)
    found = trained / (head + sum(p.numel() for p in backbone.parameters()))
    assert found == pytest.approx(share, abs=1e-4) and found < 0.02


@pytest.mark.parametrize("name", ["timm/test_vit", "timm/deit3_small_patch16_224", "timm/vit_small_patch14_dinov2"])
def test_what_is_inserted_changes_nothing_at_first(name: str) -> None:
    options = {"depth": 2, "patch_size": 8, "drop_path_rate": 0.1}
    if name == "timm/test_vit":
        options = {}
    for tuning in (LowRank(4, 4.0, "query-value"), LowRank(4, 4.0, "blocks"), ParallelAdapters(4, 0.1)):
        torch.manual_seed(0)
        backbone, images = build_backbone(name, 3, 32, options).eval(), torch.randn(2, 3, 32, 32)
        before = backbone(images)
        tuning.prepare(backbone, name)
        assert torch.equal(backbone(images), before)


def test_blocks_that_compute_something_else_get_lora_and_no_adapters() -> None:
    name = "timm/swin_tiny_patch4_window7_224"
    backbone = build_backbone(name, 3, 224)
    LowRank(4, 4.0, "query-value").prepare(backbone, name)
    with pytest.raises(BadInput, match=r"plain vision transformer; those of timm/swin_tiny.* are timm\.models\.swin"):
        ParallelAdapters(4, 0.1).prepare(build_backbone(name, 3, 224), name)
