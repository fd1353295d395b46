"""A study whose ledger's PostgreSQL is restarted, away, slow, frozen or answering errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.faults.fault_lab import Lab, Running, Undisturbed, content, one_cell, wait_until
from tests.servers import PostgresServer, Relay

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EPOCHS, TRIALS = 40, 4
STUDY = one_cell("ledgered", epochs=EPOCHS, trials=TRIALS)


class Disturbed:
    """PostgreSQL behind a relay, and what can be done to it."""

    def __init__(self, server: PostgresServer) -> None:
        self.server, self.relay = server, Relay(server.port)
        self.relay.open()

    def restart(self) -> None:
        self.server.stop()
        self.server.start()

    def away(self, seconds: float = 12.0) -> None:
        self.server.stop()
        time.sleep(seconds)
        self.server.start()

    def cut(self) -> None:
        for _ in range(20):
            self.relay.cut()
            time.sleep(0.25)

    def slow(self) -> None:
        self.relay.delay = 0.1
        time.sleep(15)
        self.relay.delay = 0.0

    def frozen(self) -> None:
        self.relay.freeze()
        time.sleep(15)
        self.relay.thaw()

    def frozen_long(self) -> None:
        """Longer than an answer is waited for: the connection is cut, and the next one is not answered either."""
        self.relay.freeze()
        time.sleep(85)
        self.relay.thaw()

    def read_only(self) -> None:
        self.server.set_read_only(True)
        time.sleep(12)
        self.server.set_read_only(False)


@pytest.fixture
def disturbed(postgres: PostgresServer) -> Iterator[Disturbed]:
    postgres.execute("DROP DATABASE IF EXISTS ledgered WITH (FORCE)", "CREATE DATABASE ledgered")
    made = Disturbed(postgres)
    yield made
    made.relay.close()


def _training(lab: Lab, disturbed: Disturbed, **records: Any) -> Running:
    ledger = disturbed.server.url_at(disturbed.relay.port, "ledgered")
    running = lab.run({**STUDY, "records": {"ledger": ledger, **records}})
    wait_until(lambda: lab.epochs_written() >= 5 or running.process.poll() is not None, "the first epochs")
    return running


def _equal_to_undisturbed(lab: Lab, undisturbed: Undisturbed) -> None:
    """No trial is lost or doubled, and every number is that of an undisturbed study."""
    assert content(lab.view()) == undisturbed.content
    assert len(undisturbed.content) == TRIALS


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(STUDY, tmp_path_factory.mktemp("undisturbed") / "runs")


FAULTS: list[Callable[[Disturbed], None]] = [
    Disturbed.restart,
    Disturbed.away,
    Disturbed.cut,
    Disturbed.slow,
    Disturbed.frozen,
    Disturbed.frozen_long,
    Disturbed.read_only,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_study_goes_on_through_a_fault_of_its_ledger(
    lab: Lab, disturbed: Disturbed, undisturbed: Undisturbed, fault: Callable[[Disturbed], None]
) -> None:
    running = _training(lab, disturbed)
    fault(disturbed)
    assert running.wait() == 0, running.output()
    print(running.output())
    _equal_to_undisturbed(lab, undisturbed)
    assert lab.epochs_written() == TRIALS * EPOCHS  # none was repeated


def test_a_ledger_that_stays_away_stops_the_study_and_a_resume_finishes_it(
    lab: Lab, disturbed: Disturbed, undisturbed: Undisturbed
) -> None:
    running = _training(lab, disturbed, wait_minutes=0.1)
    disturbed.relay.close()
    wait_until(lambda: "does not answer" in running.output(), "a word", 10)
    begun = time.monotonic()
    assert running.wait() == 1, running.output()
    assert time.monotonic() - begun < 30
    said = " ".join(running.output().split())
    assert "trying for 6 s" in said and "nothing is lost: study resume ledgered" in said
    assert "Traceback" not in said
    wait_until(lambda: not running.family(), "every process to be gone", 20)
    print(running.output())
    refused = lab.resume()
    assert refused.wait() == 2 and "cannot open" in refused.output()
    disturbed.relay.open()
    lab.finish()
    _equal_to_undisturbed(lab, undisturbed)


def test_waiting_for_a_ledger_ends_with_a_signal(lab: Lab, disturbed: Disturbed, undisturbed: Undisturbed) -> None:
    running = _training(lab, disturbed, wait_minutes=10)
    disturbed.relay.close()
    wait_until(lambda: "trying for 10 min" in running.output(), "a word", 10)
    running.interrupt()
    assert running.wait() == 130, running.output()
    said = " ".join(running.output().split())
    assert "nothing is lost: study resume ledgered" in said and "Traceback" not in said
    disturbed.relay.open()
    lab.finish()
    _equal_to_undisturbed(lab, undisturbed)
