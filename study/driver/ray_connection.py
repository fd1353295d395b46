"""Joins or starts Ray without its own logging and without its reports of usage."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from trainables.core.url_secrets import masked

USAGE_REPORTS_OFF = {"RAY_USAGE_STATS_ENABLED": "0"}
"""Environment of every Ray that is started: without it Ray sends reports of its use to its makers."""


def init_ray(address: str, **options: Any) -> None:
    """Call ``ray.init``: Ray prints no notices and reports no usage, and the logging of this program stays as it is.

    A process that has joined stays joined: a second call does nothing. Ray keeps the command line of a driver and shows
    it to everyone who may list jobs; it gets one in which passwords of URLs are masked.

    Args:
        address: of a running cluster, or ``local`` to start Ray on this machine.
        options: further arguments of ``ray.init``.
    """
    for name, value in USAGE_REPORTS_OFF.items():
        os.environ.setdefault(name, value)
    import ray
    from ray._private import worker

    if ray.is_initialized():
        return
    # even without workers' logs Ray prints notices of its own, of a worker that died for example; the switch is the one
    # by which Ray's debugger silences them
    worker._worker_logs_enabled = False
    with masked_entrypoint():
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **options)


@contextmanager
def masked_entrypoint() -> Iterator[None]:
    """Let Ray read this process's command line without its passwords, from which it makes a job's ``entrypoint``."""
    from ray._private import utils

    original: Callable[[], str] = utils.get_entrypoint_name
    utils.get_entrypoint_name = lambda: masked(original())
    try:
        yield
    finally:
        utils.get_entrypoint_name = original
