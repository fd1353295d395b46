"""Joins or starts Ray without its own logging."""

from __future__ import annotations

import logging
from typing import Any


def init_ray(address: str, **options: Any) -> None:
    """Call ``ray.init`` such that Ray prints no notices, and leaves the logging of this program alone.

    Args:
        address: of a running cluster, or ``local`` to start Ray on this machine.
        options: further arguments of ``ray.init``.
    """
    import ray
    from ray._private import worker

    # even without workers' logs Ray prints notices of its own, of a worker that died for example; the switch is the one
    # by which Ray's debugger silences them
    worker._worker_logs_enabled = False
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **options)
