"""The affinity head against equations 3, 7, 8 and 9 written out in NumPy, and its identities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.components.heads import PrototypeHead
from trainables.components.heads.distances import manhattan_distances, squared_distances
from trainables.components.heads.prototype_diversity import diversity_regulariser


def absolute(*sizes: int, **settings: Any) -> PrototypeHead:
    return PrototypeHead(*sizes, **{"sigma_unit": "absolute", **settings}).double()


def log_affinities(features: np.ndarray, weight: np.ndarray, distance: str, similarity: str, sigma: float) -> Any:
    """Equation 9 and table 4, one feature vector, class and prototype at a time, before any logarithm."""
    result = np.zeros((len(features), len(weight)))
    for i, f in enumerate(features):
        for j, of_class in enumerate(weight):
            affinities = []
            for w in of_class:
                d = np.sum((f - w) ** 2) if distance == "l2_squared" else np.sum(np.abs(f - w))
                affinities.append(np.exp(-d / sigma) if similarity == "gaussian" else 1 / (1 + d / sigma))
            result[i, j] = np.log(max(affinities))
    return result


@pytest.mark.parametrize("prototypes", [1, 3])
@pytest.mark.parametrize("distance", ["l2_squared", "l1"])
@pytest.mark.parametrize("similarity", ["gaussian", "inverse"])
def test_logits_are_the_papers_log_affinities(prototypes: int, distance: str, similarity: str) -> None:
    torch.manual_seed(0)
    head = absolute(4, 5, prototypes=prototypes, sigma=3.0, distance=distance, similarity=similarity)
    features = torch.randn(6, 4, dtype=torch.float64)
    expected = log_affinities(features.numpy(), head.weight.detach().numpy(), distance, similarity, 3.0)
    np.testing.assert_allclose(head(features).detach().numpy(), expected, rtol=1e-10)


def test_one_prototype_is_equation_three() -> None:
    torch.manual_seed(0)
    head, features = absolute(4, 5, prototypes=1, sigma=0.7), torch.randn(6, 4, dtype=torch.float64)
    f, w = features.numpy()[:, None], head.weight.detach().numpy()[:, 0][None]
    np.testing.assert_allclose(head(features).exp().detach().numpy(), np.exp(-((f - w) ** 2).sum(2) / 0.7))


@given(seed=st.integers(0, 2**31), classes=st.integers(2, 6), prototypes=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_duplicating_every_prototype_leaves_the_affinities(seed: int, classes: int, prototypes: int) -> None:
    torch.manual_seed(seed)
    head, twice = absolute(3, classes, prototypes=prototypes), absolute(3, classes, prototypes=2 * prototypes)
    with torch.no_grad():
        twice.weight.copy_(head.weight.repeat_interleave(2, dim=1))
    features = torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(twice(features), head(features), rtol=1e-12, atol=0)


def test_order_of_a_class_own_prototypes_does_not_matter() -> None:
    head, features = absolute(3, 4, prototypes=3), torch.randn(5, 3, dtype=torch.float64)
    before = head(features)
    with torch.no_grad():
        head.weight.copy_(head.weight[:, torch.tensor([2, 0, 1])])
    assert torch.equal(head(features), before)


@pytest.mark.parametrize("sigma", [0.1, 10.0])
def test_512_features_rank_and_learn_where_every_affinity_is_zero(sigma: float) -> None:
    """With an absolute sigma exp(logits) underflows; the log affinities must not follow to -inf or NaN."""
    torch.manual_seed(0)
    head = PrototypeHead(512, 10, sigma=sigma, sigma_unit="absolute")
    features = (2 * torch.randn(8, 512)).requires_grad_()
    logits = head(features)
    assert not logits.exp().any()
    assert logits.isfinite().all()
    squares = torch.cdist(features.double(), head.weight.double().flatten(0, 1)).square()
    assert torch.equal(logits.argmax(1), squares.view(8, 10, 5).amin(2).argmin(1))
    for loss in (torch.nn.functional.cross_entropy(logits, torch.arange(8)), logits.exp().sum()):
        gradients = torch.autograd.grad(loss, (features, head.weight), retain_graph=True)
        assert all(gradient.isfinite().all() for gradient in gradients)


def test_rounding_never_gives_an_affinity_above_one() -> None:
    torch.manual_seed(0)
    far = 1e3 + torch.randn(20, 64)
    raw = far.square().sum(1, keepdim=True) - 2 * far @ far.T + far.square().sum(1)
    assert raw.min() < 0, "this test needs data on which the expanded form rounds below zero"
    assert squared_distances(far, far).min() == 0


def test_manhattan_and_squared_distances_agree_in_one_dimension() -> None:
    a, b = torch.randn(4, 1, dtype=torch.float64), torch.randn(3, 1, dtype=torch.float64)
    torch.testing.assert_close(manhattan_distances(a, b).square(), squared_distances(a, b))


@pytest.mark.parametrize("distance", ["l2_squared", "l1"])
def test_sigma_counts_in_medians_of_the_first_batch(distance: Any) -> None:
    torch.manual_seed(0)
    head = PrototypeHead(8, 3, prototypes=2, sigma=0.5, distance=distance)
    features, labels = 5 * torch.randn(7, 8), torch.zeros(7, dtype=torch.int64)
    assert head(features).isnan().all()
    head.calibrate(features, labels)
    f, w = features.numpy()[:, None], head.weight.detach().numpy().reshape(6, 8)[None]
    distances = ((f - w) ** 2).sum(2) if distance == "l2_squared" else np.abs(f - w).sum(2)
    median = np.sort(distances.ravel())[(distances.size - 1) // 2]  # torch takes the lower of two middles
    assert head.scale.item() == pytest.approx(median, rel=1e-5)
    paper = PrototypeHead(8, 3, prototypes=2, sigma=0.5 * median, sigma_unit="absolute", distance=distance)
    paper.load_state_dict({**paper.state_dict(), "weight": head.weight})
    torch.testing.assert_close(head(features), paper(features))


def test_calibration_happens_once_and_never_with_the_papers_unit() -> None:
    features, labels = torch.randn(7, 8), torch.zeros(7, dtype=torch.int64)
    head, paper = PrototypeHead(8, 3), PrototypeHead(8, 3, sigma_unit="absolute")
    for module in (head, paper):
        module.calibrate(features, labels)
    assert (head.calibrated.item(), paper.calibrated.item(), paper.scale.item()) == (True, True, 1.0)
    first = head.scale.clone()
    head.calibrate(100 * features, labels)
    assert torch.equal(head.scale, first)


def test_calibration_makes_the_logits_blind_to_a_common_scale() -> None:
    torch.manual_seed(0)
    head, scaled = PrototypeHead(8, 3), PrototypeHead(8, 3)
    features, labels = torch.randn(7, 8), torch.zeros(7, dtype=torch.int64)
    scaled.load_state_dict({**scaled.state_dict(), "weight": 10 * head.weight})
    head.calibrate(features, labels)
    scaled.calibrate(10 * features, labels)
    torch.testing.assert_close(scaled(10 * features), head(features))


@pytest.mark.parametrize("corners", [2, 3, 10])
def test_a_regular_simplex_has_no_penalty(corners: int) -> None:
    simplex = torch.eye(corners, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(corners, corners, dtype=torch.float64)).Q
    assert diversity_regulariser(3 * simplex @ rotation + 1).item() == pytest.approx(0, abs=1e-20)


@given(seed=st.integers(0, 2**31), count=st.integers(2, 7), size=st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_diversity_is_equations_seven_and_eight(seed: int, count: int, size: int) -> None:
    torch.manual_seed(seed)
    prototypes = torch.randn(count, size, dtype=torch.float64)
    w = prototypes.numpy()
    squares = [np.sum((w[j] - w[k]) ** 2) for k in range(count) for j in range(k)]
    mu = 2 / (count**2 - count) * sum(squares)
    expected = np.mean([(square - mu) ** 2 for square in squares])
    assert diversity_regulariser(prototypes).item() == pytest.approx(expected, rel=1e-9, abs=1e-18)


def test_diversity_has_the_right_gradient_also_where_prototypes_coincide() -> None:
    prototypes = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(diversity_regulariser, prototypes)
    same = torch.ones(4, 3, requires_grad=True)
    diversity_regulariser(same).backward()
    assert same.grad is not None
    assert not same.grad.any()


@pytest.mark.parametrize("feature_dim", [2, 128, 512])
def test_diversity_starts_near_32_over_the_number_of_features(feature_dim: int) -> None:
    torch.manual_seed(0)
    heads = [PrototypeHead(feature_dim, 10) for _ in range(20)]
    start = torch.stack([diversity_regulariser(head.weight.flatten(0, 1)) for head in heads]).mean().item()
    assert start == pytest.approx(32 / feature_dim, rel=0.35)


def test_penalty_is_weighted_and_taken_over_all_prototypes_of_all_classes() -> None:
    head = absolute(4, 3, prototypes=2, diversity_weight=0.25)
    penalty = head.penalty()
    assert penalty is not None
    expected = 0.25 * diversity_regulariser(head.weight.reshape(6, 4))
    torch.testing.assert_close(penalty, expected)
    assert absolute(4, 3, diversity_weight=0.0).penalty() is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_classes": 1}, "`num_classes` must be at least 2, got 1"),
        ({"prototypes": 0}, "`prototypes` must be at least 1, got 0"),
        ({"sigma": 0.0}, "`sigma` must be > 0 and finite, got 0.0"),
        ({"sigma": math.nan}, "`sigma` must be > 0 and finite, got nan"),
        ({"diversity_weight": -1.0}, "`diversity_weight` must be >= 0 and finite, got -1.0"),
        ({"distance": "l2"}, "`distance` must be one of l2_squared, l1, got 'l2'"),
        ({"similarity": "gausian"}, "`similarity` must be one of gaussian, inverse, got 'gausian'"),
        ({"sigma_unit": "medain"}, "`sigma_unit` must be one of median, absolute, got 'medain'"),
    ],
)
def test_bad_settings_say_what_was_allowed(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PrototypeHead(**{"feature_dim": 4, "num_classes": 3, **wrong})
