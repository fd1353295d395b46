"""A trial's folder: its configuration, its epochs and its end, as JSON that survives a kill at any moment."""

from __future__ import annotations

import io
import json
import math
import os
import uuid
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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


def write_atomically(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file so that readers see the old content or the new, never a part.

    Args:
        path: the file to create or replace.
        content: all of it.
        durable: wait until the bytes are on the disk, so that a power cut cannot empty the file either.
    """
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with scratch.open("wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(scratch, path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


class TrialFolder:
    """One trial's files.

    Every attempt at the trial appends epochs to a file of its own, so that a process that outlives its
    driver for a moment cannot garble what its successor writes. Readers merge the attempts by epoch.
    """

    def __init__(self, path: Path) -> None:
        """Name the folder; nothing is created before something is written."""
        self.path = path
        self._epochs_file = path / f"epochs-{uuid.uuid4().hex[:12]}.jsonl"

    def write_config(self, config: StoredJson) -> None:
        """Store what determines the trial."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "trial.json", json.dumps(config, indent=1, sort_keys=True).encode())

    def append_epoch(self, result: EpochResult) -> None:
        """Add one finished epoch; it is on the disk when this returns."""
        with self._epochs_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def attempts(self) -> list[list[EpochResult]]:
        """Return the epochs of every attempt, as written; a line cut off by a kill is left out."""
        files = sorted(self.path.glob("epochs-*.jsonl"), key=lambda file: file.stat().st_mtime_ns)
        return [whole_lines(file) for file in files]

    def history(self) -> list[EpochResult]:
        """Return one record per epoch, in order, over all attempts."""
        by_epoch = {result["epoch"]: result for attempt in self.attempts() for result in attempt}
        return [by_epoch[epoch] for epoch in sorted(by_epoch)]

    def write_evaluation(self, evaluation: StoredJson) -> None:
        """Store what the newest epoch's validation found: recall and confusion by class.

        Not waited for: the numbers can be had again from a checkpoint.
        """
        write_atomically(self.path / "evaluation.json", json.dumps(evaluation).encode(), durable=False)

    def evaluation(self) -> StoredJson | None:
        """Return what `write_evaluation` stored last, or None when no epoch was finished."""
        return _read_json(self.path / "evaluation.json")

    def write_shared_epochs(self, epochs: dict[str, int]) -> None:
        """Store how many epochs the trial took over from shared trainings, needed of them and trained itself."""
        write_atomically(self.path / "shared.json", json.dumps(epochs).encode(), durable=False)

    def shared_epochs(self) -> dict[str, int] | None:
        """Return what `write_shared_epochs` stored, or None where nothing was shared."""
        stored = _read_json(self.path / "shared.json")
        return None if stored is None else {name: int(count) for name, count in stored.items()}

    def write_test(self, found: StoredJson) -> None:
        """Store what the test images say of the finished trial; it is on the disk when this returns."""
        write_atomically(self.path / "test.json", json.dumps(found).encode())

    def test(self) -> StoredJson | None:
        """Return what `write_test` stored, or None: of a trial that does not confirm, always."""
        return _read_json(self.path / "test.json")

    def write_record(self, name: str, record: StoredJson) -> None:
        """Store a small JSON record of the finished network as ``<name>.json``."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / f"{name}.json", json.dumps(record).encode(), durable=False)

    def record(self, name: str) -> StoredJson | None:
        """Return the record that `write_record` stored, or None."""
        return _read_json(self.path / f"{name}.json")

    def write_arrays(self, name: str, arrays: ArrayFile) -> None:
        """Store numbers of the finished network, for a picture, as ``<name>.npz``, without pickled objects."""
        import numpy as np

        assert all(array.dtype != object for array in arrays.values()), f"{name} holds objects"
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / f"{name}.npz", content.getvalue(), durable=False)

    def arrays(self, name: str) -> ArrayFile | None:
        """Return the arrays that `write_arrays` stored, or None if there are none or the file is damaged."""
        import numpy as np

        try:
            with np.load(self.path / f"{name}.npz", allow_pickle=False) as stored:
                return {key: stored[key] for key in stored.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
            return None

    @property
    def program_path(self) -> Path:
        """Path of the exported network, as ``torch.export.load`` reads it."""
        return self.path / "model.pt2"

    def write_program(self, content: bytes) -> None:
        """Store the exported network."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.program_path, content, durable=False)

    def config(self) -> StoredJson | None:
        """Return what `write_config` stored, or None. Files of version 1 are read in the words of today."""
        stored = _read_json(self.path / "trial.json")
        return None if stored is None else _with_params(stored)


def _with_params(stored: StoredJson) -> StoredJson:
    """Return a trial's configuration; in version 1, a method's params stood under ``hyperparameters``."""
    trial = stored.get("trial")
    method = trial.get("method") if isinstance(trial, dict) else None
    if not isinstance(trial, dict) or not isinstance(method, dict) or "hyperparameters" not in method:
        return stored
    renamed = {"params" if name == "hyperparameters" else name: value for name, value in method.items()}
    return {**stored, "trial": {**trial, "method": renamed}}


def _read_json(path: Path) -> StoredJson | None:
    try:
        loaded = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return loaded if isinstance(loaded, dict) else None


def whole_lines(path: Path) -> list[EpochResult]:
    """Return the epochs in a file; a line that was cut off or damaged is left out, and costs no other."""
    results = []
    for line in path.read_bytes().splitlines():
        try:
            result = json.loads(line)
        except ValueError:
            continue
        if isinstance(result, dict) and isinstance(result.get("epoch"), int):
            results.append(result)
    return results
