"""A trial's folder: its configuration, its epochs and its end, as JSON that survives a kill at any moment."""

from __future__ import annotations

import io
import json
import logging
import math
import os
import uuid
import zipfile
import zlib
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any

from trainables.core.archive_check import unpacked
from trainables.core.errors import BadInput, reason_of
from trainables.core.line_checksum import checksum, is_whole
from trainables.core.object_path import ObjectPath
from trainables.core.storage_path import StoragePath, local_copy, write_atomically

PACK = "trial.zip"
"""File of an ended trial that holds all its small files under the names that they had."""

_PACKED = (".json", ".jsonl", ".npz")
"""Files of a trial's folder that `TrialFolder.pack` bundles; networks and logits are read on their own."""

_log = logging.getLogger(__name__)


class DamagedBundle(BadInput):
    """The bundle of one trial cannot be read; no other trial depends on it."""


EpochResult = dict[str, Any]
"""Result of one epoch: ``epoch`` (1-based), ``stage``, ``learning_rate``, ``images_per_second``, every metric of
`metric_names.METRICS`, ``shared`` (True) if the epoch was adopted from a shared training, and `METHOD_METRICS`."""

METHOD_METRICS = "method_metrics"
"""Key of an epoch result with the method's own metrics, name -> finite number; absent if there are none."""

CLASS_RECALL = "recall"
"""Key of an epoch result with the validation recall of every class, rounded, in label order; absent with many classes
and in older folders."""

ArrayFile = dict[str, Any]
"""Content of an ``.npz`` file: name -> numpy array."""

StoredJson = dict[str, Any]
"""Content of a trial's other JSON files: configuration, evaluation, test evaluation."""


def method_metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """Return the method's own metrics of an epoch result, by the names in `Method.epoch_metrics`.

    Raises:
        ValueError: they are not finite numbers by name.

    >>> method_metrics({"epoch": 1, "method_metrics": {"sites": 0.5}}), method_metrics({"epoch": 1})
    ({'sites': 0.5}, {})
    """
    stored = result.get(METHOD_METRICS, {})
    if not isinstance(stored, dict):
        raise ValueError(f"`{METHOD_METRICS}` must map names to numbers, got {stored!r}")
    for name, value in stored.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"`{METHOD_METRICS}.{name}` must be a finite number, got {value!r}")
    return {str(name): float(value) for name, value in stored.items()}


class TrialFolder:
    """One trial's files.

    Every attempt at the trial appends epochs to a file of its own, so that a process that outlives its
    driver for a moment cannot garble what its successor writes. Readers merge the attempts by epoch. On object storage,
    where nothing can be appended, an attempt puts its whole file again.

    When the trial has ended, its driver bundles the small files into one (`pack`). Readers find the same content
    before, during and after that.
    """

    def __init__(self, path: StoragePath, *, writes: bool = True) -> None:
        """Name the folder; nothing is created before something is written.

        Args:
            path: the folder.
            writes: False makes every write do nothing, for a process whose fellow worker writes the same.
        """
        self.path, self._writes = path, writes
        self._epochs_file = path / f"epochs-{uuid.uuid4().hex[:12]}.jsonl"
        self._lines = ""
        self._pack: dict[str, bytes] | None = None
        self._damage: str | None = None
        self._damage_said = False

    def write_config(self, config: StoredJson) -> None:
        """Store what determines the trial."""
        self._write("trial.json", json.dumps(config, indent=1, sort_keys=True).encode())

    def append_epoch(self, result: EpochResult) -> None:
        """Add one finished epoch; it is on the disk when this returns."""
        if not self._writes:
            return
        line = _line(result)
        if isinstance(self._epochs_file, ObjectPath):
            self._epochs_file.write_bytes((self._lines + line).encode())
            self._lines += line
            return
        with self._epochs_file.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def attempts(self) -> list[list[EpochResult]]:
        """Return the epochs of every attempt, as written; a line that was cut off or changed is left out."""
        return [whole_lines(content) for content in self._epoch_files()]

    def _epoch_files(self) -> list[bytes]:
        """Return the content of all epochs files, the one that was written last at the end."""
        if self._read() is None:
            try:
                files: list[StoragePath] = list(self.path.glob("epochs-*.jsonl"))
                found = [file.read_bytes() for file in sorted(files, key=lambda file: file.stat().st_mtime_ns)]
            except FileNotFoundError:
                found = []
            if self._packed() is None:  # else they were packed meanwhile, and some may have been missed
                return found
        assert self._pack is not None
        return [content for name, content in self._pack.items() if name.endswith(".jsonl")]

    def history(self) -> list[EpochResult]:
        """Return one record per epoch, in order, over all attempts."""
        by_epoch = {result["epoch"]: result for attempt in self.attempts() for result in attempt}
        return [by_epoch[epoch] for epoch in sorted(by_epoch)]

    def write_evaluation(self, evaluation: StoredJson) -> None:
        """Store what the newest epoch's validation found: recall and confusion by class.

        Not waited for: the numbers can be had again from a checkpoint.
        """
        self._write("evaluation.json", json.dumps(evaluation).encode(), durable=False)

    def evaluation(self) -> StoredJson | None:
        """Return what `write_evaluation` stored last, or None when no epoch was finished."""
        return self.record("evaluation")

    def write_shared_epochs(self, epochs: dict[str, int]) -> None:
        """Store how many epochs the trial took over from shared trainings, needed of them and trained itself."""
        self._write("shared.json", json.dumps(epochs).encode(), durable=False)

    def shared_epochs(self) -> dict[str, int] | None:
        """Return what `write_shared_epochs` stored, or None where nothing was shared."""
        stored = self.record("shared")
        return None if stored is None else {name: int(count) for name, count in stored.items()}

    def write_test(self, found: StoredJson) -> None:
        """Store what the test images say of the finished trial; it is on the disk when this returns."""
        self._write("test.json", json.dumps(found).encode())

    def test(self) -> StoredJson | None:
        """Return what `write_test` stored, or None: of a trial that does not confirm, always."""
        return self.record("test")

    def write_record(self, name: str, record: StoredJson) -> None:
        """Store a small JSON record of the finished network as ``<name>.json``."""
        self._write(f"{name}.json", json.dumps(record).encode(), durable=False)

    def record(self, name: str) -> StoredJson | None:
        """Return the record that `write_record` stored, or None if there is none or it is damaged."""
        try:
            loaded = json.loads(self.content(f"{name}.json") or b"")
        except (ValueError, IsADirectoryError):
            return None
        return loaded if isinstance(loaded, dict) else None

    def write_arrays(self, name: str, arrays: ArrayFile) -> None:
        """Store numbers of the finished network, for a picture, as ``<name>.npz``, without pickled objects."""
        import numpy as np

        assert all(array.dtype != object for array in arrays.values()), f"{name} holds objects"
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)
        self._write(f"{name}.npz", content.getvalue(), durable=False)

    def arrays(self, name: str) -> ArrayFile | None:
        """Return the arrays that `write_arrays` stored, or None if there are none or the file is damaged."""
        import numpy as np

        try:
            if (content := self.content(f"{name}.npz")) is None:
                return None
            with np.load(io.BytesIO(content), allow_pickle=False) as stored:
                return {key: stored[key] for key in stored.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
            return None

    @property
    def program_path(self) -> StoragePath:
        """Path of the exported network, as ``torch.export.load`` reads it."""
        return self.path / "model.pt2"

    def write_program(self, content: bytes) -> None:
        """Store the exported network."""
        self._write(self.program_path.name, content, durable=False)

    def program(self) -> AbstractContextManager[Path]:
        """Give the exported network as a file of this machine, while the context is open."""
        return local_copy(self.program_path)

    def config(self) -> StoredJson | None:
        """Return what `write_config` stored, or None. Files of version 1 are read in the words of today."""
        stored = self.record("trial")
        return None if stored is None else _with_params(stored)

    def read_ahead(self) -> None:
        """Read the bundle, if there is one; later reads of its files then ask no storage."""
        self._packed()

    def pack(self) -> None:
        """Bundle the small files into one and delete them. Only the driver may call it, once the trial has ended.

        The bundle is written as a whole before anything is deleted, so that a kill loses nothing; a second call
        finishes.

        Raises:
            OSError: a file cannot be read, written or deleted.
        """
        loose = [path for path in self.path.iterdir() if _is_packed(path.name)]
        if loose and self._packed() is None:
            content = io.BytesIO()
            with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
                for path in sorted(loose, key=lambda path: path.stat().st_mtime_ns):  # readers need the attempts' order
                    archive.writestr(zipfile.ZipInfo(path.name), path.read_bytes(), zipfile.ZIP_DEFLATED)
            write_atomically(self.path / PACK, content.getvalue())
        for path in loose:
            path.unlink(missing_ok=True)

    def unpack(self) -> None:
        """Undo `pack` for a trial that is trained again: its bundle would hide what it writes now.

        Raises:
            OSError: a file cannot be written or deleted.
        """
        for name, content in (self._read() or {}).items():
            write_atomically(self.path / name, content)
        (self.path / PACK).unlink(missing_ok=True)
        self._pack = self._damage = None

    def damaged_file(self, name: str) -> StoragePath | None:
        """Return the file that should hold a small JSON record, if it is there and cannot be read; else None."""
        if self.bundle_damage() is not None:
            return self.path / PACK
        loose = self.path / name
        return loose if self.record(name.removesuffix(".json")) is None and loose.exists() else None

    def bundle_damage(self) -> str | None:
        """Return a sentence on a bundle that is there and cannot be read: which file, why, what is lost; else None.

        Who asks says it: reading the trial's files logs nothing of it then.
        """
        self._packed()
        self._damage_said = True
        return self._damage

    def _read(self) -> dict[str, bytes] | None:
        """Return what `_packed` does; a damaged bundle is logged, once in a process."""
        packed = self._packed()
        if self._damage is not None and not self._damage_said:
            _log_once(self._damage)
        return packed

    def _packed(self) -> dict[str, bytes] | None:
        """Return the content of the bundle, or None if there is none or it is damaged.

        What was read once does not change any more.
        """
        if self._pack is None and self._damage is None:
            try:
                self._pack = unpacked((self.path / PACK).read_bytes())
            except (FileNotFoundError, NotADirectoryError):
                return None
            except (IsADirectoryError, PermissionError, zipfile.BadZipFile) as error:
                self._damage = (
                    f"{self.path / PACK}: is damaged ({reason_of(error)}), and with it the trial's epochs and results "
                    "per class; put back a copy of it"
                )
        return self._pack

    def content(self, name: str) -> bytes | None:
        """Return the content of a small file, bundled or not, or None if there is none."""
        if (packed := self._read()) is None:
            try:
                return (self.path / name).read_bytes()
            except FileNotFoundError:
                packed = self._packed()  # it may have been packed meanwhile
        return None if packed is None else packed.get(name)

    def _write(self, name: str, content: bytes, *, durable: bool = True) -> None:
        if not self._writes:
            return
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / name, content, durable=durable)


@cache
def _log_once(message: str) -> None:
    """Log a message; the same one is logged once in a process, however often its file is opened."""
    _log.warning("%s", message)


def _is_packed(name: str) -> bool:
    return name.endswith(_PACKED) and not name.startswith(".")


def is_unpacked(names: Collection[str]) -> bool:
    """Return True if a folder with these files holds a trial with small files that are not bundled.

    >>> is_unpacked(["trial.json", "checkpoint-000003.pt"]), is_unpacked(["trial.zip", "logits.parquet"])
    (True, False)
    """
    return any(map(_is_packed, names))


def _with_params(stored: StoredJson) -> StoredJson:
    """Return a trial's configuration; in version 1, a method's params stood under ``hyperparameters``."""
    trial = stored.get("trial")
    method = trial.get("method") if isinstance(trial, dict) else None
    if not isinstance(trial, dict) or not isinstance(method, dict) or "hyperparameters" not in method:
        return stored
    renamed = {"params" if name == "hyperparameters" else name: value for name, value in method.items()}
    return {**stored, "trial": {**trial, "method": renamed}}


def _line(result: EpochResult) -> str:
    """Return an epoch result as a line whose last key is a checksum of what is before it."""
    said = json.dumps(result)[:-1]
    return f'{said}, "crc32": "{checksum(said.encode())}"}}\n'


def whole_lines(content: bytes) -> list[EpochResult]:
    """Return the epochs in a file's content; a line that was cut off or damaged is left out, and costs no other.

    A line without a checksum, of an earlier version, is taken as it is.

    >>> line = _line({"epoch": 1, "loss": 0.25}).encode()
    >>> whole_lines(line + line.replace(b"0.25", b"0.75") + b'{"epoch": 2}')
    [{'epoch': 1, 'loss': 0.25}, {'epoch': 2}]
    """
    results = []
    for line in content.splitlines():
        if not is_whole(line):
            continue
        try:
            result = json.loads(line)
        except ValueError:
            continue
        if isinstance(result, dict) and isinstance(result.get("epoch"), int):
            result.pop("crc32", None)
            results.append(result)
    return results
