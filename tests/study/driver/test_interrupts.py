from __future__ import annotations

import signal
from types import FrameType

import pytest

from study.driver.interrupts import Interrupts, warnings_of_batch_systems


def test_the_first_says_what_happens_and_the_second_stops_harder() -> None:
    said: list[str] = []
    told_tune: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    with Interrupts("tiny", said.append) as interrupts:
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
    with Interrupts("tiny", said.append) as interrupts:
        interrupts.before_step()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert len(said) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_batch_system_s_warning_before_the_start_is_an_interrupt(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), warnings_of_batch_systems():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_a_batch_system_s_warning_in_tune_s_loop_ends_the_loop_once() -> None:
    said: list[str] = []
    told_tune: list[int] = []
    with warnings_of_batch_systems(), Interrupts("tiny", said.append) as interrupts:
        signal.signal(signal.SIGINT, lambda number, frame: told_tune.append(number))
        interrupts.before_step()
        signal.raise_signal(signal.SIGUSR1)
    assert told_tune == [signal.SIGUSR1]
    assert len(said) == 1 and "study resume tiny" in said[0]
