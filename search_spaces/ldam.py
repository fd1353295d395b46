"""Search spaces of LDAM and ELM."""

from search_spaces.dimension import Choices, Range, Space, Spaces

_BETA = Range(low=0.9, high=0.99999, scale="log-complement")

LDAM: Space = {
    "max_margin": Range(low=0.1, high=1),
    "scale": Choices(choices=(10.0, 20.0, 30.0, 64.0)),
}
ELM: Space = {
    **LDAM,
    "scale": Choices(choices=(10.0, 13.0, 20.0, 30.0, 64.0)),
    "lam": Range(low=0, high=1.2, grid=(0.1, 0.5, 1, 1.2)),
}

SPACES: Spaces = {
    "ldam": LDAM,
    "ldam-drw": {**LDAM, "beta": _BETA},
    "ldam-drs": LDAM,
    "elm": ELM,
    "elm-drw": {**ELM, "beta": _BETA},
}
