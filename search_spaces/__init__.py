"""What Optuna may vary: for every method of `trainables.methods.METHODS`, the space of its values."""

from search_spaces.affinity import AFFINITY
from search_spaces.dimension import Choices, Dimension, Range, Space
from search_spaces.margin import LDAM, LDAM_DRW
from search_spaces.plain import NOTHING
from search_spaces.reshaped import CCE, FOCAL
from search_spaces.translation import M2M, M2M_LDAM

SPACES: dict[str, Space] = {
    "erm": NOTHING,
    "rs": NOTHING,
    "focal": FOCAL,
    "cce": CCE,
    "balanced-softmax": NOTHING,
    "ldam": LDAM,
    "ldam-drw": LDAM_DRW,
    "affinity": AFFINITY,
    "m2m": M2M,
    "m2m-ldam": M2M_LDAM,
}

__all__ = ["SPACES", "Choices", "Dimension", "Range", "Space"]
