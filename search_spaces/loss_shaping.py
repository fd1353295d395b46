"""Search spaces of losses that reshape cross entropy."""

from search_spaces.dimension import Range, Spaces

_CCE_GRID = (-1, -2, -3, -4, -5, -10, -20, -30, -40, -50)

SPACES: Spaces = {
    "focal": {"gamma": Range(low=0, high=5)},
    "cce": {"gamma": Range(low=-50, high=-0.1, scale="log", grid=_CCE_GRID)},
    "balanced-softmax": {},
}
