"""Search spaces of major-to-minor translation (M2m)."""

from search_spaces.dimension import Range, Space, Spaces
from search_spaces.ldam import LDAM

M2M: Space = {
    "beta": Range(low=0.9, high=0.999, scale="log-complement", grid=(0.9, 0.99, 0.999)),
    "lam": Range(low=0.01, high=0.5, scale="log", grid=(0.01, 0.1, 0.5)),
    "gamma": Range(low=0.8, high=0.99, grid=(0.9, 0.99)),
}

SPACES: Spaces = {
    "m2m": M2M,
    "m2m-ldam": {**LDAM, **M2M},
}
