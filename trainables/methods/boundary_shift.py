"""Shift of the boundary between two classes by a method's margins or priors, in nats, without torch.

Two classes a (rare) and b (frequent) are told apart by the gap g = z_a - z_b of their scaled logits. A loss asks for
g > m_a of examples of a, and for -g > m_b of examples of b. Halfway between both demands lies the boundary

    (m_a - m_b) / 2

in favour of the rare class; without margins it is 0. Training on counts n with cross entropy moves the boundary
against the rare class by log(n_b / n_a), the log of the ratio. A shift of that size makes up for the counts; one of
several times that size predicts the rare class where its evidence is weak, unless the network can separate the classes
by that much.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

BoundaryShift: TypeAlias = Callable[[Any, float], float]
"""(params, ratio n_max / n_min) -> shift between largest and smallest class, in nats in favour of the smallest."""

EXCESSIVE = 2.0
"""Multiple of log(ratio) beyond which a shift is worth a warning."""


def label_margin_shift(scale: float, max_margin: float, ratio: float, *, own: float = 1.0, rival: float = 0.0) -> float:
    """Return the shift by margins D_j = M n_j^(-1/4) / max_k n_k^(-1/4): s M (own + rival) / 2 (1 - ratio^(-1/4)).

    Args:
        scale: s.
        max_margin: M.
        ratio: n_max / n_min, at least 1.
        own: factor of the target's margin, which is taken off its cosine; 1 in LDAM.
        rival: factor of the rival's margin, which is added to it; lambda in ELM.

    Returns:
        Nats, at least 0.

    Source: Kato and Hotta, 2023, eq 6, whose margins are m_a = s (own D_a - rival D_b).

    >>> round(label_margin_shift(30, 0.5, 100, rival=1.0), 1), round(math.log(100), 1)
    (10.3, 4.6)
    """
    return scale * max_margin * (own + rival) / 2 * (1 - math.pow(ratio, -0.25))


def excessive(shift: float, ratio: float) -> bool:
    """Return True if a shift exceeds twice the log of the ratio.

    >>> excessive(10.3, 100), excessive(9.2, 100), excessive(0.0, 1)
    (True, False, False)
    """
    return abs(shift) > EXCESSIVE * math.log(ratio)
