"""Weights of timm's networks: files, the caches, what is downloaded and when, and how images are normalised."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from safetensors.torch import save, save_file

from tests.trainables.backbones.hub_cache import cached, empty_cache, reach
from trainables.backbones import build_backbone
from trainables.backbones.pretrained_weights import check_weights, load_weights, read_state
from trainables.backbones.timm_lookup import weights_statistics, with_found_weights
from trainables.core.config import ModelConfig, TrialConfig
from trainables.core.errors import BadInput
from trainables.data import load
from trainables.training.network_input import network_input
from trainables.training.trainer import Trainer

timm = pytest.importorskip("timm")
MakeTrial = Callable[..., TrialConfig]
RESNET = "models--timm--test_resnet.r160_in1k"


def published(name: str, path: Path, **options: Any) -> Any:
    """Store a network as timm publishes it, with a classifier of a thousand classes, and return it."""
    torch.manual_seed(4)
    network = timm.create_model(name, **options).eval()
    save_file(network.state_dict(), path)
    return network


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache of Hugging Face, and no network."""
    return empty_cache(monkeypatch, tmp_path)


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_a_published_file_fits_and_its_classifier_is_passed_over(tmp_path: Path, name: str) -> None:
    network = published(name, tmp_path / "w.safetensors")
    backbone = build_backbone(f"timm/{name}", 3, 160)
    load_weights(backbone, tmp_path / "w.safetensors")
    check_weights(f"timm/{name}", 3, 160, tmp_path / "w.safetensors")
    network.reset_classifier(0)
    images = torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        assert torch.equal(backbone.eval()(images), network(images))


def test_position_embeddings_are_resampled_and_colours_added_up_as_timm_does_it(tmp_path: Path) -> None:
    published("test_vit", tmp_path / "w.safetensors")
    backbone = build_backbone("timm/test_vit", 1, 64)
    load_weights(backbone, tmp_path / "w.safetensors")
    overlay = {"file": str(tmp_path / "w.safetensors")}
    expected = timm.create_model(
        "test_vit", pretrained=True, pretrained_cfg_overlay=overlay, img_size=64, in_chans=1, num_classes=0
    )
    for name, value in backbone.network.state_dict().items():
        assert torch.equal(value, expected.state_dict()[name]), name


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("test_vit", lambda s: s.pop("blocks.1.attn.qkv.weight"), "it lacks blocks.1.attn.qkv.weight"),
        ("test_vit", lambda s: s.update(odd=torch.zeros(1)), "it has beside the network's odd"),
        ("test_vit", lambda s: s.update({"norm.bias": torch.zeros(3)}), r"it has norm.bias \(3,\) in place of \(64,\)"),
        ("test_resnet", lambda s: s.pop("conv1.0.weight"), "it lacks conv1.0.weight"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, name: str, change: Callable[[Any], Any], message: str) -> None:
    state = timm.create_model(name).state_dict()
    change(state)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(BadInput, match=rf"weights {tmp_path}/w.pt do not fit the network: {message}"):
        check_weights(f"timm/{name}", 3, 160, tmp_path / "w.pt")


def test_a_training_continues_from_another_trainings_checkpoint(tmp_path: Path) -> None:
    before = build_backbone("timm/test_vit", 1, 32)
    torch.save({"backbone": before.state_dict(), "epoch": 1}, tmp_path / "checkpoint.pt")
    torch.manual_seed(9)
    after = build_backbone("timm/test_vit", 1, 32)
    load_weights(after, tmp_path / "checkpoint.pt")
    assert all(torch.equal(value, before.state_dict()[key]) for key, value in after.state_dict().items())


def test_a_network_whose_own_names_begin_like_a_wrapper_keeps_them(tmp_path: Path) -> None:
    wanted = ["network.0.0.norm1.weight", "norm.bias"]  # as VOLO's
    for prefix in ("", "network.", "module.network.", "backbone.network."):
        torch.save({f"{prefix}{name}": torch.zeros(1) for name in wanted}, tmp_path / "w.pt")
        assert list(read_state(tmp_path / "w.pt", wanted)) == wanted


def test_loading_weights_draws_nothing_and_leaves_torch_as_it_was(tmp_path: Path) -> None:
    published("test_resnet", tmp_path / "w.safetensors")
    backbone = build_backbone("timm/test_resnet", 3, 32)
    state, method = torch.get_rng_state(), torch.nn.Module.load_state_dict
    load_weights(backbone, tmp_path / "w.safetensors")
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.nn.Module.load_state_dict is method


def test_the_cache_is_looked_up_without_a_server(hub: Path, tmp_path: Path) -> None:
    published("test_resnet", tmp_path / "w.safetensors")
    place = cached(hub, RESNET, tmp_path / "w.safetensors")
    said: list[str] = []
    for name in ("timm/test_resnet", "timm/test_resnet.r160_in1k"):
        found = with_found_weights(ModelConfig(name=name, weights="timm"), said.append)
        assert found == ModelConfig(name=name, weights=str(place))
    assert said == []
    check_weights("timm/test_resnet", 3, 32, place)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "timm/test_resnet",
            rf"not in Hugging Face's cache, and HF_HUB_OFFLINE forbids a download. Expected: .*/hub/{RESNET}/snapshots/"
            r"\*/model.safetensors. Download model.safetensors of timm/test_resnet.r160_in1k elsewhere",
        ),
        ("timm/vit_huge_patch16_gap_448.in1k_ijepa", r"not on Hugging Face, and .*checkpoints/\S+ does not exist"),
        ("timm/resnet26t.nobody", "no weights 'nobody'"),
        ("timm/resnetv2_101d", "timm has no weights of timm/resnetv2_101d"),
        ("resnet18", "`weights: timm` needs a network of timm, got resnet18"),
    ],
)
def test_weights_that_cannot_be_had_are_one_error(hub: Path, name: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        with_found_weights(ModelConfig(name=name, weights="timm"), print)


class _Hub(BaseHTTPRequestHandler):
    """Serves one file as Hugging Face does."""

    content = b""
    asked: list[str]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        type(self).asked.append(f"{self.command} {self.path}")
        found = self.path == "/timm/test_resnet.r160_in1k/resolve/main/model.safetensors"
        self.send_response(200 if found else 404)
        if found:
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("ETag", '"1234"')
            self.send_header("Content-Length", str(len(self.content)))
        else:
            self.send_header("Content-Length", "0")
        self.end_headers()
        if found and self.command == "GET":
            self.wfile.write(self.content)

    def log_message(self, *given: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, type[_Hub]]]:
    class Own(_Hub):
        content = save(timm.create_model("test_resnet").state_dict())
        asked: list[str] = []  # noqa: RUF012

    served = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_address[1]}", Own
    served.shutdown()
    served.server_close()


def test_a_download_is_announced_with_its_size_and_happens_once(
    server: tuple[str, type[_Hub]], hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, served = server
    reach(monkeypatch, endpoint)
    said: list[str] = []
    found = with_found_weights(ModelConfig(name="timm/test_resnet", weights="timm"), said.append)
    megabytes = f"{len(served.content) / 1e6:,.1f} MB"
    assert said == [
        "downloading the weights of timm/test_resnet: model.safetensors of timm/test_resnet.r160_in1k, "
        f"{megabytes}, to {hub}/{RESNET}"
    ]
    assert found.weights is not None and Path(found.weights).read_bytes() == served.content
    asked = len(served.asked)
    assert with_found_weights(ModelConfig(name="timm/test_resnet", weights="timm"), said.append) == found
    assert len(served.asked) == asked and len(said) == 1


def test_without_a_network_the_error_says_where_the_file_is_expected(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(BadInput) as caught:
        with_found_weights(ModelConfig(name="timm/test_resnet", weights="timm"), print)
    assert "and the download failed: " in str(caught.value)
    assert f"Expected: {hub}/{RESNET}/snapshots/*/model.safetensors" in str(caught.value)


def test_images_are_normalised_as_those_of_the_weights(make_trial: MakeTrial, tmp_path: Path) -> None:
    published("test_vit", tmp_path / "w.safetensors", img_size=32)

    def scaling(weights: bool, name: str = "timm/test_vit", **training: Any) -> Any:
        trial = make_trial(data={"image_size": 32}, **training)
        model = ModelConfig(name=name, weights=str(tmp_path / "w.safetensors") if weights else None)
        return Trainer(trial.model_copy(update={"model": model}), load(trial.data), torch.device("cpu")).input_scaling()

    own = scaling(False)
    assert own == scaling(True, input_scaling="standard") != scaling(True)
    assert scaling(True) == ((0.5,), (0.5,)) == scaling(True, input_scaling="pretrained")
    assert scaling(False, input_scaling="pretrained") == scaling(True)
    assert weights_statistics("timm/resnet50", 3) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    (mean,), (std,) = weights_statistics("timm/resnet50", 1)
    assert (mean, std) == pytest.approx((0.449, 0.226))


def test_only_networks_of_timm_know_how_their_weights_images_were_normalised(make_trial: MakeTrial) -> None:
    training = make_trial(input_scaling="pretrained").training
    with pytest.raises(BadInput, match="`input_scaling` pretrained needs a network of timm, got resnet32"):
        network_input(ModelConfig(), training, "digits", (1, 8, 8))


def test_a_named_scaling_that_is_the_automatic_one_has_the_same_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"weights")

    def fingerprint(scaling: str, **model: Any) -> str:
        return TrialConfig.model_validate(
            {
                "data": {"dataset": "digits"},
                "method": {"name": "erm"},
                "model": model,
                "training": {"input_scaling": scaling},
            }
        ).fingerprint()

    plain = {"name": "resnet32"}
    begun = {"name": "timm/test_vit", "weights": str(tmp_path / "w.pt")}
    assert fingerprint("auto", **plain) == fingerprint("standard", **plain) != fingerprint("symmetric", **plain)
    assert fingerprint("auto", **begun) == fingerprint("pretrained", **begun) != fingerprint("standard", **begun)
