"""Search spaces of losses weighted by gradients or influence."""

from search_spaces.dimension import Range, Space, Spaces

IB: Space = {"alpha": Range(low=1, high=10000, scale="log")}

SPACES: Spaces = {
    "equalization-v2": {
        "alpha": Range(low=0, high=8),
        "gamma": Range(low=4, high=20),
        "mu": Range(low=0.5, high=1),
    },
    "ib": IB,
    "ib-focal": {**IB, "gamma": Range(low=0, high=5)},
}
