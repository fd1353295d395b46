"""Translation of images from one class to another by gradient steps, as M2m makes minority images of majority ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from trainables.components.losses.cross_entropy import cross_entropy, promoted

Confidence = Literal["probability", "loss"]
Bounds = tuple[float, float]


def acceptance_probability(seed_counts: Tensor, target_counts: Tensor, beta: float) -> Tensor:
    """Return P(accept x* | k0, k) = 1 - beta^max(n_k0 - n_k, 0).

    Args:
        seed_counts: n_k0, training images of the seed's class.
        target_counts: n_k, of the target's; any shape that broadcasts with the other.
        beta: in [0, 1); the smaller, the more the reference is trusted.

    Returns:
        Float64, of the broadcast shape; 0 where n_k0 <= n_k.

    Raises:
        ValueError: beta outside [0, 1).

    Source: Kim, Jeong and Shin, 2020, eq 3; Q(k0 | k) of eq 5 is in proportion.

    >>> acceptance_probability(torch.tensor([3, 1]), torch.tensor([1, 3]), 0.5)
    tensor([0.7500, 0.0000], dtype=torch.float64)
    """
    if not 0 <= beta < 1:
        raise ValueError(f"`beta` must be in [0, 1), got {beta}")
    surplus = (seed_counts.double() - target_counts.double()).clamp_min(0)
    return 1 - torch.as_tensor(beta, dtype=torch.float64, device=surplus.device) ** surplus


def translation_objective(
    reference_logits: Tensor, targets: Tensor, seed_logits: Tensor | None = None, *, lam: float = 0.0
) -> Tensor:
    """Return L(g; x, k) + lam * f_k0(x) of every image: what a translation lowers.

    Args:
        reference_logits: g(x), shape (S, K).
        targets: k, int64, shape (S,).
        seed_logits: f_k0(x), the raw logit of the seed's class, shape (S,); None leaves the term out.
        lam: lambda, at least 0.

    Returns:
        Shape (S,), nats.

    Source: Kim, Jeong and Shin, 2020, eq 2.

    >>> translation_objective(torch.zeros(1, 2), torch.tensor([0]), torch.tensor([4.0]), lam=0.5)
    tensor([2.6931])
    """
    losses = cross_entropy(reference_logits, targets)
    return losses if seed_logits is None else losses + lam * promoted(seed_logits)


def translate(
    starts: Tensor,
    objective: Callable[[Tensor], Tensor],
    *,
    steps: int,
    step_size: float,
    bounds: Bounds | None = (0.0, 1.0),
) -> Tensor:
    """Return x* after T times x <- clamp(x - eta * d / ||d||_2), d the gradient of an image's objective.

    All images take their steps together; one without gradient stays where it is.

    Args:
        starts: shape (S, ...), floating.
        objective: images to one value per image, shape (S,), each of its own image alone.
        steps: T, at least 0.
        step_size: eta, the L2 length of an image's step before clamping.
        bounds: least and largest pixel, kept in every step and at the start; None does not clamp.

    Returns:
        Shape (S, ...), without gradient.

    Source: Kim, Jeong and Shin, 2020, algorithm 1, lines 6 to 10; the clamp is their released code's.

    >>> translate(torch.tensor([[0.5, 0.5]]), lambda x: x[:, 0], steps=2, step_size=0.125)
    tensor([[0.2500, 0.5000]])
    """
    images = _clamped(starts.detach(), bounds)
    for _ in range(steps):
        moving = images.requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(objective(moving).sum(), moving)
        images = _clamped(moving.detach() - step_size * unit_images(gradient), bounds)
    return images


def unit_images(images: Tensor) -> Tensor:
    """Scale every image of (S, ...) to L2 length 1; zeros stay zeros.

    >>> unit_images(torch.tensor([[3e-30, 4e-30], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    others = tuple(range(1, images.ndim))
    # by the largest entry first: squares of a confident classifier's tiny gradients would vanish in float32
    largest = images.abs().amax(dim=others, keepdim=True)
    scaled = images / torch.where(largest == 0, 1, largest)
    lengths = scaled.square().sum(dim=others, keepdim=True).sqrt()
    return scaled / torch.where(largest == 0, 1, lengths)


def confident(reference_logits: Tensor, targets: Tensor, *, gamma: float, measure: Confidence) -> Tensor:
    """Tell which images the reference takes for their target: p_k >= gamma, or CE <= gamma.

    Args:
        reference_logits: g(x*), shape (S, K).
        targets: k, int64, shape (S,).
        gamma: threshold.
        measure: ``probability`` compares p_k, as the released code does; ``loss`` the cross entropy, as
            algorithm 1 does.

    Returns:
        Bool, shape (S,).

    Raises:
        ValueError: another measure.

    Source: Kim, Jeong and Shin, 2020, algorithm 1, line 12.

    >>> confident(torch.tensor([[0.0, 1.0]] * 2), torch.tensor([1, 0]), gamma=0.5, measure="probability")
    tensor([ True, False])
    """
    losses = cross_entropy(reference_logits, targets)
    if measure == "probability":
        return torch.exp(-losses) >= gamma
    if measure == "loss":
        return losses <= gamma
    raise ValueError(f"`measure` must be 'probability' or 'loss', got {measure!r}")


@contextmanager
def held_constant(network: nn.Module) -> Iterator[None]:
    """Keep a network in evaluation mode and its parameters out of every graph; put both back as they were."""
    modes = [(module, module.training) for module in network.modules()]
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    network.eval()
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
        for module, mode in modes:
            module.training = mode


def _clamped(images: Tensor, bounds: Bounds | None) -> Tensor:
    return images.clone() if bounds is None else images.clamp(*bounds)
