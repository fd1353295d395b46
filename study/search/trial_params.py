"""Natural params of stored trials, their text, and their sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from optuna.trial import FrozenTrial

from search_spaces import Space
from search_spaces.encoding import decode

PARAMS = "params"
"""User attribute of a trial: its natural params, exactly as used in training."""

PARAM_SOURCE = "param_source"
"""User attribute of a trial: the source of its params; absent if the searcher proposed them and says no more."""

BY_MODEL, BY_SOBOL = "model", "sobol"
"""Sources of proposals of `ratio-gp`: its model, or a Sobol sequence where the model has nothing to propose."""

SELECTED_EPOCH = "selected_epoch"
"""User attribute of an ended trial: the epoch that is its result; absent under ``select: last``."""

ENDED_WITH = "ended_with"
"""User attribute of a complete or pruned trial: ``metrics`` of the epoch that is its result, and ``precision`` and
``device`` of its training; with a race of seeds also ``test``, the metrics on the test images. Lists of trials, and
the race, then read the ledger alone."""

QUEUED_PARAMS = "fixed_params"
"""System attribute in which `Study.enqueue_trial` keeps a queued trial's params. It is private to Optuna."""


@runtime_checkable
class SaysSource(Protocol):
    """A sampler that makes proposals in several ways, and says in which way it made one.

    Attributes:
        param_source: the source of the params that `sample_relative` returned last; empty if it returned none.
    """

    param_source: str


def params_of(trial: FrozenTrial, space: Space) -> dict[str, Any]:
    """Return a trial's natural params.

    For a trial without stored natural params, the params sampled so far are decoded. This applies to trials interrupted
    during sampling and to studies stored before natural params were.

    Args:
        trial: a trial of the ledger, possibly a queued one.
        space: the search space of its cell.
    """
    noted = trial.user_attrs.get(PARAMS)
    if noted is not None:
        return dict(noted)
    queued: dict[str, Any] = trial.system_attrs.get(QUEUED_PARAMS, {})
    return decode(space, {**queued, **trial.params})


def param_source_of(trial: FrozenTrial) -> str:
    """Return the source of a trial's params; empty if the searcher proposed them."""
    return str(trial.user_attrs.get(PARAM_SOURCE, ""))


def params_text(params: Mapping[str, Any]) -> str:
    """Return natural params on one line, numbers with five significant digits.

    >>> params_text({"gamma": -1.25, "training.lr": 1 / 3}), params_text({})
    ('gamma=-1.25, lr=0.33333', 'nothing searched')
    """
    shown = (
        f"{name.removeprefix('training.')}={f'{value:.5g}' if isinstance(value, float) else value}"
        for name, value in params.items()
    )
    return ", ".join(shown) or "nothing searched"
