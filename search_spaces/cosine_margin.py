"""Search spaces of MM-LDAM, GCL and FSLwF."""

from search_spaces.dimension import Choices, Range, Space, Spaces

MM_LDAM: Space = {
    "max_margin": Range(low=0.5, high=3),
    "gamma": Range(low=1, high=10, scale="log"),
    "scale": Choices(choices=(10.0, 19.0, 26.0, 30.0, 64.0)),
}
GCL: Space = {
    "margin": Range(low=0, high=1),
    "noise": Range(low=0, high=2),
    "scale": Choices(choices=(10.0, 20.0, 30.0, 64.0)),
}

SPACES: Spaces = {
    "mm-ldam": MM_LDAM,
    "mm-ldam-drw": {**MM_LDAM, "beta": Range(low=0.9, high=0.99999, scale="log-complement")},
    "gcl": GCL,
    "fslwf": {"initial_scale": Range(low=1, high=64, scale="log")},
}
