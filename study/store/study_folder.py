"""A study's folder: the checked study file, the fingerprints of its data, and the lock of its driver."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.spec.limited_yaml import STORED
from study.spec.study_plugins import store_plugins
from study.spec.study_spec import STUDY_NAME, StudySpec
from study.spec.validation import checked_spec
from study.spec.yaml_io import read_yaml, write_yaml
from study.store.plugin_records import check_copies, describe_plugins, write_plugin_records
from study.store.seals import check_text, is_sealed, sealed_json, sealed_text, unsealed_json
from trainables.core.database_lock import is_postgresql
from trainables.core.errors import BadInput
from trainables.core.locks import Lock, is_locked_at, lock_at
from trainables.core.object_path import ObjectPath
from trainables.core.storage_path import StoragePath, remove_below, storage_path, write_atomically

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

DEFAULT_STORAGE = "runs"
_DRIVER_PATIENCE = 0.5
"""Seconds that a starting driver waits for its lock: a call of `is_driven` holds it for a moment."""

FORMAT = 4
"""Current version of the stored format; version 1 had no ``format.json``, version 2 other defaults, and up to version 3
the small files of a trial were not bundled at its end."""
PACKED = 4
"""Oldest format in which the small files of ended trials are bundled."""
SHARED = "shared"
"""Folder of a storage that holds the trainings shared by trials of all its studies."""


def storage_root(given: str | Path | None) -> StoragePath:
    """Return the place of all studies: ``given``, else $STUDY_STORAGE, else ``runs`` in the current folder.

    Raises:
        BadInput: a URL names no object storage, or one that cannot be read now.
    """
    root = storage_place(given)
    if isinstance(root, ObjectPath):
        root.check(writing=False)
    return root


def storage_place(given: str | Path | None) -> StoragePath:
    """Return the place of all studies as in `storage_root`, without asking object storage whether it is there.

    Raises:
        BadInput: a URL that names no object storage.
    """
    return storage_path(given or os.environ.get("STUDY_STORAGE", DEFAULT_STORAGE)).resolve()


def local_storage_root(given: str | Path | None, wanted_by: str) -> Path:
    """Return the folder of all studies, for what needs a folder of this machine.

    Raises:
        BadInput: the storage is object storage.
    """
    root = storage_root(given)
    if not isinstance(root, Path):
        raise BadInput(f"--storage {root}: {wanted_by} needs a folder that all machines see, not object storage")
    return root


def check_ledger(storage: StoragePath, ledger: str | None) -> None:
    """Refuse a study on object storage without a PostgreSQL ledger, which also holds its locks.

    Raises:
        BadInput: there is none; the message says what to set.
    """
    if isinstance(storage, ObjectPath) and not is_postgresql(ledger):
        raise BadInput(
            f"records.ledger: a study on object storage ({storage}) needs a PostgreSQL database for ledger and locks; "
            "add --set records.ledger=postgresql+psycopg://USER@HOST/DATABASE (docs/cluster.md)"
        )


def stored_names(storage: StoragePath) -> list[str]:
    """Return the names of all stored studies."""
    found: Iterator[str] = (path.parent.name for path in storage.glob("*/study.yaml"))
    return sorted(name for name in found if not name.startswith("."))  # a killed removal leaves such a folder


class StudyFolder:
    """``<storage>/<name>``: all files of one study except its MLflow records.

    Attributes:
        continued_by: the command that continues the study where it runs, in messages; None is ``study resume`` on this
            machine alone.
    """

    def __init__(
        self, storage: StoragePath, name: str, *, ledger: str | None = None, read_ledger: str | None = None
    ) -> None:
        """Take the folder's place and name; nothing is read or written.

        Args:
            storage: the place of all studies.
            name: the study's name.
            ledger: database of a new study's ledger, which holds its locks on object storage; a stored study's file
                names it.
            read_ledger: where this machine reaches the ledger's database, if not under the address of the study file.

        Raises:
            BadInput: the name cannot be a study's, such as a path.
        """
        if not re.fullmatch(STUDY_NAME, name):
            raise BadInput(f"a study's name must be letters, digits, '.', '_' or '-', at most 64, got '{name}'")
        self.storage, self.name = storage, name
        self.path: StoragePath = storage / name
        self.read_ledger = read_ledger
        self._ledger = ledger or read_ledger
        self.continued_by: str | None = None

    @property
    def spec_path(self) -> StoragePath:
        """Path of the checked study file with all its defaults."""
        return self.path / "study.yaml"

    def command(self, verb: str) -> str:
        """Return a command of this study to be copied, such as ``study resume NAME``.

        It names the storage unless the command would look there anyway.
        """
        if verb == "resume" and self.continued_by is not None:
            return self.continued_by
        words = ["study", verb, self.name]
        with suppress(BadInput):  # what is in the environment names no storage
            if storage_place(None) == self.storage.resolve():
                return shlex.join(words)
        return shlex.join([*words, "--storage", str(self.storage)])

    def refuse_taken(self) -> None:
        """Raise `BadInput` if a study of this name is stored, or what is left of one, or the storage cannot be read."""
        try:
            taken = self.spec_path.exists()
            self.refuse_remains()
        except OSError as error:
            raise BadInput(f"cannot read the storage folder {self.storage}: {error.strerror}") from None
        if taken:
            raise BadInput(
                f"study '{self.name}' exists already in {self.storage}: continue it with "
                f"`{self.command('resume')}`, or give this one another name with --set name=..."
            )

    def create(self, spec: StudySpec, data: dict[str, Any]) -> StudySpec:
        """Store a new study, with copies of its plug-ins. The caller holds the driver's lock: one process takes a name.

        Returns:
            The study as it is stored: with the paths of the copies.

        Raises:
            BadInput: the name is taken or the storage cannot be written.
        """
        self.refuse_taken()
        try:
            self.write_data(data)
            self._write_format(FORMAT)
            write_plugin_records(self.path, spec)
            stored = store_plugins(spec, self.path)
            self._write_study_file(stored)
        except OSError as error:
            raise self._not_writable(error) from None
        return stored

    def remove_leftovers(self) -> None:
        """Delete trials below the name of a study that does not exist: a killed removal on object storage leaves some.

        The caller holds the driver's lock.

        Raises:
            BadInput: the storage cannot be written.
        """
        if isinstance(self.path, ObjectPath) and not self.spec_path.exists():
            try:
                remove_below(self.path / "cells")
            except OSError as error:
                raise self._not_writable(error) from None

    def write_spec(self, spec: StudySpec) -> None:
        """Store the changed study file of a resumed study, in the current format.

        Trials of an earlier format stay unchanged, and the study is read in both formats from then on.
        """
        self._write_format(self.oldest_format())
        self._write_study_file(spec)

    def _write_study_file(self, spec: StudySpec) -> None:
        """Store the checked study file; a new study exists once this returns."""
        write_atomically(self.spec_path, sealed_text(write_yaml(spec.model_dump(mode="json"))))

    @property
    def format_path(self) -> StoragePath:
        """Path of the file that names the formats in which the study is stored."""
        return self.path / "format.json"

    def oldest_format(self) -> int:
        """Return the oldest format of any file of the study; 1 without ``format.json``.

        Raises:
            BadInput: the file is damaged or names a version that this program does not know.
        """
        if not self.format_path.exists():
            if is_sealed(self.spec_path):  # only studies of later formats are
                raise BadInput(f"{self.format_path}: is missing; put back a copy of it, or one of another new study")
            return 1
        try:
            stored = unsealed_json(self.format_path)
            version, oldest = stored["version"], stored.get("oldest", stored["version"])
        except BadInput as error:
            raise BadInput(f"{error}; put back a copy of it") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BadInput(f"{self.format_path}: cannot be read ({error}); put back a copy of it") from None
        if type(version) is not int or type(oldest) is not int or not 1 <= oldest <= version:
            raise BadInput(
                f"{self.format_path}: `version` and `oldest` must be whole numbers, 1 <= oldest <= version, "
                f"got {version!r} and {oldest!r}; put back a copy of it"
            )
        if version > FORMAT:
            raise BadInput(
                f"{self.format_path}: the study is stored in format {version}, "
                f"this program knows formats 1 to {FORMAT}; open it with a newer version of the program"
            )
        return oldest

    def _write_format(self, oldest: int) -> None:
        write_atomically(self.format_path, sealed_json({"version": FORMAT, "oldest": oldest}))

    def trial_reader(self) -> Callable[[FrozenTrial], FrozenTrial]:
        """Return the function that converts a trial of the study's ledger to the current format."""
        from study.ledger.cell_ledger import as_stored
        from study.store import old_format

        return old_format.trial if self.oldest_format() == 1 else as_stored

    def read_warm_starts_file(self, stored: dict[str, Any]) -> dict[str, Any]:
        """Convert the content of ``warm-starts.json`` to the current format."""
        from study.store import old_format

        return old_format.warm_starts(stored) if self.oldest_format() == 1 else stored

    def read_mapping(self) -> dict[str, Any]:
        """Return the content of the study file, in the current format.

        Raises:
            BadInput: the file cannot be read, or the study has a format that this program does not know.
        """
        from study.store import old_format

        self.refuse_special_files()
        oldest = self.oldest_format()
        check_text(self.spec_path)
        stored = old_format.study_file(read_yaml(self.spec_path, STORED), oldest)
        return old_format.with_automatic_precision(stored, self.path) if oldest <= 2 else stored

    def refuse_special_files(self) -> None:
        """Refuse a pipe, socket or device in the place of one of the study's own files: a read of it would not end.

        Raises:
            BadInput: there is one.
        """
        if not isinstance(self.path, Path):
            return
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError), os.scandir(self.path) as entries:
            for entry in entries:
                if not (entry.is_file() or entry.is_dir()) and os.path.exists(entry):  # not a link to nothing
                    raise BadInput(f"{entry.path}: cannot be read (not a regular file); put back a copy of it")

    def locks_database(self) -> str | None:
        """Return the URL of the database that holds the study's locks; None for a local folder.

        Raises:
            BadInput: the stored study file on object storage cannot be read.
        """
        if isinstance(self.path, ObjectPath) and self._ledger is None:
            records: Any = read_yaml(self.spec_path, STORED).get("records") if self.spec_path.exists() else None
            self._ledger = records.get("ledger") if isinstance(records, dict) else None
        return self._ledger if isinstance(self.path, ObjectPath) else None

    def read_spec(self, overrides: tuple[str, ...] = (), *, to_train: bool = False) -> StudySpec:
        """Read the stored study file and apply ``path=value`` overrides.

        Args:
            overrides: ``path=value`` pairs.
            to_train: make the stored copies of its plug-ins active; without it none of their code runs.

        Raises:
            BadInput: the study does not exist (the nearest name is given), an override is invalid, or a copy of a
                plug-in has changed.
        """
        if not self.spec_path.exists():
            self.refuse_remains()
            raise self._unknown()
        if to_train:
            check_copies(self.path)
        else:
            describe_plugins(self.path)
        folder = self.path if to_train else None
        return checked_spec(self.read_mapping(), overrides, source=str(self.spec_path), folder=folder)

    def refuse_remains(self) -> None:
        """Raise `BadInput` for a folder that has lost its study file.

        Not on object storage, where a killed removal leaves trials behind.
        """
        if isinstance(self.path, Path) and not self.spec_path.exists():
            left = [name for name in ("ledger.journal", "cells") if (self.path / name).exists()]
            if left:
                raise BadInput(
                    f"{self.spec_path}: is missing, but {' and '.join(left)} of the study are there; put back a copy "
                    f"of it, or move {self.path} away"
                )

    def _unknown(self) -> BadInput:
        names = stored_names(self.storage)
        near = get_close_matches(self.name, names, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else "."
        return BadInput(f"no study '{self.name}' in {self.storage}{hint} Stored: {', '.join(names) or 'none'}")

    @property
    def data_path(self) -> StoragePath:
        """Path of the fingerprints of the study's data."""
        return self.path / "data.json"

    def write_data(self, data: dict[str, Any]) -> None:
        """Store the data fingerprints: cell data key -> fingerprint."""
        write_atomically(self.data_path, sealed_json(data))

    def read_data(self) -> dict[str, Any]:
        """Return the data fingerprints given to `create`: cell data key -> fingerprint.

        Raises:
            BadInput: the file is missing or damaged.
        """
        try:
            return unsealed_json(self.data_path)
        except (OSError, ValueError) as error:
            said = str(error) if isinstance(error, BadInput) else f"{self.data_path}: cannot be read ({error})"
            raise BadInput(
                f"{said}; it holds the digests of the data, and without it changed data would not be noticed. Put back "
                "a copy of it, or remove it: a resume then takes the digests that the study's trials have recorded"
            ) from None

    def _not_writable(self, error: OSError) -> BadInput:
        return BadInput(f"cannot write to the storage folder {self.storage}: {error.strerror}")

    @property
    def _lock_path(self) -> StoragePath:
        return self.path / "driver.lock"

    def lock(self, name: str) -> Lock:
        """Return one of the study's locks, not taken.

        Raises:
            BadInput: the study lies on object storage and has no database for locks.
        """
        database = self.locks_database()
        if isinstance(self.path, ObjectPath):
            check_ledger(self.storage, database)
        return lock_at(self.path / name, database)

    @contextmanager
    def driver_lock(self) -> Iterator[Lock]:
        """Lock the study for this process; the lock is free again when the process dies.

        Raises:
            BadInput: another process drives the study, or the storage cannot be written.
        """
        lock = self.lock(self._lock_path.name)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            free = lock.try_acquire(_DRIVER_PATIENCE)
            holder = None if free else lock.holder()
        except OSError as error:
            raise self._not_writable(error) from None
        if not free:
            who = f": {holder}" if holder else ""
            raise BadInput(f"study '{self.name}' is being run by another process now{who}")
        with lock:
            lock.sign()
            yield lock

    def is_driven(self) -> bool:
        """Return True if a process drives the study now.

        Raises:
            BadInput: the database of its locks cannot be used.
        """
        try:
            return is_locked_at(self._lock_path, self.locks_database())
        except OSError as error:
            raise BadInput(f"study '{self.name}': {error.strerror}") from None
