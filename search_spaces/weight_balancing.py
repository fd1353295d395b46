"""Search space of weight balancing."""

from search_spaces.dimension import Range, Spaces

SPACES: Spaces = {
    "weight-balancing": {
        "first_weight_decay": Range(low=1e-4, high=2e-2, scale="log"),
        "head_weight_decay": Range(low=1e-3, high=1, scale="log"),
        "longest_row": Range(low=0, high=1),
    },
}
