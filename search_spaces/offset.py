"""Search space of the estimated offset; the empirical offset has no hyperparameters."""

from search_spaces.dimension import Range, Spaces

SPACES: Spaces = {
    "offset": {
        "center_weight": Range(low=1e-4, high=1, scale="log"),
        "constraint_weight": Range(low=1e-3, high=10, scale="log"),
    },
    "empirical-offset": {},
}
