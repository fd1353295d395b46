"""Search space of methods without params: only `search.training` of the study file varies."""

from search_spaces.dimension import Space

NOTHING: Space = {}
