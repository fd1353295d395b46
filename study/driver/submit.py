"""Send a study to a running cluster as a Ray job, and follow it.

Only the study file and its plug-ins are sent: this package is installed on the cluster, with the versions of
requirements.lock. The job runs `study run` on the head node, so the submitting laptop may be closed.
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

from study.spec.study_plugins import store_plugins
from study.spec.study_spec import StudySpec
from study.spec.validation import load_spec
from study.spec.yaml_io import write_overrides
from trainables.core.errors import BadInput
from trainables.core.url_secrets import masked

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

EXAMPLE_ADDRESS = "http://127.0.0.1:8265"
CONNECT_SECONDS = 10.0
INTERRUPTED = 130

OVERRIDES_FILE = "overrides"
"""File beside the sent study file. Ray shows a job's command and its environment to everyone who may list jobs."""

_print = partial(print, end="", flush=True)


def submit(spec_path: Path, *, address: str, overrides: Sequence[str] = (), resume: bool = False) -> str:
    """Send a study to a cluster and return once the cluster has accepted it.

    Args:
        spec_path: the study file on this machine.
        address: the cluster's job server as seen from here, for example ``http://127.0.0.1:8265``.
        overrides: ``path=value`` pairs as for ``study run --set``.
        resume: continue the stored study of that name instead of starting a new one.

    Returns:
        The submission id, by which `follow` and ``ray job logs`` find the job.

    Raises:
        BadInput: the study file, an override or the address is invalid, the cluster does not answer, or it
            refuses the token.
    """
    place = checked_address(address)
    spec = load_spec(spec_path, tuple(overrides))
    client = _connected(place)
    with tempfile.TemporaryDirectory(prefix="study-submit-") as folder:
        shutil.copy(spec_path, folder)
        if spec.plugins and not resume:
            stored = store_plugins(spec, Path(folder)).plugins
            overrides = [*overrides, f"plugins=[{', '.join(stored)}]"]
        if _are_secret(overrides):
            write_overrides(Path(folder) / OVERRIDES_FILE, overrides)
        command = entrypoint(spec, spec_path.name, overrides, resume=resume)
        with _explained(place):
            return _submitted(client, command, folder, spec.name)


def _submitted(client: JobSubmissionClient, command: str, folder: str, name: str, patience: float = 60.0) -> str:
    """Submit a job and return its id; a head that has just started gets ``patience`` seconds for its job agent."""
    deadline = time.monotonic() + patience
    while True:
        try:
            submission_id: str = client.submit_job(
                entrypoint=command, runtime_env={"working_dir": folder}, metadata={"study": name}
            )
            return submission_id
        except RuntimeError as error:
            if "No available agent" not in str(error) or time.monotonic() >= deadline:
                raise
            time.sleep(1.0)


def follow(address: str, submission_id: str, write: Callable[[str], object] = _print) -> int:
    """Print a job's output until it ends.

    Args:
        address: the cluster's job server.
        submission_id: what `submit` returned.
        write: called with each piece of the log.

    Returns:
        The exit code of the job's ``study`` command; 130 if the job was stopped, 1 if it has no code.

    Raises:
        BadInput: the job does not exist, the cluster does not answer or refuses the token, or the connection
            broke; the job then continues.
    """
    place = checked_address(address)
    client = _connected(place)
    with _explained(place):
        client.get_job_info(submission_id)
        asyncio.run(_copy_log(client, submission_id, write))
        return _exit_code(client, submission_id)


def entrypoint(spec: StudySpec, file_name: str, overrides: Sequence[str] = (), *, resume: bool = False) -> str:
    """Return the shell command that the job runs on the head node.

    A new study without a ledger or tracking server takes the head node's, which STUDY_LEDGER and STUDY_TRACKING_URI
    name there (cluster.yaml). Overrides with a password travel in a file, not in the command.
    """
    what = ["resume", spec.name] if resume else ["run", file_name]
    return shlex.join(["study", *what, "--address", "auto", *_set(overrides)])


def _set(overrides: Sequence[str]) -> list[str]:
    if _are_secret(overrides):
        return ["--set-from", OVERRIDES_FILE]
    return [word for override in overrides for word in ("--set", override)]


def _are_secret(overrides: Sequence[str]) -> bool:
    return any(masked(override) != override for override in overrides)


def checked_address(address: str) -> str:
    """Return the address of a job server without a trailing slash.

    Raises:
        BadInput: the address does not have the form http://host:port or https://host[:port].

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
        BadInput: the file named by $RAY_AUTH_TOKEN_PATH cannot be read.
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

    # Ray's client sends the token by itself only if RAY_AUTH_MODE is set, which is rare on a laptop.
    known = token()
    headers = {"Authorization": f"Bearer {known}"} if known else None
    with _explained(address), _environment("RAY_API_SERVER_ADDRESS", address):
        return JobSubmissionClient(address, headers=headers)


def _reach(parts: SplitResult) -> None:
    """Fail within seconds instead of the minutes that Ray's client would wait."""
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
    """Set a variable that Ray's client prefers to the address it is given."""
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
    """Convert errors of Ray's client and its libraries into one clear message."""
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
    # The log may end shortly before the job's state is terminal.
    while not info.status.is_terminal() and time.monotonic() < deadline:
        time.sleep(0.5)
        info = client.get_job_info(submission_id)
    if not info.status.is_terminal():
        raise RuntimeError(f"the log of {submission_id} ended, but the job is {info.status}; it goes on")
    if info.status == "STOPPED":
        return INTERRUPTED
    return 0 if info.status == "SUCCEEDED" else info.driver_exit_code or 1
