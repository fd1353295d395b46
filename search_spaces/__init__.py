"""What Optuna may vary: for every method of `trainables.methods.METHODS`, the space of its values."""

from search_spaces.adjusted import LAS, LMSCE, LOGIT_ADJUSTMENT, VS
from search_spaces.affinity import AFFINITY
from search_spaces.dimension import Choices, Dimension, Range, Space
from search_spaces.influence import EQUALIZATION_V2, IB, IB_FOCAL
from search_spaces.margin import LDAM, LDAM_DRW
from search_spaces.plain import NOTHING
from search_spaces.reshaped import CCE, FOCAL
from search_spaces.reweighted import CB_RW

SPACES: dict[str, Space] = {
    "erm": NOTHING,
    "rs": NOTHING,
    "focal": FOCAL,
    "cce": CCE,
    "balanced-softmax": NOTHING,
    "ldam": LDAM,
    "ldam-drw": LDAM_DRW,
    "affinity": AFFINITY,
    "rw": NOTHING,
    "cb-rw": CB_RW,
    "drw": CB_RW,
    "drs": NOTHING,
    "lmsce": LMSCE,
    "logit-adjustment": LOGIT_ADJUSTMENT,
    "vs": VS,
    "las": LAS,
    "equalization-v2": EQUALIZATION_V2,
    "ib": IB,
    "ib-focal": IB_FOCAL,
}

__all__ = ["SPACES", "Choices", "Dimension", "Range", "Space"]
