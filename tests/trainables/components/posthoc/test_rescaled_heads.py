"""Tau-normalisation, frequency rescaling and prior subtraction against their formulas, in NumPy float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.components.heads import CosineHead, LinearHead
from trainables.components.network import Outputs
from trainables.components.posthoc.candidates import candidates
from trainables.components.posthoc.frequency_rescaling import FrequencyRescaling
from trainables.components.posthoc.posthoc_change import PostHoc, pick
from trainables.components.posthoc.prior_subtraction import PriorSubtraction
from trainables.components.posthoc.tau_normalisation import TauNormalisation

COUNTS = torch.tensor([50, 500, 7, 1])
CHANGES: list[PostHoc] = [
    TauNormalisation(None),
    FrequencyRescaling(None, COUNTS),
    PriorSubtraction(None, COUNTS),
]


def _head(bias: bool = True) -> LinearHead:
    torch.manual_seed(0)
    head = LinearHead(5, 4, bias).double().requires_grad_(False)
    head.weight.mul_(torch.tensor([[0.1], [1.0], [3.0], [20.0]]))
    if head.bias is not None:
        torch.nn.init.normal_(head.bias)
    return head


def _outputs(head: LinearHead, images: int = 6) -> Outputs:
    features = torch.randn(images, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return Outputs(features, head(features))


def _directly(head: LinearHead, features: Tensor, divisors: list[float], keep_bias: bool = True) -> np.ndarray:
    w, f = head.weight.numpy(), features.numpy()
    b = head.bias.numpy() if head.bias is not None and keep_bias else np.zeros(len(w))
    logits = np.zeros((len(f), len(w)))
    for i in range(len(f)):
        for k in range(len(w)):
            logits[i, k] = sum(w[k, j] / divisors[k] * f[i, j] for j in range(w.shape[1])) + b[k]
    return logits


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("tau", [0.0, 0.3, 1.0, 2.0])
def test_tau_normalisation_divides_rows_by_a_power_of_their_length(tau: float, bias: bool) -> None:
    head = _head(bias)
    outputs = _outputs(head)
    divisors = [sum(x * x for x in row) ** (tau / 2) for row in head.weight.tolist()]
    ours = TauNormalisation(tau).logits(head, outputs, tau, None)
    np.testing.assert_allclose(ours, _directly(head, outputs.features, divisors), rtol=0, atol=1e-10)


def test_tau_normalisation_of_the_paper_has_no_bias() -> None:
    head = _head()
    outputs = _outputs(head)
    divisors = [float(np.linalg.norm(row)) ** 0.7 for row in head.weight.numpy()]
    ours = TauNormalisation(0.7, keep_bias=False).logits(head, outputs, 0.7, None)
    np.testing.assert_allclose(ours, _directly(head, outputs.features, divisors, False), rtol=0, atol=1e-10)


@pytest.mark.parametrize("gamma", [0.0, 0.25, 1.0])
def test_frequency_rescaling_divides_rows_by_a_power_of_the_share(gamma: float) -> None:
    head = _head()
    outputs = _outputs(head)
    divisors = [(n / max(COUNTS.tolist())) ** gamma for n in COUNTS.tolist()]
    ours = FrequencyRescaling(gamma, COUNTS).logits(head, outputs, gamma, None)
    expected = _directly(head, outputs.features, divisors)
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("tau", [0.0, 0.5, 2.0])
def test_prior_subtraction_is_its_equation(tau: float) -> None:
    head = _head()
    outputs = _outputs(head)
    total = sum(COUNTS.tolist())
    expected = [
        [z - tau * np.log(n / total) for z, n in zip(row, COUNTS.tolist(), strict=True)]
        for row in outputs.logits.tolist()
    ]
    ours = PriorSubtraction(tau, COUNTS).logits(head, outputs, tau, None)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: type(change).__name__)
def test_the_first_candidate_is_the_identity_bit_for_bit(change: PostHoc) -> None:
    head = _head()
    outputs = _outputs(head)
    assert change.values[0] == 0
    assert not change.needs_class_means
    assert torch.equal(change.logits(head, outputs, 0.0, None), outputs.logits)
    single = Outputs(outputs.features.float(), outputs.logits.float())
    assert torch.equal(change.logits(head.float(), single, 0.0, None), single.logits)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: type(change).__name__)
def test_every_candidate_gives_finite_logits(change: PostHoc) -> None:
    head = _head()
    head.weight[2] = 0  # no direction, no length
    outputs = _outputs(head)
    huge = Outputs(outputs.features, 800 * outputs.logits.sign())
    for value in change.values:
        assert change.logits(head, outputs, value, None).isfinite().all()
        assert change.logits(head, huge, value, None).isfinite().all()


def test_tau_1_gives_all_rows_the_same_length() -> None:
    head = _head(bias=False)
    along = head.weight / head.weight.norm(dim=1, keepdim=True)
    logits = TauNormalisation(1.0).logits(head, Outputs(along, head(along)), 1.0, None)
    torch.testing.assert_close(logits.diagonal(), torch.ones(4, dtype=torch.float64))


def test_equal_counts_are_not_rescaled_and_keep_their_order() -> None:
    head = _head()
    outputs, equal = _outputs(head), torch.full((4,), 9)
    assert torch.equal(FrequencyRescaling(1.0, equal).logits(head, outputs, 1.0, None), outputs.logits)
    shifted = PriorSubtraction(2.0, equal).logits(head, outputs, 2.0, None)
    assert torch.equal(shifted.argsort(dim=1), outputs.logits.argsort(dim=1))


def test_two_classes_one_of_a_single_image() -> None:
    counts = torch.tensor([100, 1])
    torch.testing.assert_close(
        FrequencyRescaling(0.5, counts).factors(0.5), torch.tensor([1.0, 10.0], dtype=torch.float64)
    )
    outputs = Outputs(torch.zeros(1, 1), torch.zeros(1, 2))
    adjusted = PriorSubtraction(1.0, counts).logits(None, outputs, 1.0, None)
    assert adjusted[0].tolist() == pytest.approx([-np.log(100 / 101), np.log(101)])


def test_the_best_candidate_is_picked_and_a_fixed_one_taken() -> None:
    counts = torch.tensor([99, 1])
    logits = torch.tensor([[2.0, 0.0], [1.0, 0.0], [9.0, 0.0], [9.0, 0.0]])  # the rare class never wins
    outputs, labels = Outputs(torch.zeros(4, 1), logits), torch.tensor([1, 1, 0, 0])
    head = LinearHead(1, 2)
    picked = pick(PriorSubtraction(None, counts), head, outputs, labels, None, None)
    assert picked.value == 0.5  # the first at which log 99 times tau exceeds 2
    assert picked.confusion.tolist() == [[2, 0], [0, 2]]
    assert pick(PriorSubtraction(0.3, counts), head, outputs, labels, None, None).value == 0.3
    assert pick(PriorSubtraction(None, counts), head, outputs, labels, None, 1.7).value == 1.7


def test_of_equal_candidates_the_one_that_changes_least_is_picked() -> None:
    head = _head()
    outputs = _outputs(head)
    labels = outputs.logits.argmax(dim=1)  # as trained nothing is wrong
    assert pick(TauNormalisation(None), head, outputs, labels, None, None).value == 0


def test_candidates() -> None:
    assert candidates(None, 2.0) == tuple(i / 10 for i in range(21))
    assert candidates(None, 1.0) == tuple(i / 20 for i in range(21))
    assert candidates(0.0, 2.0) == (0.0,)


def test_a_head_without_rows_to_rescale_is_refused() -> None:
    outputs = Outputs(torch.zeros(1, 5), torch.zeros(1, 4))
    with pytest.raises(TypeError, match="linear head can be rescaled, got CosineHead"):
        TauNormalisation(1.0).logits(CosineHead(5, 4), outputs, 1.0, None)
