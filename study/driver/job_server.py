"""The job server of a Ray cluster: its address, its token, a client, and one message for each error."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from trainables.core.errors import BadInput
from trainables.core.secret_file import read_secret_file
from trainables.core.url_secrets import shown_address

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

EXAMPLE_ADDRESS = "http://127.0.0.1:8265"
CONNECT_SECONDS = 10.0
NO_AGENT = "No available agent"
"""Part of the answer of a head whose agent, which runs jobs, is not there yet, or has found its port taken."""
_PORT_TAKEN = (
    " (another Ray on the head's machine may hold the port of its agent: start the head with another "
    "--dashboard-agent-listen-port, docs/cluster.md)"
)


class TokenRefused(BadInput):
    """The cluster asks for a token, and there is none here or another one."""


def checked_address(address: str) -> str:
    """Return the address of a job server without a trailing slash.

    Raises:
        BadInput: the address does not have the form http://host:port or https://host[:port].

    >>> checked_address("http://127.0.0.1:8265/")
    'http://127.0.0.1:8265'
    """
    refused = f"--address: must be a cluster's job server, for example {EXAMPLE_ADDRESS}, got {shown_address(address)}"
    try:
        parts = urlsplit(address)
    except ValueError:  # an open bracket
        raise BadInput(refused) from None
    plain = parts.path in ("", "/") and not (parts.query or parts.fragment or "@" in parts.netloc)
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain or _port(parts) is None:
        raise BadInput(refused)
    return f"{parts.scheme}://{parts.netloc}"


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port or {"https": 443}.get(parts.scheme)
    except ValueError:  # not a number, or above 65535
        return None


def token_path() -> tuple[Path, bool]:
    """Return the file in which Ray looks for the cluster token, and whether $RAY_AUTH_TOKEN_PATH names it."""
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return Path(named) if named else Path.home() / ".ray" / "auth_token", bool(named)


def token() -> str | None:
    """Return the cluster token as Ray finds it: $RAY_AUTH_TOKEN, $RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token.

    Raises:
        BadInput: the file named by $RAY_AUTH_TOKEN_PATH cannot be read, or what is there is no token: it is not made
            of printable ASCII characters without blanks. The message does not show it.
    """
    if given := os.environ.get("RAY_AUTH_TOKEN"):
        return _checked(given.strip(), "RAY_AUTH_TOKEN")
    path, named = token_path()
    origin = f"RAY_AUTH_TOKEN_PATH: {path}" if named else str(path)
    try:
        return _checked(read_secret_file(path), origin)
    except BadInput:
        raise
    except OSError as error:
        if named:
            raise BadInput(f"{origin}: {error.strerror}") from None
        return None
    except ValueError as error:
        raise BadInput(f"{origin}: {error}") from None


def _checked(found: str, origin: str) -> str | None:
    """Return a token that can stand in an HTTP header; one that cannot would be shown by the error of its library."""
    if not re.fullmatch(r"[!-~]*", found):
        raise BadInput(
            f"{origin}: is no cluster token, which is made of printable ASCII characters without blanks; "
            "copy the one that the head was started with (it is not shown here)"
        )
    return found or None


def headers() -> dict[str, str] | None:
    """Return the HTTP header with the token, which Ray's client sends by itself only if RAY_AUTH_MODE is set."""
    known = token()
    return {"Authorization": f"Bearer {known}"} if known else None


def connected(address: str) -> JobSubmissionClient:
    """Return a client of a job server that answers.

    Args:
        address: as `checked_address` returned it.

    Raises:
        BadInput: nothing answers, Ray's job client is not installed, the token here is none, or the cluster refuses it.
    """
    sent = headers()
    _reach(urlsplit(address))
    try:
        from ray.job_submission import JobSubmissionClient
    except ImportError:
        raise _not_installed() from None
    logging.getLogger("ray").setLevel(
        logging.WARNING
    )  # of packages that are uploaded; importing Ray sets its own level
    with explained(address), _environment("RAY_API_SERVER_ADDRESS", address):
        client = JobSubmissionClient(address, headers=sent)
    for noisy in ("ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging"):
        logging.getLogger(noisy).setLevel(logging.WARNING)  # of uploads; the client has set its own level
    return client


def _not_installed() -> BadInput:
    return BadInput("Ray's job client is not installed here; install this project with its extra `cluster`")


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
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before


@contextmanager
def explained(address: str) -> Iterator[None]:
    """Convert errors of Ray's client and its libraries into one clear message."""
    try:
        from aiohttp import ClientError
    except ImportError:  # it comes with Ray's job client
        raise _not_installed() from None
    from ray.exceptions import AuthenticationError
    from requests.exceptions import RequestException

    try:
        yield
    except AuthenticationError as error:
        raise TokenRefused(f"--address {address}: {_refused(error.message)}") from None
    except (RuntimeError, OSError, KeyError, RequestException, ClientError) as error:
        more = _PORT_TAKEN if NO_AGENT in str(error) else ""
        raise BadInput(f"--address {address}: the job server did not do as asked: {error}{more}") from None


def _refused(said: str) -> str:
    if said.startswith("Authentication required") or token() is None:
        return (
            "the cluster asks for a token, and there is none in RAY_AUTH_TOKEN, "
            "the file of RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token"
        )
    return (
        "the cluster refuses this machine's token; it must be the one that the head was started with, in "
        "RAY_AUTH_TOKEN, the file of RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token"
    )
