"""Names of the variants of components. Free of torch, so that params of methods can list them."""

from __future__ import annotations

from typing import Literal

ComplementVariant = Literal["paper", "official"]
"""Sign and divisor of the complement entropy: those of the paper's equations or of its released code."""

CotVariant = Literal["paper", "official", "joint"]
"""Steps of COT: two in turn (the paper's or its released code's), or a single one on the sum of both objectives."""

Confidence = Literal["probability", "loss"]
"""Measure of M2m's acceptance test: p_g(k) >= gamma (released code) or CE(g(x*), k) <= gamma (paper)."""

Divisor = Literal["weights", "examples"]
"""Divisor of a weighted mean of losses: the sum of the weights or the number of examples."""
