"""Follows the log of a job, also over a lost connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from study.driver.cluster_token import headers
from study.driver.exit_codes import ExitCode
from study.driver.job_server import TokenRefused, checked_address, connected, explained
from trainables.core.errors import BadInput

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_PATIENCE = 3600.0
"""Seconds without a connection after which following ends; the job goes on."""
_HEARTBEAT = 20.0
"""Seconds after which a connection that says nothing is asked whether it lives: a laptop that slept has a dead one."""

_print = partial(print, end="", flush=True)


def follow(
    address: str,
    submission_id: str,
    write: Callable[[str], object] = _print,
    say: Callable[[str], object] = print,
    *,
    patience: float = _PATIENCE,
) -> int:
    """Print a job's output until it ends. A lost connection is made again, and the output goes on where it was.

    Args:
        address: the cluster's job server.
        submission_id: of the job.
        write: called with each piece of the log.
        say: called with a sentence when the connection is lost and when it is back.
        patience: seconds without a connection after which this gives up.

    Returns:
        The exit code of the job's ``study`` command; 130 if the job was stopped, 1 if it has no code.

    Raises:
        BadInput: the job does not exist, the cluster does not answer at first or for ``patience`` seconds, or it
            refuses the token; a job that exists then continues.
    """
    place = checked_address(address)
    client = connected(place)
    with explained(place):
        client.get_job_info(submission_id)
    log = _Log(place, submission_id, write)
    lost: float | None = None
    pause = _FIRST_PAUSE
    while True:
        try:
            if lost is not None:
                client = connected(place)
                with explained(place):
                    known = {job.submission_id for job in client.list_jobs()}
                if submission_id not in known:
                    raise _Gone(
                        f"--address {place}: the cluster answers again and knows no job {submission_id}: its head was "
                        "started anew. Submit the study again to continue it"
                    )
                say(f"connected to {place} again")
                lost, pause = None, _FIRST_PAUSE
            with explained(place):
                asyncio.run(log.copy())
                return _exit_code(client, submission_id)
        except _Gone as error:
            raise BadInput(str(error)) from None
        except TokenRefused:
            raise
        except BadInput as error:
            now = time.monotonic()
            if lost is None:
                lost = now
                say(f"the connection to {place} is lost, the study goes on; trying again")
            elif now - lost > patience:
                raise BadInput(
                    f"{error}. The study goes on if the cluster lives; submit it again to follow it"
                ) from None
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


class _Gone(Exception):
    """The cluster does not know the job any more."""


class _Log:
    """A job's log, of which some characters are written already."""

    def __init__(self, address: str, submission_id: str, write: Callable[[str], object]) -> None:
        self._url = f"{address}/api/jobs/{submission_id}/logs/tail"
        self._write, self._written = write, 0

    async def copy(self) -> None:
        """Write what is new until the log ends.

        Raises:
            OSError: the connection broke.
        """
        import aiohttp

        # Ray's client sends no heartbeats, so it would wait for ever for a machine that is gone
        skipped = self._written
        async with (
            aiohttp.ClientSession(headers=headers()) as session,
            session.ws_connect(self._url, heartbeat=_HEARTBEAT) as socket,
        ):
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    break
                text: str = message.data
                new, skipped = text[skipped:], max(0, skipped - len(text))
                if new:
                    self._write(new)
                    self._written += len(new)
            if socket.close_code not in (aiohttp.WSCloseCode.OK, aiohttp.WSCloseCode.GOING_AWAY):
                raise ConnectionError(f"the connection broke ({socket.close_code})")


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
        return ExitCode.INTERRUPTED
    return 0 if info.status == "SUCCEEDED" else info.driver_exit_code or 1
