from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trainables.components.transforms.gradient_translation import (
    acceptance_probability,
    confident,
    held_constant,
    translate,
    translation_objective,
    unit_images,
)

RNG = np.random.default_rng(0)
G, F = RNG.normal(size=(4, 6)), RNG.normal(size=(4, 6))  # two linear classifiers of 6 pixels and 4 classes
SEEDS = RNG.uniform(size=(5, 6))
TARGETS, SEED_CLASSES = np.array([3, 2, 3, 1, 2]), np.array([0, 0, 1, 0, 1])
LAM, ETA = 0.5, 0.1


def _algorithm_1(x: np.ndarray, k: int, k0: int, steps: int, bounded: bool) -> np.ndarray:
    """Lines 6 to 10 for one image of the linear classifiers, with eq 2's gradient worked out by hand."""
    for _ in range(steps):
        z = [float(np.dot(row, x)) for row in G]
        p = [math.exp(zj) / sum(math.exp(zi) for zi in z) for zj in z]
        delta = np.zeros(6)
        for j in range(4):
            delta += (p[j] - (j == k)) * G[j]
        delta += LAM * F[k0]
        x = x - ETA * delta / math.sqrt(sum(d * d for d in delta))
        if bounded:
            x = np.array([min(max(v, 0.0), 1.0) for v in x])
    return x


def _objective(rows: slice) -> object:
    targets, classes = torch.from_numpy(TARGETS[rows]), torch.from_numpy(SEED_CLASSES[rows])

    def objective(images: Tensor) -> Tensor:
        own = (images @ torch.from_numpy(F).T).gather(1, classes.unsqueeze(1)).squeeze(1)
        return translation_objective(images @ torch.from_numpy(G).T, targets, own, lam=LAM)

    return objective


@pytest.mark.parametrize("steps", [0, 1, 10])
@pytest.mark.parametrize("bounds", [(0.0, 1.0), None])
def test_a_batch_is_translated_as_algorithm_1_translates_each_image(
    steps: int, bounds: tuple[float, float] | None
) -> None:
    made = translate(torch.from_numpy(SEEDS), _objective(slice(None)), steps=steps, step_size=ETA, bounds=bounds)
    for i in range(5):
        wanted = _algorithm_1(SEEDS[i], TARGETS[i], SEED_CLASSES[i], steps, bounds is not None)
        np.testing.assert_allclose(made[i], wanted, rtol=0, atol=1e-10)


def test_an_image_does_not_depend_on_those_beside_it() -> None:
    together = translate(torch.from_numpy(SEEDS), _objective(slice(None)), steps=10, step_size=ETA)
    alone = translate(torch.from_numpy(SEEDS[2:3]), _objective(slice(2, 3)), steps=10, step_size=ETA)
    torch.testing.assert_close(together[2:3], alone, rtol=0, atol=1e-12)


def test_without_steps_nothing_moves() -> None:
    seeds = torch.from_numpy(SEEDS)
    made = translate(seeds, _objective(slice(None)), steps=0, step_size=ETA)
    assert torch.equal(made, seeds)
    assert not made.requires_grad


def test_a_step_has_length_eta() -> None:
    seeds = torch.from_numpy(SEEDS)
    made = translate(seeds, _objective(slice(None)), steps=1, step_size=ETA, bounds=None)
    torch.testing.assert_close((made - seeds).norm(dim=1), torch.full((5,), ETA, dtype=torch.float64))


def test_without_a_gradient_nothing_moves() -> None:
    seeds = torch.rand(3, 1, 2, 2)
    made = translate(seeds, lambda images: images.flatten(1).sum(1) * 0, steps=5, step_size=1.0)
    assert torch.equal(made, seeds)


def test_pixels_stay_between_their_bounds_at_every_step_and_at_the_start() -> None:
    seen = []

    def objective(images: Tensor) -> Tensor:
        seen.append(images.detach().clone())
        return -images.flatten(1).sum(1)

    made = translate(torch.linspace(-1, 2, 8).view(2, 1, 2, 2), objective, steps=4, step_size=3.0)
    assert all(float(images.min()) >= 0 and float(images.max()) <= 1 for images in [*seen, made])
    assert torch.equal(made, torch.ones(2, 1, 2, 2))


def test_the_seed_is_not_written_into() -> None:
    seeds = torch.rand(2, 3)
    before = seeds.clone()
    translate(seeds, lambda images: images.sum(1), steps=3, step_size=0.1, bounds=None)
    assert torch.equal(seeds, before)
    assert not seeds.requires_grad


@pytest.mark.parametrize("size", [1e-38, 1e-30, 1.0, 1e30])
def test_gradients_of_any_size_have_a_direction(size: float) -> None:
    torch.testing.assert_close(
        unit_images(torch.tensor([[[[3 * size, -4 * size]]]])), torch.tensor([[[[0.6, -0.8]]]]), rtol=1e-5, atol=0
    )


def test_it_works_where_gradients_are_switched_off() -> None:
    with torch.no_grad():
        made = translate(torch.full((1, 2), 0.5), lambda images: images.sum(1), steps=1, step_size=0.1)
    assert float(made.sum()) < 1


def test_the_objective_is_equation_2() -> None:
    z, own = RNG.normal(size=(5, 4)), RNG.normal(size=5)
    ours = translation_objective(torch.from_numpy(z), torch.from_numpy(TARGETS), torch.from_numpy(own), lam=0.3)
    for i, k in enumerate(TARGETS):
        wanted = -math.log(math.exp(z[i, k]) / sum(math.exp(v) for v in z[i])) + 0.3 * own[i]
        assert float(ours[i]) == pytest.approx(wanted, abs=1e-10)
    without = translation_objective(torch.from_numpy(z), torch.from_numpy(TARGETS), lam=0.3)
    zero = translation_objective(torch.from_numpy(z), torch.from_numpy(TARGETS), torch.from_numpy(own), lam=0.0)
    assert torch.equal(without, zero)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.999])
def test_acceptance_is_equation_3(beta: float) -> None:
    counts = [40, 5000, 7, 40, 1]
    n = torch.tensor(counts)
    ours = acceptance_probability(n, n.unsqueeze(1), beta)
    for k, n_k in enumerate(counts):
        for k0, n_k0 in enumerate(counts):
            assert float(ours[k, k0]) == pytest.approx(1 - beta ** max(n_k0 - n_k, 0), abs=1e-12)
            assert n_k0 > n_k or float(ours[k, k0]) == 0


def test_balanced_counts_accept_nothing() -> None:
    n = torch.tensor([9, 9, 9])
    assert not acceptance_probability(n, n.unsqueeze(1), 0.0).any()


@pytest.mark.parametrize("beta", [-0.1, 1.0, math.nan])
def test_a_beta_out_of_range_is_refused(beta: float) -> None:
    with pytest.raises(ValueError, match="`beta` must be in"):
        acceptance_probability(torch.tensor([2]), torch.tensor([1]), beta)


def test_confidence_is_the_codes_or_the_papers() -> None:
    z = torch.from_numpy(3 * RNG.normal(size=(50, 4)))
    targets = torch.arange(50) % 4
    p = np.exp(z.numpy()) / np.exp(z.numpy()).sum(1, keepdims=True)
    own = p[np.arange(50), targets.numpy()]
    assert confident(z, targets, gamma=0.4, measure="probability").tolist() == (own >= 0.4).tolist()
    assert confident(z, targets, gamma=0.4, measure="loss").tolist() == (-np.log(own) <= 0.4).tolist()


def test_no_probability_reaches_a_gamma_above_one() -> None:
    sure = torch.tensor([[800.0, 0.0]])
    assert confident(sure, torch.tensor([0]), gamma=1.0, measure="probability").all()
    assert not confident(sure, torch.tensor([0]), gamma=1.001, measure="probability").any()


@pytest.mark.parametrize("measure", ["probability", "loss"])
def test_huge_logits_are_judged(measure: str) -> None:
    logits = torch.tensor([[800.0, -800.0]] * 2)
    assert confident(logits, torch.tensor([0, 1]), gamma=0.9, measure=measure).tolist() == [True, False]


def test_another_measure_is_refused() -> None:
    with pytest.raises(ValueError, match="`measure` must be 'probability' or 'loss', got 'logit'"):
        confident(torch.zeros(1, 2), torch.tensor([0]), gamma=0.9, measure="logit")


def test_a_network_held_constant_is_put_back_as_it_was() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout())
    network.train()
    network[2].eval()
    network[0].bias.requires_grad_(False)
    buffers = {name: b.clone() for name, b in network.named_buffers()}
    with pytest.raises(RuntimeError, match="midway"), held_constant(network):
        assert not network.training and not network[1].training
        assert not any(p.requires_grad for p in network.parameters())
        inputs = torch.rand(4, 2, requires_grad=True)
        torch.autograd.grad(network(inputs).sum(), inputs)
        raise RuntimeError("midway")
    assert [m.training for m in network.modules()] == [True, True, True, False]
    assert [p.requires_grad for p in network.parameters()] == [True, False, True, True]
    assert all(torch.equal(b, buffers[name]) for name, b in network.named_buffers())
