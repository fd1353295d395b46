"""Search spaces of losses on distances between features."""

from search_spaces.dimension import Range, Spaces

SPACES: Spaces = {
    "center": {"center_weight": Range(low=1e-4, high=1, scale="log")},
    "range": {
        "intra_weight": Range(low=1e-6, high=0.1, scale="log"),
        "inter_weight": Range(low=1e-6, high=0.1, scale="log"),
        "margin": Range(low=1, high=1e5, scale="log"),
    },
    "lifted": {
        "lifted_weight": Range(low=1e-3, high=1, scale="log"),
        "margin": Range(low=0.1, high=2, scale="log"),
    },
}
