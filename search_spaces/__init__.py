"""What Optuna may vary: for every method of `trainables.methods.METHODS`, the space of its values."""

from search_spaces.adjusted import LAS, LMSCE, LOGIT_ADJUSTMENT, VS
from search_spaces.affinity import AFFINITY
from search_spaces.angular import FSLWF, GCL, MM_LDAM
from search_spaces.dimension import Choices, Dimension, Range, Space, distributions_of
from search_spaces.influence import EQUALIZATION_V2, IB, IB_FOCAL
from search_spaces.interpolation import SMOTE
from search_spaces.margin import ELM, ELM_DRW, LDAM, LDAM_DRW
from search_spaces.metric import CENTER, LIFTED, RANGE
from search_spaces.mixing import MIXUP, MIXUP_DRW, REMIX
from search_spaces.objectives import COT
from search_spaces.offset import OFFSET
from search_spaces.plain import NOTHING
from search_spaces.reshaped import CCE, FOCAL
from search_spaces.reweighted import CB_RW
from search_spaces.sharpness import SAM, SAM_DRW
from search_spaces.translation import M2M, M2M_LDAM
from search_spaces.weight_balancing import WEIGHT_BALANCING

SPACES: dict[str, Space] = {
    "erm": NOTHING,
    "rs": NOTHING,
    "rw": NOTHING,
    "cb-rw": CB_RW,
    "drw": CB_RW,
    "drs": NOTHING,
    "smote": SMOTE,
    "focal": FOCAL,
    "cce": CCE,
    "lmsce": LMSCE,
    "cot": COT,
    "cosen": NOTHING,
    "equalization-v2": EQUALIZATION_V2,
    "ib": IB,
    "ib-focal": IB_FOCAL,
    "balanced-softmax": NOTHING,
    "logit-adjustment": LOGIT_ADJUSTMENT,
    "vs": VS,
    "las": LAS,
    "ldam": LDAM,
    "ldam-drw": LDAM_DRW,
    "ldam-drs": LDAM,
    "elm": ELM,
    "elm-drw": ELM_DRW,
    "mm-ldam": MM_LDAM,
    "gcl": GCL,
    "fslwf": FSLWF,
    "offset": OFFSET,
    "empirical-offset": NOTHING,
    "center": CENTER,
    "range": RANGE,
    "lifted": LIFTED,
    "affinity": AFFINITY,
    "m2m": M2M,
    "m2m-ldam": M2M_LDAM,
    "mixup": MIXUP,
    "mixup-drw": MIXUP_DRW,
    "remix": REMIX,
    "crt": NOTHING,
    "lws": NOTHING,
    "tau-norm": NOTHING,
    "wvn-rs": NOTHING,
    "posthoc-logit-adjustment": NOTHING,
    "oltr": NOTHING,
    "weight-balancing": WEIGHT_BALANCING,
    "sam": SAM,
    "sam-drw": SAM_DRW,
}

__all__ = ["SPACES", "Choices", "Dimension", "Range", "Space", "distributions_of"]
