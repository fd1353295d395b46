"""Candidate values of a post-hoc adjustment."""

from __future__ import annotations

_STEPS = 20


def candidates(fixed: float | None, highest: float) -> tuple[float, ...]:
    """Return the fixed value alone, or 21 evenly spaced values from 0 (the identity) to ``highest``.

    >>> candidates(None, 2.0)[:3], candidates(None, 2.0)[-1], candidates(0.7, 2.0)
    ((0.0, 0.1, 0.2), 2.0, (0.7,))
    """
    if fixed is not None:
        return (fixed,)
    return tuple(round(highest * step / _STEPS, 9) for step in range(_STEPS + 1))
