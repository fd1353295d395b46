from __future__ import annotations

import threading
import time

import pytest

from trainables.core.patience import Patience, ServiceAway


def away(error: Exception) -> str | None:
    return str(error) if isinstance(error, OSError) else None


class Failing:
    """Fails a number of times, then answers with the number of its calls."""

    def __init__(self, times: float, error: Exception | None = None) -> None:
        self.times, self.error = times, error or OSError("refused")
        self.again: list[bool] = []

    def __call__(self, again: bool) -> int:
        self.again.append(again)
        if len(self.again) <= self.times:
            raise self.error
        return len(self.again)


@pytest.fixture
def said() -> list[str]:
    return []


def test_one_failure_is_repeated_without_a_word(said: list[str]) -> None:
    act = Failing(1)
    assert Patience("it", 60.0, say=said.append).call(act, away) == 2
    assert act.again == [False, True] and not said


def test_an_outage_is_said_at_once_and_when_it_is_over(said: list[str]) -> None:
    assert Patience("it", 120.0, say=said.append).call(Failing(3), away) == 4
    assert said[0] == "it does not answer (refused); trying for 2 min"
    assert said[1].startswith("it answers again after ") and len(said) == 2


def test_too_long_an_outage_is_an_error_and_final(said: list[str]) -> None:
    patience, act = Patience("it", 0.3, say=said.append, final=True), Failing(9)
    with pytest.raises(ServiceAway, match=r"^it does not answer \(refused\)$"):
        patience.call(act, away)
    tries = len(act.again)
    with pytest.raises(ServiceAway, match=r"^it does not answer"):
        patience.call(act, away)
    assert len(act.again) == tries and len(said) == 1


def test_the_whole_time_is_used() -> None:
    begun = time.monotonic()
    with pytest.raises(ServiceAway):
        Patience("it", 0.5).call(Failing(float("inf")), away)
    assert time.monotonic() - begun >= 0.5


def test_after_too_long_an_outage_calls_are_tried_once_until_one_succeeds() -> None:
    patience = Patience("it", 0.0)
    with pytest.raises(ServiceAway):
        patience.call(Failing(9), away)
    assert patience.gave_up is not None
    assert patience.call(Failing(0), away) == 1
    assert patience.gave_up is None


def test_other_errors_are_raised() -> None:
    with pytest.raises(KeyError):
        Patience("it", 60.0).call(Failing(1, KeyError("x")), away)


def test_waiting_ends_when_it_has_no_purpose() -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(ServiceAway):
        Patience("it", 600.0, stopped=stop.is_set).call(Failing(float("inf")), away)


def test_passwords_are_masked() -> None:
    error = OSError("no route to postgresql://me:hunter2@host/db")
    with pytest.raises(ServiceAway) as raised:
        Patience("it", 0.0).call(Failing(9, error), away)
    assert "hunter2" not in str(raised.value)
