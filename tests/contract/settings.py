"""Settings under which a hyperparameter acts, where it does not under the method's defaults.

(method, field) -> the other values of the method; the key ``field*`` is the value to compare the default with.
"""

from __future__ import annotations

from typing import Any

# few digits are translated with confidence under the defaults, which are made for thousands of images a class
_TRANSLATING = {"beta": 0.9, "gamma": 0.2}
_OF_TRANSLATION: dict[str, dict[str, Any]] = {
    "beta": {"gamma": 0.2},
    "gamma": {"beta": 0.9, "gamma*": 0.2},
    "pool_size": {**_TRANSLATING, "pool_size*": 10},
    **dict.fromkeys(("lam", "confidence", "steps", "step_size", "noise", "clean", "random_label"), _TRANSLATING),
}
UNDER: dict[tuple[str, str], dict[str, Any]] = {
    ("offset", "warmup"): {"warmup": 0.5},  # half of the default, 0, is 0
    ("tau-norm", "tau"): {"tau*": 2.0},
    ("rs-rescaling", "gamma"): {"gamma*": 1.0},
    ("wvn-rs", "gamma"): {"gamma*": 1.0},
    ("adaptformer", "dropout"): {"dropout*": 0.5},  # half of the default, 0, is 0
    ("lift", "width"): {"width*": 4},
    ("posthoc-logit-adjustment", "tau"): {"tau*": 2.0},
    **{(name, field): given for name in ("m2m", "m2m-ldam") for field, given in _OF_TRANSLATION.items()},
}

# methods that count a part of their loss as a constant: their gradient is right where it differs from the derivative
STOPS_GRADIENT = {"mm-ldam", "mm-ldam-drw", "ib", "ib-focal"}

WITHOUT_SHARED_PREFIX = {"weight-balancing": "no method of one stage has a weight decay of its own"}
"""Methods with stages whose first ones are no other method's training, and why."""
