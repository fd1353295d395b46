"""Search space of cost-sensitive softmax: its costs come from the class counts."""

from search_spaces.dimension import Spaces

SPACES: Spaces = {"cosen": {}}
