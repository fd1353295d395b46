"""Search space of SMOTE."""

from search_spaces.dimension import Range, Space, Spaces

SMOTE: Space = {"neighbours": Range(low=1, high=20, integer=True)}

SPACES: Spaces = {
    "smote": SMOTE,
}
