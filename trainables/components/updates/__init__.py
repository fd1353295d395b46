"""Updates: the weight update of one training step, one file each."""

from __future__ import annotations

from trainables.components.updates.gradient_step import Step, Update

__all__ = ["Step", "Update"]
