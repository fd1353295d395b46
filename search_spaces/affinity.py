"""Search space of the affinity loss."""

from search_spaces.dimension import Range, Spaces

SPACES: Spaces = {
    "affinity": {
        "margin": Range(low=0.01, high=1),
        "sigma": Range(low=0.1, high=100, scale="log", grid=(0.1, 0.5, 1, 5, 10, 20, 50)),
        "prototypes": Range(low=1, high=20, integer=True),
        "diversity_weight": Range(low=1e-3, high=10, scale="log"),
    },
}
