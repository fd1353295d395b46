"""Search spaces: for every method in `trainables.methods.registry.METHODS`, the params that Optuna may vary."""

from search_spaces.affinity import AFFINITY
from search_spaces.baselines import NOTHING
from search_spaces.complement_training import COT
from search_spaces.cosine_margin import FSLWF, GCL, MM_LDAM, MM_LDAM_DRW
from search_spaces.dimension import Choices, Dimension, Range, Space
from search_spaces.encoding import distributions_of
from search_spaces.influence import EQUALIZATION_V2, IB, IB_FOCAL
from search_spaces.ldam import ELM, ELM_DRW, LDAM, LDAM_DRW
from search_spaces.logit_adjustment import LAS, LMSCE, LOGIT_ADJUSTMENT, VS
from search_spaces.loss_shaping import CCE, FOCAL
from search_spaces.m2m import M2M, M2M_LDAM
from search_spaces.metric_learning import CENTER, LIFTED, RANGE
from search_spaces.mixup import MIXUP, MIXUP_DRW, REMIX
from search_spaces.offset import OFFSET
from search_spaces.reweighting import CB_RW
from search_spaces.sam import SAM, SAM_DRW
from search_spaces.smote import SMOTE
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
    "mm-ldam-drw": MM_LDAM_DRW,
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
    "rs-rescaling": NOTHING,
    "wvn-rs": NOTHING,
    "posthoc-logit-adjustment": NOTHING,
    "oltr": NOTHING,
    "weight-balancing": WEIGHT_BALANCING,
    "sam": SAM,
    "sam-drw": SAM_DRW,
}

__all__ = ["SPACES", "Choices", "Dimension", "Range", "Space", "distributions_of"]
