"""The cache of decoded images: no copies, no half-written files, rebuilt when damaged."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from trainables.core.config import DataConfig
from trainables.core.errors import BadInput
from trainables.data import load, prepare
from trainables.data.sources import image_cache
from trainables.data.sources.image_cache import open_images
from trainables.data.sources.parquet_folder import ParquetFolder
from trainables.data.sources.source_lookup import find_source

Configure = Callable[..., DataConfig]


def files(folder: Path) -> list[str]:
    """List the cache without locks."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def training_file(folder: Path) -> Path:
    return next(folder.glob("shapes-train-*.arrow"))


def test_images_are_a_private_view_of_the_file(shapes: Configure, cache_folder: Path) -> None:
    data = load(shapes(protocol="m2m"))
    before = training_file(cache_folder).read_bytes()
    found = open_images(find_source(shapes()), "train")
    assert not found.images.flags.owndata and found.images.shape == (105, 1, 6, 5)
    data.train.images.zero_()
    assert training_file(cache_folder).read_bytes() == before
    assert load(shapes(protocol="m2m")).train.images.any()


def test_all_rows_are_taken_without_a_copy(shapes: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainables.data import loading

    views = []

    def spy(*arguments: object) -> image_cache.CachedImages:
        views.append(open_images(*arguments))
        return views[-1]

    monkeypatch.setattr(loading, "open_images", spy)
    data = load(shapes(protocol="m2m"))
    assert np.shares_memory(data.train.images.numpy(), views[0].images)


def test_nothing_is_decoded_twice(shapes: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(shapes())
    monkeypatch.setattr(ParquetFolder, "read", None)
    assert prepare(shapes()) == first
    assert load(shapes()).fingerprint == first.fingerprint


def test_a_changed_source_is_decoded_again(shapes: Configure, cache_folder: Path) -> None:
    config = shapes()
    prepare(config)
    os.utime(Path(str(config.data_dir)) / "shapes" / "train.parquet", (1, 1))
    prepare(config)
    assert len(list(cache_folder.glob("shapes-train-*.arrow"))) == 2


@pytest.mark.parametrize("kept", [0, 10, 500, -1, -8])
def test_a_cut_off_file_is_built_again(shapes: Configure, cache_folder: Path, kept: int) -> None:
    first = prepare(shapes())
    path = training_file(cache_folder)
    whole = path.read_bytes()
    path.write_bytes(whole[:kept])
    assert load(shapes()).fingerprint == first.fingerprint
    assert path.read_bytes() == whole


def test_a_file_of_another_layout_is_built_again(shapes: Configure, cache_folder: Path) -> None:
    import pyarrow as pa

    first = prepare(shapes())
    path = training_file(cache_folder)
    table = pa.table({"label": [1, 2]})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    assert load(shapes()).fingerprint == first.fingerprint


def test_prepare_notices_a_changed_pixel(shapes: Configure, cache_folder: Path) -> None:
    prepare(shapes())
    path = training_file(cache_folder)
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1
    path.write_bytes(changed)
    prepare(shapes())
    assert path.read_bytes() == whole


def child(code: str, config: DataConfig) -> subprocess.Popen[str]:
    """Start a process that prepares ``config`` after ``code``, and reports decoding on stderr."""
    program = f"""
import logging, os, signal
from trainables.core.config import DataConfig
from trainables.data import prepare
from trainables.data.sources import image_cache
logging.basicConfig(level=logging.INFO)
{code}
print(prepare(DataConfig.model_validate_json({config.model_dump_json()!r})).fingerprint)
"""
    root = Path(__file__).resolve().parents[4]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def test_of_several_processes_one_decodes(shapes: Configure, cache_folder: Path) -> None:
    config = shapes()
    source = find_source(config)
    cache_folder.mkdir()
    name = f"shapes-train-v{image_cache._FORMAT}-{source.key('train')[:20]}.lock"
    with FileLock(cache_folder / name):  # both stand before the lock when it opens
        running = [child("print('started', flush=True)", config) for _ in range(2)]
        for process in running:
            assert process.stdout is not None and process.stdout.readline() == "started\n"
    outputs = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0]
    said = outputs[0][1] + outputs[1][1]
    assert said.count("decoding the train split") == said.count("decoding the test split") == 1


@pytest.mark.parametrize(
    "moment",
    [
        "image_cache._write_arrow = lambda file, split: (file.write(b'x' * 100), file.flush(), die())",
        "os.replace = lambda *paths: die()",
    ],
    ids=["half-written", "before the renaming"],
)
def test_a_killed_builder_leaves_nothing_broken(shapes: Configure, cache_folder: Path, moment: str) -> None:
    config = shapes()
    process = child(f"die = lambda: os.kill(os.getpid(), signal.SIGKILL)\n{moment}", config)
    process.communicate(timeout=120)
    assert process.returncode == -9
    assert [name for name in files(cache_folder) if name.endswith(".partial")] == files(cache_folder) != []
    prepare(config)
    assert [name.split("-")[:2] for name in files(cache_folder)] == [["shapes", "test"], ["shapes", "train"]]


def test_a_cache_folder_that_cannot_be(shapes: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("STUDY_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(BadInput, match=r"file/cache cannot be written \(Not a directory\); set STUDY_CACHE_DIR"):
        prepare(shapes())


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_folder_without_write_access_or_space(
    shapes: Configure, cache_folder: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(image_cache, "_write_arrow", refuse)
    with pytest.raises(BadInput, match=rf"{cache_folder} cannot be written \({os.strerror(code)}\)"):
        prepare(shapes())
    assert files(cache_folder) == []


def test_a_finished_cache_needs_no_write_access(shapes: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(shapes())

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(image_cache, "_building", refuse)
    assert load(shapes()).fingerprint == first.fingerprint


def test_the_default_folder_is_in_the_home_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STUDY_CACHE_DIR")
    monkeypatch.setenv("HOME", "/somewhere")
    assert image_cache.cache_dir() == Path("/somewhere/.cache/longtail-study")
