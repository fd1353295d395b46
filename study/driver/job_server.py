"""The job server of a Ray cluster: its address, a client, and one message for each error."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from study.driver.cluster_token import TOKEN_PLACES, headers, token
from trainables.core.errors import BadInput
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
        return f"the cluster asks for a token, and there is none in {TOKEN_PLACES}"
    which = "it must be the one that the head was started with"
    return f"the cluster refuses this machine's token; {which}, in {TOKEN_PLACES}"
