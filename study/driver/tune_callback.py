"""Ray Tune's callback that renews the display; apart from it, so that bad input is refused without importing Ray."""

from __future__ import annotations

from typing import Any

from ray.tune import Callback

from study.driver.progress import Progress


class ProgressCallback(Callback):
    """Renews the display after every step of Tune's loop."""

    def __init__(self, progress: Progress) -> None:
        """Forward to ``progress``."""
        self._progress = progress

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Show the state."""
        self._progress.show()

    def __getstate__(self) -> dict[str, Any]:
        return {}
