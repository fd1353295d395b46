from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from trainables.core.config import TrialConfig
from trainables.data import Split, load
from trainables.training import embedding as room
from trainables.training.embedding import embedding, principal_components, projections
from trainables.training.trainer import Trainer

MakeTrial = Callable[..., TrialConfig]


@pytest.fixture(autouse=True)
def without_umap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave UMAP out, which compiles for ten seconds; one test takes it back in."""
    monkeypatch.setattr(room, "has_umap", lambda: False)


def trainer_of(make_trial: MakeTrial, method: str = "erm", **changes: Any) -> Trainer:
    config = make_trial(method, **changes)
    return Trainer(config, load(config.data))


def test_two_methods_show_the_same_balanced_sample(make_trial: MakeTrial) -> None:
    one, other = trainer_of(make_trial), trainer_of(make_trial, "offset", seed=5)
    found, again = (embedding(trainer, trainer.data.validation) for trainer in (one, other))
    assert found is not None and again is not None
    assert np.array_equal(found["rows"], again["rows"])
    per_class = np.bincount(found["labels"], minlength=10)
    assert len(set(per_class.tolist())) == 1 and per_class[0] >= 10
    assert np.array_equal(found["labels"], one.data.validation.labels.numpy()[found["rows"]])
    assert not np.allclose(found["tsne"], again["tsne"])


def test_test_images_are_embedded_by_their_own_features(make_trial: MakeTrial) -> None:
    trainer = trainer_of(make_trial)
    test = trainer.data.test()
    found = embedding(trainer, test)
    assert found is not None
    features = trainer.features(test).numpy()[found["rows"]]
    centred = features - features.mean(axis=0)
    assert found["features"].shape == (len(found["rows"]), 50)
    # components keep the distances that their share of the variance makes up
    kept = np.square(found["features"]).sum() / np.square(centred).sum()
    assert 0.9 < kept <= 1.0001
    repeated = embedding(trainer, test)
    assert repeated is not None and np.array_equal(found["tsne"], repeated["tsne"])


def test_neighbours_stay_neighbours() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 20)
    features = (rng.normal(size=(60, 30)) + 20 * np.eye(3, 30)[labels]).astype(np.float32)
    found = projections(features, 0)
    assert found.keys() == ({"tsne", "umap"} if room.has_umap() else {"tsne"})
    for points in found.values():
        assert points.shape == (60, 2)
        distances = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(60)
        assert (labels[distances.argmin(axis=1)] == labels).all()


def test_umap_is_drawn_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("umap", reason="the extra `umap` is not installed")
    monkeypatch.undo()
    assert room.has_umap()
    test_neighbours_stay_neighbours()


def test_without_umap_tsne_alone_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "umap", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not room.has_umap()
    assert projections(np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32), 0).keys() == {"tsne"}


def test_features_in_the_plane_are_kept_with_the_prototypes(make_trial: MakeTrial) -> None:
    plain = make_trial("affinity", lr=0.03).model_dump()
    config = TrialConfig.model_validate({**plain, "model": {"name": "affinity-conv-2d"}})
    trainer = Trainer(config, load(config.data))
    found = embedding(trainer, trainer.data.validation)
    assert found is not None and "tsne" not in found
    assert np.array_equal(found["features"], trainer.features(trainer.data.validation).numpy()[found["rows"]])
    assert np.array_equal(found["prototypes"], trainer.plan.head.get_parameter("weight").detach().numpy())


def test_collapsed_spoiled_and_too_few_features_are_not_embedded(make_trial: MakeTrial) -> None:
    trainer = trainer_of(make_trial)
    validation = trainer.data.validation
    assert embedding(trainer, Split(validation.images[:5], validation.labels[:5])) is None
    for value in (0.0, float("nan")):
        with torch.no_grad():
            for parameter in trainer.network.backbone.parameters():
                parameter.fill_(value)
        assert embedding(trainer, validation) is None


def test_few_features_are_not_reduced() -> None:
    features = np.random.default_rng(0).normal(size=(9, 50)).astype(np.float32)
    assert principal_components(features) is features
    wide = np.random.default_rng(0).normal(size=(9, 60)).astype(np.float32)
    reduced = principal_components(wide)
    assert reduced.shape == (9, 9)  # nine points span at most that many
    gaps = [np.linalg.norm(x[:, None] - x[None], axis=2) for x in (wide, reduced)]
    assert np.allclose(gaps[0], gaps[1], atol=1e-4)
