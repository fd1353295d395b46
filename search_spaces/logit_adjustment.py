"""Search spaces of losses that adjust logits or labels."""

from search_spaces.dimension import Range, Spaces

SPACES: Spaces = {
    "lmsce": {"lam": Range(low=0, high=1)},
    "logit-adjustment": {"tau": Range(low=0, high=2)},
    "vs": {"gamma": Range(low=0, high=0.5), "tau": Range(low=0, high=2)},
    "las": {"head": Range(low=0.1, high=0.6), "tail": Range(low=0, high=0.1)},
}
