"""Search space of re-weighting; the normalisation of the weighted sum is not searched."""

from search_spaces.dimension import Range, Space, Spaces

CB_RW: Space = {"beta": Range(low=0.9, high=0.99999, scale="log-complement")}

SPACES: Spaces = {
    "rw": {},
    "cb-rw": CB_RW,
    "drw": CB_RW,
    "drs": {},
}
