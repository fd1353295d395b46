"""Search spaces of mixup and Remix."""

from search_spaces.dimension import Range, Space, Spaces

MIXUP: Space = {"alpha": Range(low=0.1, high=2, scale="log")}

SPACES: Spaces = {
    "mixup": MIXUP,
    "mixup-drw": {**MIXUP, "beta": Range(low=0.9, high=0.99999, scale="log-complement")},
    "remix": {
        **MIXUP,
        "kappa": Range(low=1.5, high=10, scale="log"),
        "tau": Range(low=0.1, high=0.9),
    },
}
