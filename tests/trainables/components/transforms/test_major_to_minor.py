from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trainables.backbones.backbone import Backbone
from trainables.components.batch import Batch, EpochOrder, TransformContext
from trainables.components.heads import LinearHead
from trainables.components.network import Network
from trainables.components.sampling import batches_of
from trainables.components.transforms.major_to_minor import Translation, TranslationSettings
from trainables.core.config import MethodConfig
from trainables.data import Split, load
from trainables.data.pipeline.batch_pipeline import BatchPipeline
from trainables.training.trainer import Trainer

K, SIZE = 4, 6
COUNTS = torch.tensor([8, 60, 2, 30])
PLAIN = TranslationSettings(beta=0.0, lam=0.5, gamma=1e-6, confidence="probability", steps=3, step_size=0.1, noise=0.0)
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)


def _network(seed: int, *, linear: bool = False) -> Network:
    torch.manual_seed(seed)
    parts: list[nn.Module] = [] if linear else [nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Tanh()]
    backbone = Backbone(3 * SIZE * SIZE, nn.Sequential(*parts, nn.Flatten()))
    network = Network(backbone.to(memory_format=torch.channels_last), LinearHead(3 * SIZE * SIZE, K))
    network.train_only(("backbone.", "head."))
    return network


class _Stage:
    """A transform begun on random images, and the batches of its epoch."""

    def __init__(self, settings: TranslationSettings, *, linear: bool = False, channels_last: bool = True) -> None:
        generator = torch.Generator().manual_seed(0)
        labels = torch.randint(K, (40,), generator=generator)
        images = torch.randint(256, (40, 3, SIZE, SIZE), generator=generator, dtype=torch.uint8)
        self.f, self.g = _network(1, linear=linear), _network(2, linear=linear).requires_grad_(False).eval()
        self.pipeline = BatchPipeline(Split(images, labels), MEAN, STD, channels_last=channels_last)
        self.transform = Translation(settings)
        self.transform.begin_stage(TransformContext(self.f, self.pipeline, COUNTS, lambda: self.g))
        parts = tuple(batches_of(40, 16))
        order = EpochOrder(torch.arange(40), labels, parts, torch.Generator().manual_seed(3))
        self.transform.begin_epoch(order)
        self.batches = [Batch(self.pipeline.pixels(torch.arange(40)[part]), labels[part]) for part in parts]

    def run(self) -> list[Batch]:
        return [self.transform(batch, step) for step, batch in enumerate(self.batches)]

    def sites(self, step: int) -> list[tuple[int, int, int, int]]:
        """Return example, seed, target and seed's class of every site of a step."""
        draws, part = self.transform._draws, self.transform._draws.steps[step]
        columns = (draws.examples, draws.seeds, draws.targets, draws.seed_classes)
        return list(zip(*(column[part].tolist() for column in columns), strict=True))


def _logits(network: Network, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return logits of a linear network on pixels (C, H, W) in [0, 1], and its weights with respect to them."""
    mean, std = (np.array(v).reshape(3, 1, 1) for v in (MEAN, STD))
    weight: Any = network.head.weight
    weight = weight.detach().double().numpy().reshape(K, 3, SIZE, SIZE)
    normal = (x - mean) / std
    return (weight * normal).sum(axis=(1, 2, 3)), weight / std


@pytest.mark.parametrize("lam", [0.0, 0.5])
def test_every_site_is_translated_as_algorithm_1_does(lam: float) -> None:
    stage = _Stage(replace(PLAIN, lam=lam, gamma=0.5), linear=True)
    generated = rejected = 0
    for step, (batch, made) in enumerate(zip(stage.batches, stage.run(), strict=True)):
        original = batch.pixels.double().numpy()
        wanted = original.copy()
        for example, seed, k, k0 in stage.sites(step):
            x = original[seed] / 255
            for _ in range(PLAIN.steps):
                z, weight = _logits(stage.g, x)
                p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
                gradient = np.tensordot(p, weight, 1) - weight[k] + lam * _logits(stage.f, x)[1][k0]
                x = np.clip(x - PLAIN.step_size * gradient / np.sqrt((gradient**2).sum()), 0, 1)
            z = _logits(stage.g, x)[0]
            if np.exp(z[k] - z.max()) / np.exp(z - z.max()).sum() >= 0.5:
                wanted[example] = 255 * x
                generated += 1
            else:
                rejected += 1
        np.testing.assert_allclose(made.pixels.numpy(), wanted, rtol=0, atol=2e-3)
        assert torch.equal(made.labels, batch.labels)
    assert generated and rejected


def test_rejected_and_other_examples_stay_bit_for_bit() -> None:
    stage = _Stage(replace(PLAIN, gamma=2.0))
    assert any(stage.sites(step) for step in range(len(stage.batches)))
    for batch, made in zip(stage.batches, stage.run(), strict=True):
        assert torch.equal(made.pixels, batch.pixels.float())
        assert torch.equal(made.labels, batch.labels)


@pytest.mark.parametrize("channels_last", [True, False])
def test_generated_pixels_are_pixels_in_the_layout_of_the_batch(channels_last: bool) -> None:
    stage = _Stage(replace(PLAIN, steps=20, step_size=1.0, noise=0.5), channels_last=channels_last)
    for batch, made in zip(stage.batches, stage.run(), strict=True):
        assert made.pixels.min() >= 0 and made.pixels.max() <= 255
        assert made.pixels.stride() == batch.pixels.stride()
        assert not made.pixels.requires_grad


def test_networks_are_left_as_they_were() -> None:
    stage = _Stage(PLAIN)
    stage.f.backbone.eval()  # a mixture of modes and gradients is put back as well
    stage.f.head.bias.requires_grad_(False)
    state = copy.deepcopy((stage.f.state_dict(), stage.g.state_dict()))
    modes = [m.training for n in (stage.f, stage.g) for m in n.modules()]
    wanted = [p.requires_grad for n in (stage.f, stage.g) for p in n.parameters()]
    stage.run()
    for before, network in zip(state, (stage.f, stage.g), strict=True):
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
        assert all(p.grad is None for p in network.parameters())
    assert [m.training for n in (stage.f, stage.g) for m in n.modules()] == modes
    assert [p.requires_grad for n in (stage.f, stage.g) for p in n.parameters()] == wanted


def test_without_lambda_the_trained_network_does_not_act_on_the_images() -> None:
    stage, other = _Stage(replace(PLAIN, lam=0.0)), _Stage(replace(PLAIN, lam=0.0))
    with torch.no_grad():
        for parameter in other.f.parameters():
            parameter.zero_()
    for made, again in zip(stage.run(), other.run(), strict=True):
        assert torch.equal(made.pixels, again.pixels)
    assert stage.transform.epoch_metrics() != other.transform.epoch_metrics()  # it is only asked what it knows


def test_without_steps_and_noise_the_seed_replaces_the_example() -> None:
    stage = _Stage(replace(PLAIN, steps=0))
    for step, (batch, made) in enumerate(zip(stage.batches, stage.run(), strict=True)):
        for example, seed, *_ in stage.sites(step):
            torch.testing.assert_close(made.pixels[example], batch.pixels[seed].float())


def test_noise_has_its_length_in_every_image_and_comes_again() -> None:
    stage, again = (_Stage(replace(PLAIN, steps=0, noise=0.08)) for _ in range(2))
    for s in (stage, again):
        s.batches = [batch._replace(pixels=torch.full_like(batch.pixels, 128)) for batch in s.batches]
    for step, (made, repeated) in enumerate(zip(stage.run(), again.run(), strict=True)):
        assert torch.equal(made.pixels, repeated.pixels)
        lengths = ((made.pixels - 128) / 255).flatten(1).norm(dim=1)
        for example, *_ in stage.sites(step):
            assert float(lengths[example]) == pytest.approx(0.08, rel=1e-4)


def test_clean_seeds_take_the_places_that_translations_would() -> None:
    clean, translated = _Stage(replace(PLAIN, clean=True, gamma=0.5)), _Stage(replace(PLAIN, gamma=0.5))
    for step, (batch, made, other) in enumerate(zip(clean.batches, clean.run(), translated.run(), strict=True)):
        for example, seed, *_ in clean.sites(step):
            taken = not torch.equal(other.pixels[example], batch.pixels[example].float())
            assert torch.equal(made.pixels[example], batch.pixels[seed if taken else example].float())


def test_random_labels_go_to_generated_images_alone() -> None:
    stage, plain = _Stage(replace(PLAIN, random_label=True, gamma=0.5)), _Stage(replace(PLAIN, gamma=0.5))
    for step, (batch, made, usual) in enumerate(zip(stage.batches, stage.run(), plain.run(), strict=True)):
        assert torch.equal(made.pixels, usual.pixels)
        places = {example: {k, k0} for example, _, k, k0 in stage.sites(step)}
        for i in range(len(batch.labels)):
            if torch.equal(made.pixels[i], batch.pixels[i].float()):
                assert made.labels[i] == batch.labels[i]
            else:
                assert int(made.labels[i]) not in places[i]


def test_seeds_come_from_the_pool_where_there_is_one() -> None:
    stage = _Stage(replace(PLAIN, pool_size=1, clean=True))
    by_class: dict[int, set[bytes]] = {}
    for step, made in enumerate(stage.run()):
        for example, _, _, k0 in stage.sites(step):
            by_class.setdefault(k0, set()).add(made.pixels[example].numpy().tobytes())
    assert by_class and all(len(images) == 1 for images in by_class.values())


def test_a_step_without_sites_returns_its_batch() -> None:
    stage = _Stage(PLAIN)
    stage.transform._draws = stage.transform._draws._replace(steps=(slice(0, 0),) * 3)
    assert stage.run()[0] is stage.batches[0]


def test_feature_vectors_are_not_clamped() -> None:
    torch.manual_seed(0)
    f, g = (Network(Backbone(3, nn.Flatten()), LinearHead(3, K)) for _ in range(2))
    labels = torch.tensor([2, 1])
    pipeline = BatchPipeline(Split(torch.zeros(2, 3, 1, 1), labels), MEAN, STD)
    transform = Translation(replace(PLAIN, steps=50, step_size=1.0))
    transform.begin_stage(TransformContext(f, pipeline, COUNTS, lambda: g))
    made: list[Tensor] = []
    for seed in range(5):  # a site has probability 1 - 2/60
        order = EpochOrder(torch.arange(2), labels, (slice(0, 2),), torch.Generator().manual_seed(seed))
        transform.begin_epoch(order)
        made.append(transform(Batch(torch.full((2, 3, 1, 1), 0.9), labels), 0).pixels)
    changed = torch.stack(made)[:, 0]
    assert changed.min() < 0 or changed.max() > 1


def test_where_nothing_is_confident_it_is_resampling(make_trial: Any) -> None:
    runs = []
    for method in (
        MethodConfig(name="rs"),
        MethodConfig(name="m2m", preset="rs", params={"gamma": 2.0, "beta": 0.5}),
    ):
        config = make_trial("rs", epochs=2).model_copy(update={"method": method})
        trainer = Trainer(config, load(config.data), torch.device("cpu"))
        records = [trainer.run_epoch() for _ in range(2)]
        runs.append([(r["train_loss"], r["loss"], r["accuracy"]) for r in records])
    assert runs[0] == runs[1]


def test_its_metrics_are_the_shares_that_a_count_by_hand_finds() -> None:
    stage = _Stage(replace(PLAIN, gamma=0.3, lam=0.0))
    stage.transform._network = stage.f = _network(8)  # one that knows some of the translations
    made = stage.run()
    labels = torch.cat([batch.labels for batch in stage.batches])
    accepted = known = 0
    for batch, new in zip(stage.batches, made, strict=True):
        changed = (new.pixels != batch.pixels).flatten(1).any(1)
        accepted += int(changed.sum())
        with torch.no_grad():
            logits = stage.f.eval()(stage.pipeline.normalise(new.pixels)).logits
        known += int((changed & (logits.argmax(1) == new.labels)).sum())
    generator = torch.Generator().manual_seed(3)  # the first draw of the epoch
    sites = int((torch.rand(3, 40, generator=generator, dtype=torch.float64)[0] < 1 - COUNTS[labels] / 60).sum())
    assert 0 < known < accepted < sites < 40
    expected = {"sites": sites / 40, "accepted": accepted / sites, "known": known / accepted}
    assert stage.transform.epoch_metrics() == pytest.approx(expected)


def test_shares_of_nothing_are_not_numbers() -> None:
    metrics = _Stage(replace(PLAIN, gamma=2.0)).transform.epoch_metrics()
    assert metrics["accepted"] == 0 and np.isnan(metrics["known"])


def test_the_arrays_of_a_picture_are_translations_and_change_nothing() -> None:
    stage, untouched = _Stage(replace(PLAIN, gamma=0.5)), _Stage(replace(PLAIN, gamma=0.5))
    torch.manual_seed(5)
    state = torch.get_rng_state()
    found = stage.transform.end_arrays()["translations"]
    assert torch.equal(torch.get_rng_state(), state)
    assert found["target"].tolist() == [2, 0, 3]  # from the rarest; none is more frequent than class 1
    assert (COUNTS[found["seed_class"]] > COUNTS[found["target"]]).all()
    assert found["seed"].shape == found["translated"].shape == (3, 3, SIZE, SIZE)
    assert (found["seed"].dtype, found["translated"].dtype) == (np.uint8, np.float32)
    lengths = np.linalg.norm((found["translated"] - found["seed"] / 255).reshape(3, -1), axis=1)
    assert (lengths > 0).all() and (lengths <= PLAIN.steps * PLAIN.step_size + 1e-5).all()
    with torch.no_grad():
        pixels = torch.from_numpy(found["translated"]) * 255
        p = stage.g(stage.pipeline.normalise(pixels)).logits.softmax(1).numpy()
    np.testing.assert_allclose(found["confidence"], p[range(3), found["target"]], rtol=1e-4)
    assert (found["accepted"] == (found["confidence"] >= 0.5)).all()
    for made, again in zip(stage.run(), untouched.run(), strict=True):
        assert torch.equal(made.pixels, again.pixels)


def test_a_thousand_classes_of_one_image_and_batches_of_one() -> None:
    counts = torch.ones(1000, dtype=torch.int64)
    counts[0] = 7
    labels = torch.arange(1000).repeat_interleave(counts)
    images = torch.randint(256, (len(labels), 1, 2, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    f, g = (Network(Backbone(4, nn.Flatten()), LinearHead(4, 1000)) for _ in range(2))
    pipeline = BatchPipeline(Split(images, labels), (0.5,), (0.2,))
    rows = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))[:50]
    for size, all_counts in ((1, counts), (50, counts), (1, torch.ones_like(counts))):
        transform = Translation(replace(PLAIN, pool_size=1))
        transform.begin_stage(TransformContext(f, pipeline, all_counts, lambda: g))
        parts = tuple(batches_of(50, size))
        transform.begin_epoch(EpochOrder(rows, labels[rows], parts, torch.Generator().manual_seed(2)))
        made = [
            transform(Batch(pipeline.pixels(rows[part]), labels[rows][part]), step) for step, part in enumerate(parts)
        ]
        assert torch.equal(torch.cat([batch.labels for batch in made]), labels[rows])
        metrics, balanced = transform.epoch_metrics(), int(all_counts.max()) == 1
        assert (metrics["sites"] == 0) is balanced
        assert len(transform.end_arrays().get("translations", {"target": ()})["target"]) == (0 if balanced else 5)
