"""Runs a short `study` command on a cluster's head as a job, and returns what it prints."""

from __future__ import annotations

import shlex
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from study.driver.job_server import checked_address, connected, explained
from study.driver.ray_connection import USAGE_REPORTS_OFF
from study.driver.sent_files import copy_code
from trainables.core.errors import BadInput

_PATIENCE = 180.0


def output_of(address: str, words: Sequence[str], *, patience: float = _PATIENCE) -> str:
    """Run ``study WORDS`` on a head with this installation's code, and return its output, whatever its exit code.

    Args:
        address: the cluster's job server.
        words: arguments of the command.
        patience: seconds that it may take.

    Raises:
        BadInput: the cluster does not answer, refuses the token or the job, or the job does not end in time.
    """
    place = checked_address(address)
    client = connected(place)
    with tempfile.TemporaryDirectory(prefix="study-ask-") as made, explained(place):
        copy_code(Path(made))
        job = client.submit_job(
            entrypoint=shlex.join(["study", *words]),
            runtime_env={"working_dir": made, "env_vars": dict(USAGE_REPORTS_OFF)},
        )
        deadline = time.monotonic() + patience
        while not client.get_job_status(job).is_terminal():
            if time.monotonic() > deadline:
                client.stop_job(job)
                raise BadInput(f"--address {place}: job {job} did not end within {patience:.0f} s")
            time.sleep(0.5)
        return str(client.get_job_logs(job))
