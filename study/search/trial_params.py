"""Natural params of stored trials, and where they come from."""

from __future__ import annotations

from typing import Any

from optuna.trial import FrozenTrial

from search_spaces import Space
from search_spaces.encoding import decode

PARAMS = "params"
"""User attribute of a trial: its natural params, exactly as it is trained with them."""

PARAM_SOURCE = "param_source"
"""User attribute of a trial: where its params come from; absent where the searcher proposed them."""


def params_of(trial: FrozenTrial, space: Space) -> dict[str, Any]:
    """Return a trial's natural params.

    A trial that was cut off before they were written has what Optuna sampled for it so far, decoded; so does one of
    a study stored before natural params were.

    Args:
        trial: as the ledger holds it, also one that waits in the queue.
        space: what its cell searches.
    """
    noted = trial.user_attrs.get(PARAMS)
    if noted is not None:
        return dict(noted)
    queued: dict[str, Any] = trial.system_attrs.get("fixed_params", {})
    return decode(space, {**queued, **trial.params})


def param_source_of(trial: FrozenTrial) -> str:
    """Return where the params of a trial come from; empty where the searcher proposed them."""
    return str(trial.user_attrs.get(PARAM_SOURCE, ""))
