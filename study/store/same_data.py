"""Compares the data of a resumed study with those that it began with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from study.store.study_folder import StudyFolder
from study.store.trial_view import TrialView
from trainables.core.errors import BadInput


def check_same_data(
    folder: StudyFolder, now: Mapping[str, str], trials: Iterable[TrialView], *, say: Callable[[str], None]
) -> None:
    """Refuse data that differ from those of the study's trials so far.

    If ``data.json`` was removed, the digests that the trials have recorded take its place; it is then written anew.

    Args:
        folder: the study's folder.
        now: ``dataset/profile`` -> fingerprint of the images and labels as they are now.
        trials: the study's trials so far.
        say: receives a sentence if the file was written anew.

    Raises:
        BadInput: the data differ, or ``data.json`` is damaged; the message tells the two apart.
    """
    if not folder.data_path.exists():
        _check_with_trials(folder, now, trials)
        folder.write_data(dict(now))
        say(f"  {folder.data_path} was missing: written anew, the data are those that the study's trials have recorded")
        return
    before = folder.read_data()
    changed = sorted(place for place in {*before, *now} if before.get(place) != now.get(place))
    if changed:
        raise BadInput(
            f"study '{folder.name}': the images or labels of {', '.join(changed)} changed since it was started: "
            f"{folder.data_path} has the digest {before.get(changed[0], 'none')}, now it is "
            f"{now.get(changed[0], 'none')}. "
            "Bring the data back (--data-dir names another folder), or start a new study"
        )


def _check_with_trials(folder: StudyFolder, now: Mapping[str, str], trials: Iterable[TrialView]) -> None:
    for trial in trials:
        # a trial with a subset of its own has other images than its cell's
        if trial.config.data != trial.cell.base.data:
            continue
        recorded = (trial.stored_config() or {}).get("data_fingerprint")
        place = f"{trial.cell.dataset}/{trial.cell.profile}"
        if recorded is not None and recorded != now.get(place):
            raise BadInput(
                f"study '{folder.name}': {folder.data_path} is missing, and the images or labels of {place} changed: "
                f"trial {trial.key} has recorded the digest {recorded}, now it is {now.get(place, 'none')}. "
                "Bring the data back, or start a new study"
            )
