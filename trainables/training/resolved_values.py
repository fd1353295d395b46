"""Values behind names in a configuration: a method's params after its preset, and the precision of a device."""

from __future__ import annotations

from typing import Any

import torch

from trainables.core.config import TrialConfig
from trainables.core.device import precision_used
from trainables.methods.registry import build_params

Resolved = dict[str, Any]
"""``params``: a method's params, name -> value; ``precision``: its name; ``precision_used``: the dtype's name."""


def resolved_values(config: TrialConfig, device: torch.device) -> Resolved:
    """Return the values that the names of a preset and of a precision stand for, as plain containers."""
    return {
        "params": build_params(config.method).model_dump(mode="json"),
        "precision": config.training.precision,
        "precision_used": precision_used(config.training.precision, device),
    }


def changed_value(before: Resolved, now: Resolved) -> str | None:
    """Return the first value that differs, in words, or None.

    A param that only one of them knows was added or removed since. One name of a precision may stand for another dtype
    on another device, and a training may continue there.

    >>> changed_value({"params": {"margin": 0.75}}, {"params": {"margin": 0.3, "sigma": 1.0}})
    '`margin` 0.75, not 0.3'
    """
    old, new = before.get("params", {}), now["params"]
    for name in new.keys() & old.keys():
        if old[name] != new[name]:
            return f"`{name}` {old[name]!r}, not {new[name]!r}"
    given = before.get("precision", now.get("precision"))
    if given != now.get("precision") and before["precision_used"] != now["precision_used"]:
        return f"precision {given} ({before['precision_used']}), not {now['precision']} ({now['precision_used']})"
    return None
