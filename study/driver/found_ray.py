"""The Ray that ``--address auto`` means: that of RAY_ADDRESS, else the only one on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime

import psutil

from study.driver import ray_keeper
from trainables.core.errors import BadInput

_FLAG = "--gcs-address="


def found_address() -> str:
    """Return ``host:port`` of the cluster that ``--address auto`` means.

    Ray itself takes the one that `ray start` started last, or any if it knows of none, and does not say which. The Ray
    that another study has started for itself is never meant.

    Raises:
        BadInput: no Ray runs on this machine, or several.
    """
    named = os.environ.get("RAY_ADDRESS", "")
    if named not in ("", "auto"):
        return named
    found = _running(psutil.process_iter())
    if len(found) == 1:
        return next(iter(found))
    if not found:
        raise BadInput(
            "--address auto: no Ray runs on this machine; start it with `ray start`, or name host:port of the head"
        )
    listed = ", ".join(f"{address} ({about})" for address, about in sorted(found.items()))
    raise BadInput(
        f"--address auto: {len(found)} Rays run on this machine: {listed}; name one of them, "
        f"for example --address {min(found)}, or set RAY_ADDRESS"
    )


def _running(processes: Iterable[psutil.Process]) -> dict[str, str]:
    """Return the clusters that have a node on this machine: address -> who started the node and when."""
    found: dict[str, str] = {}
    for process in processes:
        with suppress(psutil.Error):  # it has ended meanwhile, or belongs to somebody who hides it
            if process.name() != "raylet" or _is_of_a_study(process):
                continue
            began = datetime.fromtimestamp(process.create_time()).strftime("%Y-%m-%d %H:%M")
            for word in process.cmdline():
                if word.startswith(_FLAG):
                    found.setdefault(word.removeprefix(_FLAG), f"of {process.username()}, since {began}")
    return found


def _is_of_a_study(raylet: psutil.Process) -> bool:
    keeper = raylet.parent()
    return keeper is not None and ray_keeper.__name__ in keeper.cmdline()
