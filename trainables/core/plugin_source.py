"""Source of a plug-in: found as a file, a folder or an importable module, fingerprinted, stored and imported again."""

from __future__ import annotations

import atexit
import hashlib
import importlib
import importlib.util
import linecache
import re
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from trainables.core.errors import BadInput, shown
from trainables.core.files import read_regular
from trainables.core.object_path import ObjectPath
from trainables.core.storage_path import StoragePath, files_below, write_atomically

MOST_FILES = 1_000
MOST_BYTES = 20_000_000
"""Limits of a plug-in: its source is stored with every study, and read by every worker."""

_ENTRIES = ".entry_points"
"""End of the name of the file beside a stored package that says which of its objects are plug-ins."""


@dataclass(frozen=True)
class Entry:
    """An object of a package that its metadata declares.

    Attributes:
        group: kind of the object: a name of `plugin_table.TABLES`.
        name: the name that study files use.
        value: ``module:attribute``.
    """

    group: str
    name: str
    value: str


@dataclass(frozen=True)
class PluginSource:
    """The source of a plug-in.

    Attributes:
        given: path or module as the user wrote it, for messages.
        name: of the file without ``.py``, or of the package; no two plug-ins of a study share it.
        path: the file, or the package's folder.
        files: relative path -> content, of the file alone or of all files of the package.
        entries: objects that the metadata of an installed package declares; where there are none, the objects are those
            at the top level of the module.
    """

    given: str
    name: str
    path: StoragePath
    files: tuple[tuple[str, bytes], ...]
    entries: tuple[Entry, ...] = ()

    @property
    def is_package(self) -> bool:
        """True for a folder of files, False for one file."""
        return not str(self.path).endswith(".py")

    @property
    def digest(self) -> str:
        """A hexadecimal sha256 over the names and contents of all files."""
        said = [(name, hashlib.sha256(content).hexdigest()) for name, content in self.files]
        entries = [(entry.group, entry.name, entry.value) for entry in self.entries]
        return hashlib.sha256(repr((self.name, said, entries)).encode()).hexdigest()

    def line_of(self, name: str) -> str:
        """Return file and line at which a name first stands in quotes, for messages."""
        for file, content in self.files:
            for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
                if file.endswith(".py") and re.search(rf"""["']{re.escape(name)}["']""", line):
                    return f"{self._shown(file)}, line {number}"
        return str(self.path)

    def store(self, folder: StoragePath) -> str:
        """Write a copy into a folder and return the copy's name there."""
        if self.entries:
            lines = "".join(f"{entry.group} {entry.name} {entry.value}\n" for entry in self.entries)
            write_atomically(_made(folder) / f"{self.name}{_ENTRIES}", lines.encode())
        if not self.is_package:
            write_atomically(_made(folder) / f"{self.name}.py", self.files[0][1])
            return f"{self.name}.py"
        for file, content in self.files:
            path = folder / self.name / file
            write_atomically(_made(path.parent) / path.name, content)
        return self.name

    def load(self) -> ModuleType:
        """Import the plug-in's module.

        Raises:
            BadInput: it cannot be imported; names the plug-in, its file and line, and the error.
        """
        with self._explained():
            if self.is_package:
                return self._imported_package()
            known = sys.modules.get(self._module_name)
            return known if known is not None and known.__file__ == str(self.path) else self._imported_file()

    def load_entry(self, entry: Entry) -> object:
        """Import an object that an entry names.

        Raises:
            BadInput: as `load`, or if the module has no such attribute.
        """
        module_name, _, attribute = entry.value.partition(":")
        top = self.load()
        with self._explained():
            found: object = importlib.import_module(module_name) if self.is_package else top
            for part in filter(None, attribute.split(".")):
                found = getattr(found, part)
        return found

    def unload(self) -> None:
        """Forget the imported module, so that a changed source is imported anew."""
        top = self.name if self.is_package else self._module_name
        for name in [name for name in sys.modules if name == top or name.startswith(f"{top}.")]:
            del sys.modules[name]

    @property
    def _module_name(self) -> str:
        return "longtail_plugin_" + re.sub(r"\W", "_", self.name)

    def _imported_file(self) -> ModuleType:
        module = ModuleType(self._module_name)
        module.__file__ = str(self.path)
        sys.modules[self._module_name] = module  # pydantic looks annotations up there
        text = self.files[0][1].decode("utf-8")
        # tracebacks and torch.compile read the source from here: the file may lie on object storage, or change
        linecache.cache[module.__file__] = (len(text), None, text.splitlines(keepends=True), module.__file__)
        try:
            exec(compile(text, module.__file__, "exec"), vars(module))
        except BaseException:
            del sys.modules[self._module_name]
            raise
        return module

    def _imported_package(self) -> ModuleType:
        parent = str(self._local().parent)
        known = sys.modules.get(self.name)
        if known is not None and Path(getattr(known, "__file__", None) or "/").parent.parent != Path(parent):
            self.unload()  # another copy
        writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        sys.path.insert(0, parent)
        try:
            importlib.invalidate_caches()
            return importlib.import_module(self.name)
        finally:
            sys.path.remove(parent)
            sys.dont_write_bytecode = writes

    def _local(self) -> Path:
        """Return the package's folder on this machine; one on object storage is copied for this process."""
        if isinstance(self.path, Path):
            return self.path.absolute()
        parent = Path(tempfile.mkdtemp(prefix="study-plugin-"))
        atexit.register(shutil.rmtree, parent, ignore_errors=True)
        self.store(parent)
        return parent / self.name

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except BadInput as error:
            raise BadInput(f"plug-in {self.given}: {error}") from None
        except Exception as error:
            said = shown(" ".join(str(error).split()), 500)
            raise BadInput(
                f"plug-in {self.given}: {self._place_of(error)}: {type(error).__name__}{': ' if said else ''}{said}"
            ) from error

    def _place_of(self, error: Exception) -> str:
        """Return file and line of the plug-in's code where an error came from."""
        files = {self._shown(name) for name, _ in self.files}
        if isinstance(error, SyntaxError) and error.filename is not None:
            return f"{error.filename}, line {error.lineno}"
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
        return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else str(self.path)

    def _shown(self, file: str) -> str:
        return str(self.path / file) if self.is_package else str(self.path)


def find_source(given: str, folder: StoragePath) -> PluginSource:
    """Find a plug-in.

    Args:
        given: a path with a slash or the ending ``.py``, or else a module of this Python, such as ``mypkg``.
        folder: the folder that paths count from.

    Raises:
        BadInput: there is no such file, folder or module, or it is too large; names what was looked for.
    """
    if "/" not in given and not given.endswith(".py"):
        return _module_source(given)
    path = Path(given).expanduser() if given.startswith(("/", "~")) else folder / given.removeprefix("./")
    name = path.name.removesuffix(".py")
    if given.endswith(".py"):
        return PluginSource(given, name, path, ((path.name, _content(given, path)),), _stored_entries(folder, name))
    files = _files(given, path)
    if "__init__.py" not in dict(files):
        found = "there is no such folder" if not files else "the folder lacks an __init__.py"
        raise BadInput(f"plug-in {given}: {path}: {found}; expected a .py file or a package")
    return PluginSource(given, name, path, files, _stored_entries(path.parent, name))


def installed_source(module: str, entries: tuple[Entry, ...]) -> PluginSource:
    """Return the source of the package or module that holds what its metadata declares.

    Raises:
        BadInput: there is no such module.
    """
    found = _module_source(module.partition(":")[0].partition(".")[0])
    return PluginSource(found.given, found.name, found.path, found.files, entries)


def _module_source(given: str) -> PluginSource:
    try:
        spec = importlib.util.find_spec(given) if given.isidentifier() else None
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise BadInput(
            f"plug-in {shown(given)}: this Python has no module of that name; a file is written with its path, "
            f"such as ./{shown(given)}.py"
        )
    origin = Path(spec.origin)
    if spec.submodule_search_locations is None:
        return PluginSource(given, given, origin, ((origin.name, _content(given, origin)),))
    return PluginSource(given, given, origin.parent, _files(given, origin.parent))


def _content(given: str, path: StoragePath) -> bytes:
    try:
        content = path.read_bytes() if isinstance(path, ObjectPath) else read_regular(path, MOST_BYTES + 1)
    except OSError as error:
        raise BadInput(f"plug-in {given}: {path}: {error.strerror or error}") from None
    if len(content) > MOST_BYTES:
        raise BadInput(f"plug-in {given}: {path}: it has more than {MOST_BYTES:,} bytes")
    return content


def _files(given: str, folder: StoragePath) -> tuple[tuple[str, bytes], ...]:
    names = sorted(
        f"{file.folder}/{file.name}".lstrip("/")
        for file in files_below(folder)
        if not any(
            part.startswith(".") or part == "__pycache__" for part in (*file.folder.split("/"), file.name) if part
        )
    )
    if len(names) > MOST_FILES:
        raise BadInput(f"plug-in {given}: {folder}: it has {len(names):,} files, more than {MOST_FILES:,}")
    files = tuple((name, _content(given, folder / name)) for name in names)
    if sum(len(content) for _, content in files) > MOST_BYTES:
        raise BadInput(f"plug-in {given}: {folder}: its files have more than {MOST_BYTES:,} bytes")
    return files


def _stored_entries(folder: StoragePath, name: str) -> tuple[Entry, ...]:
    path = folder / f"{name}{_ENTRIES}"
    if not path.exists():
        return ()
    lines = (line.split(" ") for line in path.read_bytes().decode().splitlines())
    return tuple(Entry(*parts) for parts in lines if len(parts) == 3)


def _made(folder: StoragePath) -> StoragePath:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
