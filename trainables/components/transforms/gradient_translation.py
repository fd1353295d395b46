"""Translation of images from one class to another by gradient steps, as in M2m."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from trainables.components.losses.cross_entropy import cross_entropy, promoted
from trainables.components.variants import Confidence

Bounds = tuple[float, float]


def acceptance_probability(seed_counts: Tensor, target_counts: Tensor, beta: float) -> Tensor:
    """Return P(accept x* | k0, k) = 1 - beta^max(n_k0 - n_k, 0).

    Args:
        seed_counts: n_k0, number of training images of the seed's class.
        target_counts: n_k, number of training images of the target class; broadcasts with ``seed_counts``.
        beta: in [0, 1); smaller values accept more images.

    Returns:
        Float64, of the broadcast shape, in [0, 1]; 0 where n_k0 <= n_k.

    Raises:
        ValueError: if ``beta`` is outside [0, 1).

    Source: Kim, Jeong and Shin, 2020, eq 3; Q(k0 | k) of eq 5 is proportional to it.

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
    """Return L(g; x, k) + lam * f_k0(x) per image, the objective that a translation minimises.

    Args:
        reference_logits: g(x), shape (S, K).
        targets: k, int64, shape (S,).
        seed_logits: f_k0(x), logit of the seed's class, shape (S,); None omits the term.
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
    """Return x* after T steps x <- clamp(x - eta * d / ||d||_2), where d is the gradient of the image's objective.

    All images are translated as one batch; an image with zero gradient does not change.

    Args:
        starts: shape (S, ...), floating point.
        objective: maps images to one value per image, shape (S,), each depending on its own image only.
        steps: T, at least 0.
        step_size: eta, L2 norm of a step before clamping.
        bounds: minimum and maximum pixel value, applied to the start and after every step; None disables clamping.

    Returns:
        Shape (S, ...), detached.

    Source: Kim, Jeong and Shin, 2020, algorithm 1, lines 6 to 10; clamping follows their released code.

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
    """Scale each image of (S, ...) to L2 norm 1; zero images stay zero.

    >>> unit_images(torch.tensor([[3e-30, 4e-30], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    others = tuple(range(1, images.ndim))
    # divide by the largest entry first: squares of tiny gradients would underflow in float32
    largest = images.abs().amax(dim=others, keepdim=True)
    scaled = images / torch.where(largest == 0, 1, largest)
    lengths = scaled.square().sum(dim=others, keepdim=True).sqrt()
    return scaled / torch.where(largest == 0, 1, lengths)


def confident(reference_logits: Tensor, targets: Tensor, *, gamma: float, measure: Confidence) -> Tensor:
    """Return which images the reference classifies as their target with confidence: p_k >= gamma, or CE <= gamma.

    Args:
        reference_logits: g(x*), shape (S, K).
        targets: k, int64, shape (S,).
        gamma: threshold on the measure.
        measure: ``probability`` compares p_k, as the released code does; ``loss`` compares the cross entropy, as
            algorithm 1 does.

    Returns:
        Bool, shape (S,).

    Raises:
        ValueError: if ``measure`` is unknown.

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
    """Put a network into evaluation mode without parameter gradients within the context; restore both afterwards."""
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
