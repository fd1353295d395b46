"""Asks whether Ray's head answers at an address, before anything is stored or joined.

``python -m study.driver.head_check HOST:PORT`` writes a line once it has read Ray, then why no head answers, if none
does. It is a process of its own because Ray's client asks for minutes and does not end on SIGTERM.
"""

from __future__ import annotations

import subprocess
import sys

from study.driver.cluster_token import WRONG_TOKEN

_PATIENCE = 10.0
_READY = "ready"


def why_no_head(address: str, patience: float = _PATIENCE) -> str | None:
    """Return why no head of a Ray cluster answers, or refuses this process; None if one takes it.

    Args:
        address: ``host:port`` at which something listens.
        patience: seconds that it gets to answer.
    """
    words = [sys.executable, "-m", "study.driver.head_check", address]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as asking:
        assert asking.stdout is not None
        try:
            asking.stdout.readline()  # reading Ray takes seconds on a busy machine, which are no fault of the head
            said, _ = asking.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            return f"something listens there, but does not answer as Ray's head within {patience:.0f} s"
        finally:
            asking.kill()
    return said.strip() or None


def main(address: str) -> None:
    """Ask once for the cluster's id, as all that joins it does first."""
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # in C++
    from ray.exceptions import AuthenticationError

    print(_READY, flush=True)
    try:
        GcsClient(address=address)
    except AuthenticationError:
        print(WRONG_TOKEN, flush=True)
    except Exception as error:  # Ray raises many types
        print(f"something listens there that is not Ray's head: {' '.join(str(error).split())[:200]}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
