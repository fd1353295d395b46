from __future__ import annotations

import errno
import pickle
import subprocess
import sys
import threading
import traceback
from pathlib import Path

import pytest

from tests.servers import FolderS3Server, S3Server, has_folder_s3, http_error
from trainables.core import object_path
from trainables.core.errors import BadInput
from trainables.core.object_path import ObjectPath, StorageFault
from trainables.core.storage_path import files_below, local_copy, remove_below, storage_path, write_atomically


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://host/runs", "unknown scheme 'ftp'; allowed: a local folder, s3://bucket/folder, gs://bucket/folder"),
        ("s3://", "must name a bucket"),
        ("s3://me:secret@bucket/runs", "must name a bucket"),
        ("s3://bucket/runs?endpoint=x", "without '\\?' and '#'"),
        ("s3://bucket/../other", "must not hold the folders"),
        ("s3://[bucket", "storage 's3://\\[bucket'"),
        ("s3:/bucket/runs", "write s3://bucket/folder, or ./s3... for a folder of this machine"),
        ("gs//bucket", "write gs://bucket/folder"),
        (Path("s3://bucket/runs"), "storage 's3:/bucket/runs': looks like a URL"),
    ],
)
def test_a_url_that_names_no_storage_is_bad_input(url: str | Path, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        storage_path(url)


def test_names_work_as_those_of_local_paths() -> None:
    path = storage_path("s3://bucket/runs/") / "digits/study.yaml"
    assert str(path) == "s3://bucket/runs/digits/study.yaml"
    assert (path.name, str(path.parent), str(path.with_name("x"))) == (
        "study.yaml",
        "s3://bucket/runs/digits",
        "s3://bucket/runs/digits/x",
    )
    assert isinstance(path, ObjectPath)
    assert path.relative_to(path.parent.parent) == "digits/study.yaml"
    assert storage_path(str(path)) == path
    with pytest.raises(TypeError, match="is not a file of this machine"):
        Path(path)


@pytest.mark.parametrize(("server", "scheme"), [("s3", "s3"), ("gcs", "gs")])
def test_objects_are_written_read_listed_and_deleted(server: str, scheme: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(server)
    root = ObjectPath.parsed(f"{scheme}://runs/objects")
    root.check(writing=True)
    for name in ("a/study.yaml", "b/study.yaml", "b/cells/x/00000/trial.json"):
        write_atomically(root / name, name.encode())
    assert (root / "a/study.yaml").read_text() == "a/study.yaml"
    assert [path.parent.name for path in root.glob("*/study.yaml")] == ["a", "b"]
    assert {(file.folder, file.name, file.size) for file in files_below(root / "b")} == {
        ("", "study.yaml", 12),
        ("cells/x/00000", "trial.json", 26),
    }
    assert [path.name for path in (root / "b").iterdir()] == ["cells", "study.yaml"]
    assert (root / "b").is_dir() and (root / "b").exists() and not (root / "b").is_file()
    with local_copy(root / "a/study.yaml") as copy:
        assert copy.read_text() == "a/study.yaml"
    (root / "a/study.yaml").write_text("new")
    assert (root / "a/study.yaml").stat().st_size == 3
    (root / "a/study.yaml").unlink()
    (root / "a/study.yaml").unlink(missing_ok=True)
    remove_below(root / "b")
    assert list(files_below(root)) == []
    for act in ((root / "a/study.yaml").read_bytes, (root / "a/study.yaml").stat, (root / "a/study.yaml").unlink):
        with pytest.raises(FileNotFoundError):
            act()
    remove_below(root / "b")
    with pytest.raises(BadInput, match="the bucket 'nobody' does not exist"):
        ObjectPath.parsed(f"{scheme}://nobody/runs").check(writing=False)


def test_a_storage_that_is_away_for_a_moment_is_awaited(s3: S3Server) -> None:
    path = ObjectPath.parsed("s3://runs/away/x")
    path.write_text("before")
    s3.relay.close()
    back = threading.Timer(1.5, s3.relay.open)
    back.start()
    assert path.read_text() == "before"
    back.join()


def test_a_storage_that_stays_away_is_a_fault_of_the_machine(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_path._storage, "seconds", 0.0)
    s3.relay.close()
    try:
        with pytest.raises(OSError, match=r"object storage (does not answer|has not answered)") as caught:
            ObjectPath.parsed("s3://runs/x").write_text("x")
        assert caught.value.errno == errno.EIO
        with pytest.raises(BadInput, match=r"storage 's3://runs/x': cannot be used"):
            ObjectPath.parsed("s3://runs/x").check(writing=True)
    finally:
        s3.relay.open()


def test_the_check_leaves_nothing(s3: S3Server) -> None:
    ObjectPath.parsed("s3://runs/checked").check(writing=True)
    assert list(files_below(ObjectPath.parsed("s3://runs/checked"))) == []


def test_a_server_that_takes_no_chunked_upload_is_refused_at_once(s3: S3Server) -> None:
    s3.relay.answer_with(http_error("411 Length Required"))
    try:
        with pytest.raises(BadInput, match="AWS_REQUEST_CHECKSUM_CALCULATION=when_required may help"):
            ObjectPath.parsed("s3://runs/x").check(writing=True)
        with pytest.raises(OSError, match="does not take such a request"):
            (ObjectPath.parsed("s3://runs/x") / "y").write_text("y")
    finally:
        s3.relay.answer_with(None)


@pytest.mark.skipif(not has_folder_s3(), reason="needs s3rver: npm install -g s3rver")
def test_objects_outlive_the_server_that_keeps_them_in_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = FolderS3Server(tmp_path / "s3")
    code = (
        "import sys; from trainables.core.object_path import ObjectPath; "
        "path = ObjectPath.parsed('s3://runs/studies') / 'a'; "
        "path.write_text('kept') if sys.argv[1] == 'write' else print(path.read_text())"
    )
    run = [sys.executable, "-c", code]
    try:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        subprocess.run([*run, "write"], check=True, timeout=120)
        server.kill()
        server.start()
        assert subprocess.run([*run, "read"], check=True, timeout=120, capture_output=True).stdout == b"kept\n"
    finally:
        server.stop()


@pytest.mark.skipif(not has_folder_s3(), reason="needs s3rver: npm install -g s3rver")
def test_a_server_that_stores_the_chunks_as_they_came_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = FolderS3Server(tmp_path / "s3")
    code = "from trainables.core.object_path import ObjectPath; ObjectPath.parsed('s3://runs/x').check(writing=True)"
    try:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
        monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")
        refused = subprocess.run([sys.executable, "-c", code], timeout=120, capture_output=True, text=True)
        assert "an object of 5 bytes came back with" in refused.stderr
        assert "AWS_REQUEST_CHECKSUM_CALCULATION=when_required may help" in refused.stderr
    finally:
        server.stop()


def test_wrong_credentials_are_refused_at_once(s3: S3Server) -> None:
    path = ObjectPath.parsed("s3://runs/refused")
    with s3.checking_credentials():
        with pytest.raises(BadInput, match="access is refused: credentials are missing or wrong"):
            path.check(writing=False)
        with pytest.raises(OSError, match=r"ACCESS_DENIED|INVALID") as caught:
            (path / "x").write_text("x")
        assert caught.value.errno == errno.EACCES
    path.check(writing=True)


def test_a_fault_is_said_without_the_number_of_the_system_s_error() -> None:
    fault = StorageFault(errno.EIO, "the object storage has not answered for 300 s (connection refused)")
    assert f"{fault}" == "the object storage has not answered for 300 s (connection refused)"
    assert "[Errno" not in "".join(traceback.format_exception_only(fault))
    assert str(pickle.loads(pickle.dumps(fault))) == str(fault)  # as Ray brings it from a worker
