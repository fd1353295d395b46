"""Send a study to a running cluster as a Ray job, and follow it.

Only the study file travels: the cluster has this package installed, with the versions of requirements.lock.
The job runs `study run` on the head, so the laptop that sent it may be closed.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from study.spec.study_spec import StudySpec
from study.spec.validation import load_spec
from trainables.core.errors import BadInput

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

EXAMPLE_ADDRESS = "http://127.0.0.1:8265"
CONNECT_SECONDS = 10.0
INTERRUPTED = 130

# Where the head keeps ledger and records, for a study file that names no place (cluster.yaml sets both).
CLUSTER_PLACES = {"ledger": "STUDY_LEDGER", "tracking_uri": "STUDY_TRACKING_URI"}


_print = partial(print, end="", flush=True)


def submit(spec_path: Path, *, address: str, overrides: Sequence[str] = (), resume: bool = False) -> str:
    """Send a study to a cluster and return as soon as the cluster has taken it.

    Args:
        spec_path: the study file on this machine.
        address: the cluster's job server as seen from here, for example ``http://127.0.0.1:8265``.
        overrides: ``path=value`` pairs as for ``study run --set``.
        resume: continue the study of that name, which the cluster has stored, in place of a new one.

    Returns:
        The submission id, by which `follow` and ``ray job logs`` find the job.

    Raises:
        BadInput: the study file or an override is wrong, the address is none, nothing answers there, or the
            cluster refuses the token.
    """
    place = checked_address(address)
    spec = load_spec(spec_path, tuple(overrides))
    client = _connected(place)
    with tempfile.TemporaryDirectory(prefix="study-submit-") as folder:
        shutil.copy(spec_path, folder)
        command = entrypoint(spec, spec_path.name, overrides, resume=resume)
        with _explained(place):
            submission_id: str = client.submit_job(
                entrypoint=command, runtime_env={"working_dir": folder}, metadata={"study": spec.name}
            )
    return submission_id


def follow(address: str, submission_id: str, write: Callable[[str], object] = _print) -> int:
    """Print what a job prints until it ends.

    Args:
        address: the cluster's job server.
        submission_id: what `submit` returned.
        write: takes each piece of the log.

    Returns:
        The exit code of the job's ``study`` command; 130 where the job was stopped, 1 where it has no code.

    Raises:
        BadInput: no such job, nothing answers, the token is refused, or the connection broke; the job then
            goes on.
    """
    place = checked_address(address)
    client = _connected(place)
    with _explained(place):
        client.get_job_info(submission_id)
        asyncio.run(_copy_log(client, submission_id, write))
        return _exit_code(client, submission_id)


def entrypoint(spec: StudySpec, file_name: str, overrides: Sequence[str] = (), *, resume: bool = False) -> str:
    """Return the shell command that the job runs on the head.

    Where a new study names no ledger or tracking server it takes the head's own, by shell variables that are
    unset on a cluster that has none. The study file is stored with their values, so a resume finds the same.
    """
    if resume:
        return shlex.join(["study", "resume", spec.name, "--address", "auto", *_set(overrides)])
    places = [
        f'${{{variable}:+--set "records.{field}=${variable}"}}'
        for field, variable in CLUSTER_PLACES.items()
        if getattr(spec.records, field) is None
    ]
    words = ["study", "run", file_name, "--address", "auto"]
    return " ".join([shlex.join(words), *places, shlex.join(_set(overrides))]).rstrip()


def _set(overrides: Sequence[str]) -> list[str]:
    return [word for override in overrides for word in ("--set", override)]


def checked_address(address: str) -> str:
    """Return the address of a job server without a trailing slash.

    Raises:
        BadInput: it is not of the form http://host:port or https://host[:port].

    >>> checked_address("http://127.0.0.1:8265/")
    'http://127.0.0.1:8265'
    """
    parts = urlsplit(address)
    plain = parts.path in ("", "/") and not (parts.query or parts.fragment or parts.username)
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain or _port(parts) is None:
        raise BadInput(f"--address: must be a cluster's job server, for example {EXAMPLE_ADDRESS}, got '{address}'")
    return f"{parts.scheme}://{parts.netloc}"


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port or {"https": 443}.get(parts.scheme)
    except ValueError:  # not a number, or above 65535
        return None


def token() -> str | None:
    """Return the cluster token as Ray finds it: $RAY_AUTH_TOKEN, $RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token.

    Raises:
        BadInput: the file that $RAY_AUTH_TOKEN_PATH names cannot be read.
    """
    if given := os.environ.get("RAY_AUTH_TOKEN"):
        return given.strip()
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path.home() / ".ray" / "auth_token"
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError as error:
        if named:
            raise BadInput(f"RAY_AUTH_TOKEN_PATH: {named}: {error.strerror}") from None
        return None


def _connected(address: str) -> JobSubmissionClient:
    _reach(urlsplit(address))
    from ray.job_submission import JobSubmissionClient

    # Ray's client sends the token by itself only where RAY_AUTH_MODE says so, which a laptop rarely does.
    known = token()
    headers = {"Authorization": f"Bearer {known}"} if known else None
    with _explained(address), _environment("RAY_API_SERVER_ADDRESS", address):
        return JobSubmissionClient(address, headers=headers)


def _reach(parts: SplitResult) -> None:
    """Fail within seconds where Ray's client would wait for minutes."""
    assert parts.hostname is not None
    try:
        socket.create_connection((parts.hostname, _port(parts) or 0), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise BadInput(
            f"--address {parts.geturl()}: nothing answers there ({error}); is the port forwarded? "
            "`ray dashboard cluster.yaml` does it"
        ) from None


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Set a variable that Ray's client would let win over the address it is given."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """Turn what Ray's client and the libraries under it raise into one clear sentence."""
    from aiohttp import ClientError
    from ray.exceptions import AuthenticationError
    from requests.exceptions import RequestException

    try:
        yield
    except AuthenticationError as error:
        raise BadInput(f"--address {address}: {_refused(error.message)}") from None
    except (RuntimeError, OSError, KeyError, RequestException, ClientError) as error:
        raise BadInput(f"--address {address}: the job server did not do as asked: {error}") from None


def _refused(said: str) -> str:
    if said.startswith("Authentication required"):
        return (
            "the cluster asks for a token, and there is none in RAY_AUTH_TOKEN, "
            "the file of RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token"
        )
    return "the cluster refuses this machine's token; it must be the one that the head was started with"


async def _copy_log(client: JobSubmissionClient, submission_id: str, write: Callable[[str], object]) -> None:
    async for piece in client.tail_job_logs(submission_id):
        write(piece)


def _exit_code(client: JobSubmissionClient, submission_id: str, patience: float = 30.0) -> int:
    deadline = time.monotonic() + patience
    info = client.get_job_info(submission_id)
    # The log may end a moment before the job's state says so.
    while not info.status.is_terminal() and time.monotonic() < deadline:
        time.sleep(0.5)
        info = client.get_job_info(submission_id)
    if not info.status.is_terminal():
        raise RuntimeError(f"the log of {submission_id} ended, but the job is {info.status}; it goes on")
    if info.status == "STOPPED":
        return INTERRUPTED
    return 0 if info.status == "SUCCEEDED" else info.driver_exit_code or 1
