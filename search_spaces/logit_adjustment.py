"""Search spaces of losses that adjust logits or labels."""

from search_spaces.dimension import Range, Space

LMSCE: Space = {"lam": Range(low=0, high=1)}
LOGIT_ADJUSTMENT: Space = {"tau": Range(low=0, high=2)}
VS: Space = {"gamma": Range(low=0, high=0.5), "tau": Range(low=0, high=2)}
LAS: Space = {"head": Range(low=0.1, high=0.6), "tail": Range(low=0, high=0.1)}
