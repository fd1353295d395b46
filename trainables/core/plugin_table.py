"""Tables of named things that plug-ins may add to: the project's own, then those of plug-ins, then installed ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, Generic, TypeVar

from trainables.core.errors import BadInput
from trainables.core.plugin_source import Entry, PluginSource, find_source, installed_source
from trainables.core.storage_path import storage_path

T = TypeVar("T")

TABLES: dict[str, Table[Any]] = {}
"""Group -> its table, once the file that makes the table is imported."""

_PREFIX = "longtail_study."


class Table(Mapping[str, T], Generic[T]):
    """Name -> thing of one kind.

    Things come from three places: this project, the plug-ins that are active in this process, and the entry points of
    installed packages, which are imported when one of their names is looked up or all are listed. No two things share a
    name.

    Some tables hold things of plug-ins alone: what this project has of that kind is built elsewhere, and its names are
    reserved.
    """

    def __init__(self, group: str, kind: type[T], inside: Mapping[str, T], *, reserved: Collection[str] = ()) -> None:
        """Make a table, and a group of plug-ins.

        Args:
            group: its name in `TABLES`; entry points have the group ``longtail_study.<group>``.
            kind: class of the things, which carry their ``name``; plug-ins hold them at the top level of their module.
            inside: those of this project.
            reserved: names of this project that are not in the table and that no plug-in may take.
        """
        self.group, self.kind = group, kind
        self._inside, self._reserved = inside, reserved
        self._described: dict[str, T] = {}
        TABLES[group] = self

    def found_in(self, module: ModuleType) -> dict[str, T]:
        """Return the things at the top level of a plug-in's module; those of this project are left out.

        Raises:
            BadInput: two have one name.
        """
        found: dict[str, T] = {}
        for thing in vars(module).values():
            if isinstance(thing, self.kind) and not any(thing is own for own in self._inside.values()):
                name = str(getattr(thing, "name"))  # noqa: B009
                if found.setdefault(name, thing) is not thing:
                    raise BadInput(f"two {self.group} are called '{name}'")
        return found

    def check(self, name: str, thing: object) -> T:
        """Return a thing that an entry point names.

        Raises:
            BadInput: it is of another kind, or has another name.
        """
        if not isinstance(thing, self.kind):
            raise BadInput(f"'{name}' must be a {self.kind.__name__}, got {type(thing).__name__}")
        own = getattr(thing, "name", name)
        if own != name:
            raise BadInput(f"the entry point '{name}' names a thing called '{own}'; both names must be equal")
        return thing

    def describe(self, things: Mapping[str, T]) -> None:
        """Take stand-ins for things whose plug-ins are not loaded, to read a stored study; they are not listed."""
        self._described.update(things)

    def forget_descriptions(self) -> None:
        """Forget all stand-ins."""
        self._described.clear()

    def is_inside(self, name: str) -> bool:
        """Return True for a name of this project, in the table or reserved."""
        return name in self._inside or name in self._reserved

    def knows(self, name: str) -> bool:
        """Return True for a name that may be asked for: of this project, of a plug-in or of a stand-in for one."""
        return self.is_inside(name) or name in self

    def known_names(self) -> list[str]:
        """Return the names to offer: the reserved ones, then those of the table."""
        return [*self._reserved, *self]

    def source_of(self, name: str) -> PluginSource | None:
        """Return the plug-in that a thing comes from; None for one of this project, and for unknown names."""
        if self.is_inside(name):
            return None
        for loaded in _loaded_with(self.group, name):
            if name in loaded.things(self):
                return loaded.source
        return None

    def code_of(self, name: str) -> str | None:
        """Return the digest of a plug-in's source, by the name of its thing; None for one of this project."""
        source = self.source_of(name)
        return None if source is None else source.digest

    def __getitem__(self, name: str) -> T:
        """Return a thing.

        Raises:
            KeyError: there is none of that name.
            BadInput: it stands in an installed package that cannot be imported.
        """
        if name in self._inside:
            return self._inside[name]
        for loaded in _loaded_with(self.group, name):
            things: dict[str, T] = loaded.things(self)
            if name in things:
                return things[name]
        return self._described[name]

    def __contains__(self, name: object) -> bool:
        return name in self._inside or name in self._names() or name in self._described

    def __iter__(self) -> Iterator[str]:
        yield from self._inside
        yield from (name for name in self._names() if not self.is_inside(name))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _names(self) -> dict[str, None]:
        """Return the names of plug-ins' things; installed packages are not imported for them."""
        names = [name for loaded in _active for name in loaded.things(self)]
        return dict.fromkeys([*names, *(entry.name for entry in _entries() if entry.group == self.group)])


class _Loaded:
    """A plug-in that is imported when its things are asked for."""

    def __init__(self, source: PluginSource) -> None:
        self.source = source
        self._things: dict[str, dict[str, Any]] = {}

    def things(self, table: Table[T]) -> dict[str, T]:
        """Return what the plug-in has for a table."""
        if table.group not in self._things:
            self._things[table.group] = self._found(table)
        return self._things[table.group]

    def _found(self, table: Table[T]) -> dict[str, T]:
        source = self.source
        try:
            if source.entries:
                own = [entry for entry in source.entries if entry.group == table.group]
                return {entry.name: table.check(entry.name, source.load_entry(entry)) for entry in own}
            return table.found_in(source.load())
        except BadInput as error:
            said = str(error)
            raise BadInput(
                said if said.startswith("plug-in ") else f"plug-in {source.given}: {source.path}: {said}"
            ) from None


_active: list[_Loaded] = []
"""The plug-ins of the study that this process runs, or of a command's ``--plugin``."""


def activate(sources: Sequence[PluginSource], *, every_table: bool = True) -> None:
    """Make plug-ins, and no others, active in this process. Those that are active already stay as they are.

    Args:
        sources: the plug-ins.
        every_table: the files of all tables are imported, so that a plug-in must have something for one of them.

    Raises:
        BadInput: a plug-in cannot be imported, has nothing for any table, or shares a name with something else; names
            plug-in, file and line.
    """
    before = {loaded.source.digest: loaded for loaded in _active}
    wanted = {source.digest for source in sources}
    for digest, loaded in before.items():
        if digest not in wanted:
            loaded.source.unload()
    for table in TABLES.values():
        table.forget_descriptions()
    _active[:] = []
    names: dict[str, PluginSource] = {}
    for source in sources:
        other = names.setdefault(source.name, source)
        if other is not source:
            raise BadInput(f"plug-ins {other.given} and {source.given}: both are called '{source.name}'; rename one")
    added = [before.get(source.digest) or _Loaded(source) for source in sources]
    try:
        for loaded in added:
            _check(loaded, added, every_table=every_table)
    except BadInput:
        for loaded in added:
            loaded.source.unload()  # the next try reads the files anew
        raise
    _active[:] = added


def activate_copies(digests: Mapping[str, str]) -> None:
    """Make the stored copies of plug-ins active in a process that trains.

    Args:
        digests: path of every copy in the storage -> digest of its source.

    Raises:
        BadInput: a copy is missing, cannot be imported, or has another digest.
    """
    if sorted(digests.values()) == sorted(loaded.source.digest for loaded in _active):
        return
    sources = []
    for path, digest in digests.items():
        place = storage_path(path)
        source = find_source(f"./{place.name}", place.parent)
        if source.digest != digest:
            raise BadInput(f"{path}: this copy of a plug-in is not the one that the study began with")
        sources.append(source)
    activate(sources, every_table=False)


def code_of(group: str, name: str) -> str | None:
    """Return the digest of the source of the plug-in that has a thing; None for one of this project."""
    return TABLES[group].code_of(name) if group in TABLES else None


def active_sources() -> list[PluginSource]:
    """Return the active plug-ins."""
    return [loaded.source for loaded in _active]


def _check(loaded: _Loaded, every: Sequence[_Loaded], *, every_table: bool) -> None:
    source = loaded.source
    source.load()  # first, since it may import the file of another table
    found = {table.group: loaded.things(table) for table in TABLES.values()}
    if every_table and not any(found.values()):
        kinds = ", ".join(table.kind.__name__ for table in TABLES.values() if table.kind is not dict)
        raise BadInput(
            f"plug-in {source.given}: {source.path}: it has nothing at its top level that a study can use; "
            f"expected an object of one of {kinds}, or a table SPACES"
        )
    for table in TABLES.values():
        for name in found[table.group] if table.kind is not dict else ():  # a space has its method's name
            where = f"plug-in {source.given}: {source.line_of(name)}: {table.group}: '{name}'"
            if table.is_inside(name):
                raise BadInput(f"{where} is a name of this project; take another")
            for other in every[: list(every).index(loaded)]:
                if name in other.things(table) and other.things(table)[name] is not loaded.things(table)[name]:
                    raise BadInput(f"{where} is also in plug-in {other.source.given} ({other.source.line_of(name)})")


def _loaded_with(group: str, name: str) -> list[_Loaded]:
    """Return the active plug-ins, then the installed package that declares a name."""
    declared = [entry for entry in _entries() if (entry.group, entry.name) == (group, name)] if name else []
    tops = {loaded.source.name for loaded in _active}
    packages = [top for entry in declared if (top := _top(entry)) not in tops]
    return [*_active, *map(_installed, packages)]


@cache
def _entries() -> tuple[Entry, ...]:
    """Return the entry points of all installed packages, without importing them."""
    found = entry_points()
    groups = [group for group in found.groups if group.startswith(_PREFIX)]
    return tuple(
        Entry(group.removeprefix(_PREFIX), point.name, point.value)
        for group in sorted(groups)
        for point in found.select(group=group)
    )


def _top(entry: Entry) -> str:
    return entry.value.partition(":")[0].partition(".")[0]


@cache
def _installed(package: str) -> _Loaded:
    own = tuple(entry for entry in _entries() if _top(entry) == package)
    return _Loaded(installed_source(package, own))
