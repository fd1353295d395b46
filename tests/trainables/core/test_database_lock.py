from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.servers import PostgresServer
from trainables.core.database_lock import DatabaseLock, is_locked

HOLDER = """
import sys, time
from trainables.core.database_lock import DatabaseLock
assert DatabaseLock(sys.argv[1], sys.argv[2]).try_acquire()
print("held", flush=True)
time.sleep(600)
"""


def test_one_holder_excludes_others_until_it_releases(postgres: PostgresServer) -> None:
    first, second = DatabaseLock(postgres.url, "one"), DatabaseLock(postgres.url, "one")
    assert not is_locked(postgres.url, "one")
    with first:
        assert first.held and first.still_held() and first.try_acquire()
        assert is_locked(postgres.url, "one")
        assert not second.try_acquire()
        assert DatabaseLock(postgres.url, "another").try_acquire()
    assert not is_locked(postgres.url, "one")
    assert second.try_acquire()
    second.release()


def test_kill_of_the_holder_frees_it(postgres: PostgresServer) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, postgres.url, "killed"], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    lock = DatabaseLock(postgres.url, "killed")
    assert not lock.try_acquire()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    assert lock.try_acquire(patience=20)
    lock.release()


def test_a_restart_of_the_database_is_noticed(postgres: PostgresServer) -> None:
    mine, other = DatabaseLock(postgres.url, "restarted"), DatabaseLock(postgres.url, "restarted")
    assert mine.try_acquire()
    postgres.stop()
    with pytest.raises(OSError, match=r"locks in postgresql\+psycopg://study@127\.0\.0\.1:\d+/study cannot be used"):
        mine.still_held()
    postgres.start()
    assert mine.still_held()  # taken again
    postgres.stop()
    postgres.start()
    assert other.try_acquire()
    assert not mine.still_held()
    assert not mine.held
    other.release()
