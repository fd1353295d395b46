"""Search space of open long-tailed recognition: only `search.training` of the study file varies."""

from search_spaces.dimension import Spaces

SPACES: Spaces = {"oltr": {}}
