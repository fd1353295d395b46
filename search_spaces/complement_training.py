"""Search space of complement objective training, which has no hyperparameters."""

from search_spaces.dimension import Spaces

SPACES: Spaces = {"cot": {}}
