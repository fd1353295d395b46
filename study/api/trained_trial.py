"""One trial of a stored study as Python sees it, and its trained network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from study.store.trial_view import TrialView
from trainables.core.errors import BadInput

if TYPE_CHECKING:
    from torch import nn

    from trainables.core.config import TrialConfig
    from trainables.core.trial_folder import StoredJson


class Trial:
    """A trial of a stored study, as it was when it was read."""

    def __init__(self, view: TrialView, confirmations: tuple[Trial, ...] = ()) -> None:
        """Wrap a trial; ``confirmations`` are the trials that confirm its setting, by seed."""
        self._view, self.confirmations = view, confirmations

    def __repr__(self) -> str:
        """Return its name, state and params."""
        return f"Trial({self.name!r}, {self.state}, {self.params})"

    @property
    def name(self) -> str:
        """Its name, unique in the study: ``cell/number`` or ``cell/confirm/number``."""
        return self._view.key

    @property
    def state(self) -> str:
        """``COMPLETE``, ``PRUNED``, ``FAIL`` or ``RUNNING``."""
        return self._view.state

    @property
    def params(self) -> dict[str, Any]:
        """Searched params in their natural units."""
        return dict(self._view.params)

    @property
    def metrics(self) -> dict[str, Any]:
        """Validation metrics of the epoch that is its result."""
        return dict(self._view.result())

    @property
    def test_metrics(self) -> dict[str, float] | None:
        """Test metrics; None for a trial of the search, which never sees the test images."""
        found = self._view.tested()
        return None if found is None else dict(found["metrics"])

    @property
    def config(self) -> TrialConfig:
        """All that it was trained with."""
        return self._view.config

    def history(self) -> list[StoredJson]:
        """Return the results of its epochs, in order."""
        return self._view.history()

    @property
    def view(self) -> TrialView:
        """The trial as the rooms of this package see it; not part of the stable interface."""
        return self._view


def load_model(trial: Trial) -> nn.Module:
    """Return the trained network of a trial, on the CPU in evaluation mode.

    It takes images as the data set stores them, uint8 (N, C, H, W), or float32 features, and returns float32 logits
    (N, K): scaling, centre crop and post-hoc adjustment are inside. The weights are those that the trial was evaluated
    with. The data set is read, since class counts are part of several networks.

    Args:
        trial: of `Study.best` or of its ``confirmations``.

    Raises:
        BadInput: the trial keeps no checkpoint, or its data cannot be had.
    """
    from trainables.entry_points.restored_trial import restored_classifier

    view = trial.view
    found = restored_classifier(view.config, view.folder)
    if found is None:
        kept = [place for place, one in enumerate(trial.confirmations) if _has_checkpoint(one)]
        other = f"; its confirmation does: load_model(trial.confirmations[{kept[0]}])" if kept else ""
        raise BadInput(
            f"trial {trial.name} keeps no checkpoint{other}. `artifacts.checkpoints` of a study chooses the trials "
            f"that keep theirs; by default the first confirmation of every cell's best setting does"
        )
    return found


def _has_checkpoint(trial: Trial) -> bool:
    return any(True for _ in trial.view.folder.glob("checkpoint-*.pt"))
