"""Search spaces of losses weighted by gradients or influence."""

from search_spaces.dimension import Range, Space

EQUALIZATION_V2: Space = {
    "alpha": Range(low=0, high=8),
    "gamma": Range(low=4, high=20),
    "mu": Range(low=0.5, high=1),
}
IB: Space = {"alpha": Range(low=1, high=10000, scale="log")}
IB_FOCAL: Space = {**IB, "gamma": Range(low=0, high=5)}
