"""Joins or starts Ray without its own logging and without its reports of usage."""

from __future__ import annotations

import logging
import os
from typing import Any

USAGE_REPORTS_OFF = {"RAY_USAGE_STATS_ENABLED": "0"}
"""Environment of every Ray that is started: without it Ray sends reports of its use to its makers."""


def init_ray(address: str, **options: Any) -> None:
    """Call ``ray.init``: Ray prints no notices and reports no usage, and the logging of this program stays as it is.

    A process that has joined stays joined: a second call does nothing.

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
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **options)
