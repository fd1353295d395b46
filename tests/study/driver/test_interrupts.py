from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from types import FrameType

import pytest

from study.driver.interrupts import Interrupts


def test_the_first_says_what_happens_and_the_second_stops_harder() -> None:
    said: list[str] = []
    told_tune: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    with Interrupts("study {} tiny".format, said.append) as interrupts:
        ours = signal.getsignal(signal.SIGINT)

        def tunes(number: int, frame: FrameType | None) -> None:
            told_tune.append(number)
            signal.signal(signal.SIGINT, ours)

        signal.signal(signal.SIGINT, tunes)
        interrupts.before_step()
        interrupts.before_step()
        signal.raise_signal(signal.SIGINT)
        assert told_tune == [signal.SIGINT]
        assert "study resume tiny" in said[0] and "Ctrl-C again stops at once" in said[0]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert "stopping at once" in said[1] and len(said) == 2
    assert signal.getsignal(signal.SIGINT) is before


def test_without_tunes_handler_an_interrupt_is_said_and_raised() -> None:
    said: list[str] = []
    with Interrupts("study {} tiny".format, said.append) as interrupts:
        interrupts.before_step()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert len(said) == 1


def test_while_records_are_written_a_signal_says_so_and_ends_the_wait() -> None:
    said: list[str] = []
    with Interrupts("study {} tiny".format, said.append) as interrupts:
        interrupts.recording()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert said == ["asked to end (SIGTERM): not waiting for the records in MLflow; `study record tiny` completes them"]


def test_a_signal_is_known_before_the_main_thread_can_answer_it() -> None:
    said: list[str] = []
    known: list[tuple[bool, bool, list[str]]] = []
    begun = threading.Event()

    def ask(interrupts: Interrupts) -> None:
        begun.wait()
        time.sleep(0.1)
        before = interrupts.came()
        os.kill(os.getpid(), signal.SIGTERM)
        end = time.monotonic() + 10
        while not interrupts.came() and time.monotonic() < end:  # the system delivers it to another thread
            time.sleep(0.001)
        known.append((before, interrupts.came(), list(said)))

    with Interrupts("study {} tiny".format, said.append) as interrupts:
        asking = threading.Thread(target=ask, args=(interrupts,))
        asking.start()
        with pytest.raises(KeyboardInterrupt):
            begun.set()
            hashlib.pbkdf2_hmac("sha256", b"", b"", 3_000_000)  # a call of a second that no signal ends
        asking.join()
    assert known == [(False, True, [])]
    assert len(said) == 1 and interrupts.asked
