"""Search spaces of parameter-efficient fine-tuning."""

from search_spaces.dimension import Choices, Range, Spaces

SPACES: Spaces = {
    "linear-probe": {},
    "bitfit": {},
    "lora": {
        "rank": Range(low=1, high=64, scale="log", integer=True, grid=(1, 2, 4, 8, 64)),
        "alpha": Range(low=1, high=64, scale="log"),
    },
    "adaptformer": {
        "width": Range(low=1, high=256, scale="log", integer=True, grid=(1, 4, 16, 32, 64, 256)),
        "adapter_scale": Choices(choices=(0.01, 0.05, 0.1, 0.2)),
    },
    "lift": {"scale": Range(low=10, high=50, scale="log"), "tau": Range(low=0, high=2)},
}
