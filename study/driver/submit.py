"""Send a study to a running cluster as a Ray job, once: asked again, the job that runs it is found.

The study file, its plug-ins and this installation's code are sent; the packages that they need are installed on the
cluster. The job runs on the head node, so the submitting laptop may be closed.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from study.driver.job_server import NO_AGENT, checked_address, connected, explained
from study.driver.log_lines import CONTINUED_BY, JOINING, STORED_IN, WAITING, finished
from study.driver.ray_connection import USAGE_REPORTS_OFF
from study.driver.sent_files import OVERRIDES_FILE, are_secret, sent_files, sent_name
from study.spec.study_spec import StudySpec
from study.spec.validation import load_spec
from trainables.core.errors import BadInput, shown
from trainables.core.storage_path import storage_path

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

_START_PATIENCE = 300.0
"""Seconds that a job gets for its checks; those of large data sets go on after that."""

_JOB_ENVIRONMENT = {
    **USAGE_REPORTS_OFF,
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_JOB_STOP_WAIT_TIME_S": "60",  # `ray job stop` is Ctrl-C for a study; Ray's default is to kill it after 3 s
}


class Sent(NamedTuple):
    """A study's job.

    Attributes:
        job: its submission id, by which `follow` and ``ray job logs`` find it.
        running: True if the study ran already and nothing was sent.
        storage: where the job says it stores the study; empty if the job has not said so yet.
        finished: why nothing was left to train of a study that is stored; empty if there was something.
    """

    job: str
    study: str
    running: bool = False
    storage: str = ""
    finished: str = ""


def submit(
    spec_path: Path,
    *,
    address: str,
    overrides: Sequence[str] = (),
    resume: bool = False,
    storage: str | None = None,
    data_dir: str | None = None,
    code: bool = True,
    say: Callable[[str], object] = print,
) -> Sent:
    """Send a study to a cluster and return once it trains or has been refused there.

    A study that a job of the cluster runs already is not sent again. A stored study is continued, if it is the same.

    Args:
        spec_path: the study file on this machine.
        address: the cluster's job server as seen from here, for example ``http://127.0.0.1:8265``.
        overrides: ``path=value`` pairs as for ``study run --set``.
        resume: continue the stored study of that name with these overrides instead of starting a new one.
        storage: place of all studies, as the cluster's nodes see it; None takes the head's STUDY_STORAGE.
        data_dir: folder of data sets, as the nodes see it; None takes the head's STUDY_DATA_DIR.
        code: send this installation's code; otherwise the head's is used.
        say: called with a sentence once the job is accepted, before it has started.

    Raises:
        BadInput: the study file, an override, a folder or the address is invalid, the cluster does not answer, refuses
            the token or the study, or runs another study of that name.
    """
    place = checked_address(address)
    spec = load_spec(spec_path, tuple(overrides))
    _check_place("--storage", storage)
    if data_dir is not None and not Path(data_dir).is_absolute():
        raise BadInput(f"--data-dir {data_dir}: is a folder of the cluster's nodes, and must be an absolute path")
    client = connected(place)
    asks = {"study": spec.name, "storage": storage or "", "asked": _digest(spec, data_dir)}
    with explained(place):
        if (found := _running(client, asks)) is not None:
            return Sent(found, asks["study"], running=True)
        with sent_files(spec, spec_path, overrides, code=code) as (folder, changes):
            command = entrypoint(sent_name(spec_path), changes, resume=resume, storage=storage, data_dir=data_dir)
            sent = _submitted(
                client, command, str(folder), asks, _again(spec_path, place, storage, data_dir, overrides)
            )
        if sent.running:
            return sent
        say(f"submitted as {sent.job}; waiting for its checks on the head")
        return _started(client, sent, say)


def _again(spec_path: Path, address: str, storage: str | None, data_dir: str | None, overrides: Sequence[str]) -> str:
    """Return the command that continues an interrupted study from here; one with a password is only named."""
    if are_secret(overrides):
        return f"study submit {shlex.quote(str(spec_path))} ... (the same command again)"
    return shlex.join(
        ["study", "submit", str(spec_path), "--address", address, *_options(storage, data_dir, overrides)]
    )


def _check_place(option: str, storage: str | None) -> None:
    place = None if storage is None else storage_path(storage)
    if isinstance(place, Path) and not place.is_absolute():
        raise BadInput(
            f"{option} {storage}: is a folder of the cluster's nodes, and must be an absolute path, s3:// or gs://; a "
            "relative one would lie in Ray's temporary folder and be lost"
        )


def _digest(spec: StudySpec, data_dir: str | None) -> str:
    """Return what two submissions of the same study have in common; passwords are no part of it."""
    asked = json.dumps([spec.model_dump(mode="json"), data_dir], sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()[:16]


def _jobs_of(client: JobSubmissionClient, asks: dict[str, str]) -> list[JobDetails]:
    """Return the jobs of a study; one that names no storage may use the same as one that does."""
    found = []
    for job in client.list_jobs():
        has: dict[str, Any] = job.metadata or {}
        stored = {has.get("storage", ""), asks["storage"]}
        if job.submission_id and has.get("study") == asks["study"] and (len(stored) == 1 or "" in stored):
            found.append(job)
    return found


def _running(client: JobSubmissionClient, asks: dict[str, str]) -> str | None:
    """Return the job that runs a study now, if there is one.

    Raises:
        BadInput: it runs another study of this name.
    """
    job = next((job for job in _jobs_of(client, asks) if not job.status.is_terminal()), None)
    if job is None:
        return None
    if (job.metadata or {}).get("asked", asks["asked"]) != asks["asked"]:
        raise BadInput(
            f"study '{asks['study']}' runs already, from another study file or with other settings, as job "
            f"{job.submission_id}: wait for its end, stop it with `ray job stop {job.submission_id}`, or give this one "
            "another name with --set name=..."
        )
    return str(job.submission_id)


def _submitted(
    client: JobSubmissionClient, command: str, folder: str, asks: dict[str, str], again: str, patience: float = 60.0
) -> Sent:
    """Submit a job, whose messages name the command ``again``.

    A head that has just started gets ``patience`` seconds for its job agent. The id counts the study's jobs, so of two
    submissions at the same moment Ray refuses the second.
    """
    deadline = time.monotonic() + patience
    while True:
        job = f"study-{asks['study']}-{_next_number(client, asks['study'])}"
        if (found := _running(client, asks)) is not None:  # asked after the count: one that came in between is seen
            return Sent(found, asks["study"], running=True)
        try:
            return Sent(
                client.submit_job(
                    entrypoint=command,
                    submission_id=job,
                    runtime_env={"working_dir": folder, "env_vars": {**_JOB_ENVIRONMENT, CONTINUED_BY: again}},
                    metadata=asks,
                ),
                asks["study"],
            )
        except RuntimeError as error:
            if "already exists" not in str(error) and NO_AGENT not in str(error):
                raise
            if time.monotonic() >= deadline:
                raise
            time.sleep(1.0)


def _next_number(client: JobSubmissionClient, name: str) -> int:
    form = re.compile(rf"study-{re.escape(name)}-(\d+)")
    found = (form.fullmatch(job.submission_id or "") for job in client.list_jobs())
    return 1 + max((int(match[1]) for match in found if match), default=0)


def _started(client: JobSubmissionClient, sent: Sent, say: Callable[[str], object]) -> Sent:
    """Wait until a job has passed its checks and joins Ray, or ends; say once what it waits for.

    Raises:
        BadInput: the job was refused on the head; the message says why.
    """
    deadline = time.monotonic() + _START_PATIENCE
    waits = ""
    while time.monotonic() < deadline:
        info = client.get_job_info(sent.job)
        log = client.get_job_logs(sent.job) if info.status != "PENDING" else ""
        said = re.search(rf"^{STORED_IN}(.*)$", log, re.M)
        sent = sent._replace(storage=said[1] if said else "")
        if not waits and (found := re.search(rf"^{WAITING}.*$", log, re.M)):
            say(waits := f"the job is {found[0]}")
        if JOINING in log:
            return sent
        if done := re.search(rf"^{re.escape(finished(sent.study))}(.*)$", log, re.M):
            # the job has not ended yet: until then another submission would find the study running
            sent = sent._replace(finished=done[1])
        if info.status.is_terminal():
            if sent.finished or info.status in ("SUCCEEDED", "STOPPED"):
                return sent
            raise BadInput(f"job {sent.job}: the head refuses study '{sent.study}': {_why(log, info.message)}")
        time.sleep(0.5)
    return sent


def _why(log: str, message: str | None) -> str:
    if "study: not found" in log or "study: command not found" in log:
        return (
            "it has no command `study`; install this project on the head, and start Ray from its environment "
            "(`source .venv/bin/activate`)"
        )
    if "No such command" in log:
        return "its installation is older than this one; send the code, too (without --no-code), or update the cluster"
    # Ray's own lines may stand anywhere in the log
    own = [line for line in log.splitlines() if not re.match(r"Running entrypoint for job|.* job_manager\.py:", line)]
    log = "\n".join(own)
    _, marker, said = log.rpartition("error: ")
    last = " ".join(log.strip().splitlines()[-2:])
    return said.strip() if marker else shown(last or message or "it says nothing", 1000)


def entrypoint(
    file_name: str,
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    storage: str | None = None,
    data_dir: str | None = None,
) -> str:
    """Return the shell command that the job runs on the head node.

    A new study without a ledger or tracking server takes the head node's, which STUDY_LEDGER and STUDY_TRACKING_URI
    name there (cluster.yaml). Overrides with a password travel in a file, not in the command.
    """
    file = f"./{file_name}" if file_name.startswith("-") else file_name  # else it would be read as an option
    again = ["--resume"] if resume else []
    return shlex.join(["study", "submitted", file, *again, *_options(storage, data_dir, overrides)])


def _options(storage: str | None, data_dir: str | None, overrides: Sequence[str]) -> list[str]:
    words = [] if storage is None else ["--storage", storage]
    words += [] if data_dir is None else ["--data-dir", data_dir]
    if are_secret(overrides):
        return [*words, "--set-from", OVERRIDES_FILE]
    return [*words, *(word for override in overrides for word in ("--set", override))]
