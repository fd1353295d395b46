"""The end of a run of a study: its exit code and its last message."""

from __future__ import annotations

from dataclasses import dataclass

from study.driver.exit_codes import ExitCode
from study.ledger.study_ledger import Ledger
from study.spec.study_spec import StudySpec
from study.store.study_folder import StudyFolder
from trainables.core.errors import counted


@dataclass(frozen=True)
class Outcome:
    """The result of one run or resume of a study.

    Attributes:
        folder: the study's folder.
        code: exit code of the command.
        message: what happened, in a sentence.
        idle: True if nothing was left to train.
        readable: False if ledger or storage did not answer at the end, so that nothing can be read from them.
    """

    folder: StudyFolder
    code: ExitCode
    message: str
    idle: bool = False
    readable: bool = True


def outcome_of(
    spec: StudySpec, ledger: Ledger, folder: StudyFolder, *, fault: str | None, out_of_time: bool
) -> Outcome:
    """Read from the ledger how a study ended, which nothing trains any more.

    Args:
        spec: the study.
        ledger: its ledger, which answers.
        folder: its folder.
        fault: why the study could not go on; None if it could.
        out_of_time: its wall-time budget is spent.
    """
    remaining = ledger.remaining()
    left = counted(remaining, "trial") + " left"
    if remaining and fault:
        message = f"stopped with {left}: {fault}; once that is fixed: {folder.command('resume')}"
        return Outcome(folder, ExitCode.SOME_FAILED, message)
    if remaining and out_of_time:
        return Outcome(folder, ExitCode.DONE, f"the wall-time budget is spent with {left}: {folder.command('resume')}")
    if remaining:
        message = f"interrupted with {left}; nothing is lost: {folder.command('resume')}"
        return Outcome(folder, ExitCode.INTERRUPTED, message)
    if failed := ledger.failed():
        message = f"{counted(failed, 'trial')} failed; `{folder.command('show')}` says why"
        return Outcome(folder, ExitCode.SOME_FAILED, message)
    report = "" if spec.confirm is None else f"; test results: {folder.command('report')}"
    return Outcome(folder, ExitCode.DONE, f"study '{spec.name}' is finished{report}")


def without_ledger(folder: StudyFolder, why: str, *, interrupted: bool) -> Outcome:
    """Return how a study ended whose ledger is away, with ``why`` it is."""
    code = ExitCode.INTERRUPTED if interrupted else ExitCode.SOME_FAILED
    what = "interrupted while" if interrupted else "stopped:"
    return Outcome(folder, code, f"{what} {why}; nothing is lost: {folder.command('resume')}", readable=False)
