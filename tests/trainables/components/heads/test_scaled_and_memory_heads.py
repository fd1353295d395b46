"""The head of LWS and the head of OLTR against their formulas in NumPy."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from trainables.components.heads import LinearHead, MemoryHead, ScaledHead


def _features(images: int = 4, dim: int = 5) -> torch.Tensor:
    return torch.randn(images, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def _memory_head(centroids: bool = True) -> MemoryHead:
    torch.manual_seed(0)
    head = MemoryHead(5, 3, scale=16.0, reach=10.0).double()
    torch.nn.init.normal_(head.bias)
    if centroids:
        head.remember(torch.randn(3, 5, dtype=torch.float64))
    return head


# ---- learnable weight scaling ------------------------------------------------------------------------------


def test_a_scale_of_1_is_the_linear_head_bit_for_bit() -> None:
    torch.manual_seed(0)
    linear = LinearHead(5, 3)
    torch.manual_seed(0)
    scaled = ScaledHead(5, 3)
    features = torch.randn(64, 5)
    one, other = (features.clone().requires_grad_() for _ in range(2))
    assert torch.equal(scaled.weight, linear.weight)
    assert torch.equal(scaled(one), linear(other))
    scaled(one).square().sum().backward()
    linear(other).square().sum().backward()
    assert one.grad is not None and other.grad is not None
    assert torch.equal(one.grad, other.grad)
    assert scaled.weight.grad is not None and linear.weight.grad is not None
    assert torch.equal(scaled.weight.grad, linear.weight.grad)


def test_the_scale_multiplies_weight_and_bias() -> None:
    head = ScaledHead(5, 3).double().requires_grad_(False)
    torch.nn.init.normal_(head.bias)
    head.scale.copy_(torch.tensor([0.5, -2.0, 7.0]))
    f, w, b, s = (t.numpy() for t in (_features(), head.weight, head.bias, head.scale))
    expected = [[s[k] * (sum(w[k] * x) + b[k]) for k in range(3)] for x in f]
    np.testing.assert_allclose(head(_features()), expected, rtol=0, atol=1e-12)


# ---- memory ------------------------------------------------------------------------------------------------


def _oltr(head: MemoryHead, x: np.ndarray) -> list[float]:
    """Compute the logits of one feature vector as the released code writes them, with numbers alone."""
    h, hb, f, fb, c, w = (
        t.detach().numpy()
        for t in (head.weight, head.bias, head.selector.weight, head.selector.bias, head.memory, head.directions)
    )
    values = np.array([h[k] @ x + hb[k] for k in range(len(h))])
    attention = np.exp(values) / np.exp(values).sum()
    remembered = sum(attention[k] * c[k] for k in range(len(c)))
    selector = np.tanh([f[j] @ x + fb[j] for j in range(len(x))])
    reachability = 10.0 / min(np.sqrt(((x - c[k]) ** 2).sum()) for k in range(len(c)))
    v = reachability * (x + selector * remembered)
    length = np.sqrt((v**2).sum())
    squashed = length / (1 + length) * (v / length)
    return [float(16.0 * squashed @ (w[k] / np.sqrt((w[k] ** 2).sum()))) for k in range(len(w))]


def test_with_a_memory_it_is_the_meta_embedding_and_the_cosine_classifier() -> None:
    head = _memory_head()
    expected = [_oltr(head, x) for x in _features().numpy()]
    np.testing.assert_allclose(head(_features()).detach(), expected, rtol=0, atol=1e-10)


def test_without_a_memory_it_is_the_linear_head_bit_for_bit() -> None:
    torch.manual_seed(0)
    linear = LinearHead(5, 3)
    torch.manual_seed(0)
    head = MemoryHead(5, 3)
    features = torch.randn(16, 5)
    assert torch.equal(head.weight, linear.weight)
    assert torch.equal(head(features), linear(features))


def test_a_scale_bounds_the_logits() -> None:
    assert _memory_head()(1e6 * _features()).abs().max() <= 16 * (1 + 1e-12)


def test_a_nearer_feature_reaches_further() -> None:
    head = _memory_head().requires_grad_(False)
    for parameter in (head.selector.weight, head.selector.bias):
        parameter.zero_()  # the embedding is the feature itself
    away = torch.zeros(1, 5, dtype=torch.float64)
    away[0, 0] = 1.0
    near, far = head(head.memory[:1] + 0.01 * away), head(head.memory[:1] + 0.5 * away)
    assert near.abs().max() > far.abs().max()


def test_gradients_are_right_in_float64() -> None:
    head = _memory_head()
    names = [name for name, _ in head.named_parameters()]

    def logits(features: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(head, dict(zip(names, values, strict=True)), (features,))

    features = _features().requires_grad_()
    assert torch.autograd.gradcheck(logits, (features, *(head.get_parameter(name) for name in names)))


def test_every_parameter_but_the_memory_moves() -> None:
    head = _memory_head()
    head(_features()).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in head.parameters())
    assert "memory" in dict(head.named_buffers())


@pytest.mark.parametrize("case", ["at its centroid", "no length", "nothing at all", "tiny", "huge"])
def test_extreme_features_give_finite_logits_and_gradients(case: str) -> None:
    head = _memory_head().float()
    if case == "nothing at all":
        head.remember(torch.zeros(3, 5))
    given = {"at its centroid": head.memory.clone(), "tiny": 1e-20 * torch.ones(3, 5), "huge": 1e15 * torch.ones(3, 5)}
    features = given.get(case, torch.zeros(3, 5)).requires_grad_()
    logits = head(features)
    logits.sum().backward()
    assert logits.isfinite().all()
    assert features.grad is not None and features.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


@pytest.mark.parametrize("given", [torch.bfloat16, torch.float32, torch.float64])
def test_logits_have_at_least_float32_whatever_autocast_says(given: torch.dtype) -> None:
    head = _memory_head().float()
    features = _features().to(given)
    plain = head(features)
    assert plain.dtype == torch.promote_types(given, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(head(features), plain)


def test_images_of_a_batch_do_not_meet() -> None:
    head, order = _memory_head(), torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(head(_features()[order]), head(_features())[order])


def test_renaming_the_classes_renames_the_logits() -> None:
    head, order = _memory_head(), torch.tensor([2, 0, 1])
    renamed = copy.deepcopy(head)
    with torch.no_grad():
        for mine, its in ((renamed.weight, head.weight), (renamed.bias, head.bias), (renamed.memory, head.memory)):
            mine.copy_(its[order])
        renamed.directions.copy_(head.directions[order])
    torch.testing.assert_close(renamed(_features()), head(_features())[:, order])


@pytest.mark.parametrize("centroids", [True, False])
def test_a_state_says_whether_there_is_a_memory(centroids: bool) -> None:
    head = _memory_head(centroids)
    restored = MemoryHead(5, 3).double()
    if not centroids:
        restored.remember(torch.zeros(3, 5, dtype=torch.float64))
    restored.load_state_dict(head.state_dict())
    assert restored.attends == centroids
    assert torch.equal(restored(_features()), head(_features()))


def test_the_state_of_a_linear_head_is_taken_over() -> None:
    linear, head = LinearHead(5, 3).double(), _memory_head(False)
    found = head.load_state_dict(linear.state_dict(), strict=False)
    assert not found.unexpected_keys
    assert not head.attends
    assert torch.equal(head(_features()), linear(_features()))
