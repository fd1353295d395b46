"""Options of a study's Slurm job: nodes, wall time, what a node has, further lines for sbatch."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from trainables.core.errors import BadInput, shown

LEAST_SECONDS = 20
"""Least time from the order to stop until the wall time ends, in seconds: half for the driver, half for the rest."""

_USUAL_SECONDS = 120
_REST_SECONDS = 10
"""Seconds that a job needs at least between its driver's end and its return to the queue."""

_TIME = re.compile(r"(?:(?P<days>[0-9]{1,5})-)?(?P<clock>[0-9]{1,9}(?::[0-9]{1,9}){0,2})")
_OWN = {
    "array": "the jobs of an array would run the same study",
    "chdir": "the job runs where `study slurm` is run",
    "error": "the log is one file",
    "export": "the job gets the environment in which `study slurm` is run, and the script holds no passwords",
    "export-file": "the job gets the environment in which `study slurm` is run",
    "job-name": "the job has the study's name",
    "no-requeue": "the job puts itself back in the queue",
    "nodes": "use --nodes of `study slurm`",
    "ntasks": "every node runs one task",
    "ntasks-per-node": "every node runs one task",
    "open-mode": "the log continues over all jobs of a study",
    "output": "the log lies in the study's folder",
    "requeue": "it is set",
    "signal": "use --stop-before of `study slurm`",
    "time": "use --time of `study slurm`",
    "wrap": "the job runs the study's own script",
}
_SHORT = {
    "a": "array",
    "D": "chdir",
    "e": "error",
    "J": "job-name",
    "N": "nodes",
    "n": "ntasks",
    "o": "output",
    "t": "time",
}


@dataclass(frozen=True)
class JobOptions:
    """The resources and limits of a study's Slurm job.

    Attributes:
        nodes: number of nodes.
        time: wall time of one job, as sbatch writes it.
        stop_before: seconds before its end at which the study is told to stop; None is 120, in a short wall time a
            third of it.
        partition: of the cluster; None leaves the choice to Slurm, as with every None here.
        account: that is charged.
        cpus_per_task: processors per node; None takes whole nodes.
        gpus_per_node: as sbatch writes it, such as ``4`` or ``a100:4``.
        sbatch: further options of sbatch, one a line of the script.

    Raises:
        BadInput: an option is invalid, or one that the script sets itself.
    """

    nodes: int
    time: str
    stop_before: int | None = None
    partition: str | None = None
    account: str | None = None
    cpus_per_task: int | None = None
    gpus_per_node: str | None = None
    sbatch: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check every option."""
        if self.nodes < 1:
            raise BadInput(f"--nodes {self.nodes}: must be at least 1")
        if self.cpus_per_task is not None and self.cpus_per_task < 1:
            raise BadInput(f"--cpus-per-task {self.cpus_per_task}: must be at least 1")
        seconds = seconds_of(self.time)
        if seconds < 2 * LEAST_SECONDS:
            raise BadInput(f"--time {self.time}: must be at least {2 * LEAST_SECONDS} seconds, got {seconds}")
        if not LEAST_SECONDS <= self.margin <= seconds / 2:
            raise BadInput(
                f"--stop-before {self.margin}: must be at least {LEAST_SECONDS} seconds, "
                f"and at most half of the wall time, which is {seconds} seconds"
            )
        for option, value in (
            ("--partition", self.partition),
            ("--account", self.account),
            ("--gpus-per-node", self.gpus_per_node),
        ):
            if value is not None and not re.fullmatch(r"\w[\w.,:@+-]*", value, re.ASCII):
                raise BadInput(
                    f"{option} {value!r}: must be letters, digits and . , : @ + - _, a letter or digit first"
                )
        for argument in self.sbatch:
            _check_argument(argument)

    @property
    def margin(self) -> int:
        """Seconds before the end of the wall time at which the study is told to stop."""
        if self.stop_before is not None:
            return self.stop_before
        return max(LEAST_SECONDS, min(_USUAL_SECONDS, seconds_of(self.time) // 3))

    @property
    def grace(self) -> int:
        """Seconds that the driver gets to stop before it is killed."""
        return self.margin - max(_REST_SECONDS, self.margin // 4)

    def lines(self) -> list[str]:
        """Return the options as sbatch reads them, those of None left out."""
        given = {
            "--partition": self.partition,
            "--account": self.account,
            "--cpus-per-task": self.cpus_per_task,
            "--gpus-per-node": self.gpus_per_node,
        }
        return [
            f"--nodes={self.nodes}",
            "--ntasks-per-node=1",
            f"--time={self.time}",
            f"--signal=B:USR1@{self.margin}",
            *(f"{option}={value}" for option, value in given.items() if value is not None),
            *(["--exclusive"] if self.cpus_per_task is None else []),
            *self.sbatch,
        ]


def seconds_of(time: str) -> int:
    """Return a wall time in seconds. Slurm reads one number as minutes, and after ``days-`` as hours.

    Raises:
        BadInput: it is not a wall time, or zero.

    >>> [seconds_of(time) for time in ("30", "30:15", "4:00:00", "1-12", "1-0:30")]
    [1800, 1815, 14400, 129600, 88200]
    """
    found = _TIME.fullmatch(time)
    parts = [int(part) for part in found["clock"].split(":")] if found else []
    if found is None:
        seconds = 0
    elif found["days"] is not None:
        hours, minutes, rest = [*parts, 0, 0][:3]
        seconds = ((int(found["days"]) * 24 + hours) * 60 + minutes) * 60 + rest
    else:
        hours, minutes, rest = {1: [0, *parts, 0], 2: [0, *parts], 3: parts}[len(parts)]
        seconds = (hours * 60 + minutes) * 60 + rest
    if seconds == 0:
        raise BadInput(f"--time '{shown(time)}': must be a wall time, such as 30 (minutes), 4:00:00 or 1-12:00:00")
    return seconds


def _check_argument(argument: str) -> None:
    found = re.fullmatch(r"(?:--(?P<long>[a-z][a-z0-9-]*)|-(?P<short>[A-Za-z]))(?:[ =](?P<value>.*))?", argument)
    if found is None or not _is_one_word(found["value"] or ""):
        raise BadInput(f"--sbatch-arg {argument!r}: must be one option of sbatch, such as --sbatch-arg=--mem=0")
    name = found["long"] or _SHORT.get(found["short"], found["short"])
    # sbatch takes the beginning of an option's name for the option
    own = name if name in _OWN else next((one for one in _OWN if one.startswith(name) and found["long"]), None)
    if own is not None:
        raise BadInput(f"--sbatch-arg {argument!r}: the script sets {own} itself: {_OWN[own]}")


def _is_one_word(value: str) -> bool:
    """Return whether sbatch reads a value as one word; a second one would be another option."""
    try:
        return len(shlex.split(value)) <= 1
    except ValueError:  # a quotation without its end
        return False
