"""Spaces of margin losses."""

from search_spaces.dimension import Choices, Range, Space

LDAM: Space = {
    "max_margin": Range(low=0.1, high=1),
    "scale": Choices(choices=(10.0, 20.0, 30.0, 64.0)),
}
LDAM_DRW: Space = {**LDAM, "beta": Range(low=0.9, high=0.99999, scale="log-complement")}
