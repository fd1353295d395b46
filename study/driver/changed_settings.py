"""Settings of a stored study that a resume may change."""

from __future__ import annotations

from study.spec.confirmed_settings import check_confirmation
from study.spec.flat_mapping import changed_paths, flat
from study.spec.study_spec import StudySpec
from trainables.core.errors import BadInput

RAISABLE = (
    "search.trials",
    "search.epochs_total",
    "search.stop_cell_after",
    "search.wall_hours",
    "search.concurrency",
    "search.cell_concurrency",
    "search.order",
    "confirm",
    "resources",
    "records.tracking_uri",
    "records.wait_minutes",
    "artifacts",
)
"""Settings that a resume may change: limits, storage places, pictures; never one that affects a trial's result."""


def refuse_changes(before: StudySpec, after: StudySpec) -> None:
    """Refuse changes after which old and new trials could not be compared.

    Args:
        before: the stored study.
        after: the same with the changes.

    Raises:
        BadInput: a setting outside `RAISABLE` differs, or a budget is lower than before.
    """
    old, new = flat(before.model_dump(mode="json")), flat(after.model_dump(mode="json"))
    if after.search.trials < before.search.trials:
        raise BadInput(f"--set search.trials={after.search.trials}: must be at least {before.search.trials}, as before")
    check_confirmation(before, after)
    forbidden = [path for path in changed_paths(old, new) if not path.startswith(RAISABLE)]
    if forbidden:
        path = next((path for path in forbidden if new.get(path)), forbidden[0])
        raise BadInput(
            f"--set {path}={new.get(path)}: a resume may change only {', '.join(RAISABLE)}; "
            f"anything else would mix trials that cannot be compared. Start a new study instead."
        )
