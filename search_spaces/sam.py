"""Search spaces of sharpness-aware minimisation."""

from search_spaces.dimension import Range, Space, Spaces

SAM: Space = {"rho": Range(low=0.05, high=0.8, scale="log")}

SPACES: Spaces = {
    "sam": SAM,
    "sam-drw": {**SAM, "beta": Range(low=0.9, high=0.99999, scale="log-complement")},
}
