"""The watch of a joined cluster's head, and the question whether there is one, with servers that stand in for it."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from study.driver.head_check import why_no_head
from study.driver.head_watch import HeadWatch, ask

SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""The empty settings with which a server of HTTP/2 begins."""


@contextmanager
def _server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Accept connections on loopback, one after another, and hand each to ``answer``."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                    answer(connection)
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)  # ends `accept`


def _greet(connection: socket.socket) -> None:
    connection.sendall(SETTINGS)
    connection.recv(100)
    connection.close()


def _speak_otherwise(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n")
    connection.close()


_kept: list[socket.socket] = []


def test_a_server_of_grpc_answers() -> None:
    with _server(_greet) as address:
        ask(address)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (_kept.append, TimeoutError),
        (lambda connection: connection.close(), ConnectionError),
        (_speak_otherwise, ConnectionError),
    ],
    ids=["silent", "closes", "speaks otherwise"],
)
def test_what_is_no_server_of_grpc_does_not(answer: Callable[[socket.socket], None], error: type[OSError]) -> None:
    with _server(answer) as address, pytest.raises(error):
        ask(address, within=0.2)


def test_a_head_that_is_gone_is_said_once() -> None:
    said: list[str] = []
    lost = threading.Event()

    def note(reason: str) -> None:
        said.append(reason)
        lost.set()

    with _server(_greet) as address:
        watch = HeadWatch(address, note, every=0.01, refused_for=0.3, silent_for=60)
        watch.__enter__()
        assert not lost.wait(0.6)
    assert lost.wait(10)
    watch.__exit__(None, None, None)
    (sentence,) = said
    assert re.match(rf"the head of the Ray cluster at {address} has not answered for \d+ s \(", sentence)


def test_a_head_that_comes_back_is_not_lost() -> None:
    said: list[str] = []
    refused = iter([True] * 3 + [False] * 10**6)
    asked = threading.Semaphore(0)

    def answer(connection: socket.socket) -> None:
        asked.release()
        if next(refused):
            connection.close()
        else:
            _greet(connection)

    with _server(answer) as address, HeadWatch(address, said.append, every=0.01, refused_for=30):
        for _ in range(8):
            assert asked.acquire(timeout=10)
    assert said == []


def test_nothing_is_said_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    asked, ended = threading.Event(), threading.Event()

    def refused(address: str) -> None:
        asked.set()
        ended.wait(10)
        raise ConnectionRefusedError

    monkeypatch.setattr("study.driver.head_watch.ask", refused)
    with HeadWatch("127.0.0.1:1", said.append, every=0.01, refused_for=0):
        assert asked.wait(10)
    ended.set()
    for thread in threading.enumerate():
        if thread.name == "head-watch":
            thread.join(10)
    assert said == []


def test_something_that_listens_is_no_head() -> None:
    with _server(_kept.append) as address:
        assert why_no_head(address, 1) == "something listens there, but does not answer as Ray's head within 1 s"
