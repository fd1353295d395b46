"""Search spaces of methods without params: only `search.training` of the study file varies."""

from search_spaces.dimension import Spaces

SPACES: Spaces = {"erm": {}, "rs": {}}
