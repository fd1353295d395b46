"""Updates: what happens to the weights in one step, one file each."""

from __future__ import annotations

from trainables.components.updates.gradient_step import Step, Update

__all__ = ["Step", "Update"]
