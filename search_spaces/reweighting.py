"""Spaces of re-weighting; what the weighted sum is divided by is a convention and not searched."""

from search_spaces.dimension import Range, Space

CB_RW: Space = {"beta": Range(low=0.9, high=0.99999, scale="log-complement")}
