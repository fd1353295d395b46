"""Search spaces of mixup and Remix."""

from search_spaces.dimension import Range, Space

MIXUP: Space = {"alpha": Range(low=0.1, high=2, scale="log")}
MIXUP_DRW: Space = {**MIXUP, "beta": Range(low=0.9, high=0.99999, scale="log-complement")}
REMIX: Space = {
    **MIXUP,
    "kappa": Range(low=1.5, high=10, scale="log"),
    "tau": Range(low=0.1, high=0.9),
}
