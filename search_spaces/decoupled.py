"""Search spaces of decoupled training: only `search.training` of the study file varies."""

from search_spaces.dimension import Spaces

SPACES: Spaces = {"crt": {}, "lws": {}}
