"""Spaces of losses that reshape cross entropy."""

from search_spaces.dimension import Range, Space

CCE: Space = {"gamma": Range(low=-50, high=-0.1, scale="log")}
FOCAL: Space = {"gamma": Range(low=0, high=5)}
