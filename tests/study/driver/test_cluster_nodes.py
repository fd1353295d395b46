from __future__ import annotations

import socket

import pytest

from study.driver.cluster_nodes import wait_for_nodes
from trainables.core.errors import BadInput


def test_a_head_that_does_not_answer_is_named() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, and deaf
        address = f"127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(BadInput, match=f"head does not answer at {address}"):
            wait_for_nodes(address, 2, head_patience=0.0)
