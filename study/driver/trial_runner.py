"""The protocol of trial runners: Ray Tune on a cluster, or the simulator of recorded studies."""

from __future__ import annotations

from typing import Protocol

from study.driver.trial_manager import TrialManager


class TrialRunner(Protocol):
    """Runs trials until the manager hands out no more.

    A runner asks `TrialManager.start` for tasks under names of its own choice, forwards every `TrialReport` but the
    last to `TrialManager.report`, stops a trial when told so, and gives the last report to `TrialManager.end`.
    """

    def run(self, manager: TrialManager) -> None:
        """Run until no trial is running and the manager hands out no more."""
