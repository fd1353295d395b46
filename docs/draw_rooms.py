"""Draw the rooms into docs/architecture.md and list the files in README.md: python docs/draw_rooms.py [ROOT] [--write].

A room is a folder or file directly inside a layered package, or a package without layers. The import-linter contracts
in pyproject.toml give the order of the rooms. Imports inside functions and under TYPE_CHECKING count like all others.
"""

from __future__ import annotations

import argparse
import ast
import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = Path("docs", "architecture.md")
PACKAGES = ("study", "search_spaces", "trainables")
README = Path("README.md")
_BLOCK = re.compile(r"(<!-- rooms -->\n).*?(<!-- /rooms -->)", flags=re.S)
_LIST = re.compile(r"(<!-- files -->\n).*?(<!-- /files -->)", flags=re.S)

Arrow = tuple[str, str]


def layers_of(pyproject: Path) -> list[str]:
    """Return the rooms from top to bottom, as dotted names, or nothing where no layers are declared.

    Raises:
        KeyError: a layers contract lacks its layers.
    """
    tools = tomllib.loads(pyproject.read_text(encoding="utf-8"))["tool"]
    contracts = [each for each in tools.get("importlinter", {}).get("contracts", []) if each["type"] == "layers"]
    inside = {package: each["layers"] for each in contracts for package in each.get("containers", [])}
    packages = [package for each in contracts if "containers" not in each for package in each["layers"]]
    return [name for package in packages for name in _rooms_inside(package, inside.get(package, []))]


def _rooms_inside(package: str, layers: list[str]) -> list[str]:
    return [f"{package}.{layer}" for layer in layers] or [package]


@dataclass(frozen=True)
class Graph:
    """The imports between the files of a tree.

    Args:
        imports: the modules that each module imports; an ``__init__`` carries the name of its package.
        layers: the rooms from top to bottom; empty where the tree declares none.
    """

    imports: Mapping[str, frozenset[str]]
    layers: tuple[str, ...]

    @cached_property
    def reachable(self) -> dict[str, set[str]]:
        """The modules that each module imports, directly or through others."""
        return {module: _reachable(module, self.imports) for module in self.imports}

    @cached_property
    def circles(self) -> list[tuple[str, ...]]:
        """The groups of modules that import one another, directly or through others."""
        return sorted({self._circle(module) for module in self.imports if module in self.reachable[module]})

    def _circle(self, module: str) -> tuple[str, ...]:
        return tuple(sorted(each for each in self.reachable[module] if module in self.reachable[each]))

    def chain(self, package: str = "") -> list[str]:
        """Return a longest chain of imports inside a package, top first; a circle counts as one link."""
        chosen = {module for module in self.imports if _is_in(module, package)}
        longest: dict[str, list[str]] = {}
        # a module reaches more modules than any that it imports, except for those in its own circle
        for module in sorted(chosen, key=lambda each: (len(self.reachable[each]), each)):
            below = [longest[each] for each in sorted(self.imports[module] & chosen) if self._is_below(module, each)]
            longest[module] = [module, *max(below, key=len, default=[])]
            for other in self._circle(module):  # all files of a circle stand on the same level
                if other in longest and len(longest[other]) < len(longest[module]):
                    longest[other] = [other, *longest[module][1:]]
        return max(longest.values(), key=len, default=[])

    def _is_below(self, module: str, imported: str) -> bool:
        return module not in self.reachable[imported]

    def room(self, module: str) -> str:
        """Return the room of a module: its package, or the part of the package directly below the top."""
        if module.split(".")[0] in self.layers:
            return module.split(".")[0]
        return ".".join(module.split(".")[:2])

    @cached_property
    def rooms(self) -> list[str]:
        """The rooms, in the order of the layers where there is one."""
        found = {self.room(module) for module in self.imports} - set(PACKAGES).difference(self.layers)
        return [room for room in self.layers if room in found] or sorted(found)

    @cached_property
    def arrows(self) -> list[Arrow]:
        """The pairs of importing and imported room, in the order of the rooms.

        What a package's own ``__init__`` hands on to users, such as the Python interface, is no arrow.
        """
        packages = set(PACKAGES).difference(self.layers) if self.layers else set()
        rooms = {module: self.room(module) for module in self.imports if module not in packages}
        pairs = {(room, rooms[other]) for module, room in rooms.items() for other in self.imports[module] - packages}
        places = {room: place for place, room in enumerate(self.rooms)}
        between = {pair for pair in pairs if pair[0] != pair[1]}
        return sorted(between, key=lambda pair: [(places.get(room, -1), room) for room in pair])

    @cached_property
    def upward(self) -> list[Arrow]:
        """The arrows that do not point from a layer to a lower one.

        Raises:
            ValueError: a room that imports or is imported is in no layer.
        """
        places = {room: place for place, room in enumerate(self.layers)}
        missing = {room for arrow in self.arrows for room in arrow} - set(places)
        if missing:
            raise ValueError(f"in no layer of pyproject.toml: {', '.join(sorted(missing))}")
        return [(upper, lower) for upper, lower in self.arrows if places[upper] >= places[lower]]


def read_graph(root: Path) -> Graph:
    """Read every import between the three packages of a tree."""
    files = {_name(path.relative_to(root)): path for package in PACKAGES for path in (root / package).rglob("*.py")}
    imports = {name: frozenset(_resolved(path, files)) - {name} for name, path in files.items()}
    return Graph(imports, tuple(layers_of(root / "pyproject.toml")))


def _name(path: Path) -> str:
    """Return a file's dotted name.

    >>> _name(Path("study/spec/cell.py")), _name(Path("study/__init__.py"))
    ('study.spec.cell', 'study')
    """
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _resolved(path: Path, modules: Collection[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif (
            isinstance(node, ast.ImportFrom) and node.module is not None and node.module in modules
        ):  # ruff bans relative imports
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                yield inside if inside in modules else node.module


def _reachable(start: str, imports: Mapping[str, Iterable[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(imports[start])
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += imports[module]
    return found


def _is_in(module: str, package: str) -> bool:
    return not package or module == package or module.startswith(f"{package}.")


def counts(graph: Graph) -> str:
    """Return a Markdown table of files, rooms, arrows, circles and levels, a row per package and one for all."""
    rows = ["| package | files | rooms | arrows | arrows upward | circles | levels |", "|---|---|---|---|---|---|---|"]
    for package in (*PACKAGES, ""):
        files = sum(_is_in(module, package) for module in graph.imports)
        rooms = sum(_is_in(room, package) for room in graph.rooms)
        arrows = _inside(graph.arrows, package)
        upward = len(_inside(graph.upward, package)) if graph.layers else "no layers"
        circles = sum(_is_in(circle[0], package) for circle in graph.circles)
        name = f"`{package}`" if package else "all"
        rows.append(
            f"| {name} | {files} | {rooms} | {len(arrows)} | {upward} | {circles} | {len(graph.chain(package))} |"
        )
    return "\n".join(rows)


def _inside(arrows: Iterable[Arrow], package: str) -> list[Arrow]:
    return [arrow for arrow in arrows if all(_is_in(room, package) for room in arrow)]


def drawn_arrows(arrows: Iterable[Arrow]) -> list[Arrow]:
    """Return the arrows without those that follow from others.

    >>> drawn_arrows([("a", "b"), ("b", "c"), ("a", "c")])
    [('a', 'b'), ('b', 'c')]
    """
    pairs = list(arrows)
    direct: dict[str, set[str]] = {room: set() for pair in pairs for room in pair}
    for upper, lower in pairs:
        direct[upper].add(lower)
    return [
        (upper, lower)
        for upper, lower in pairs
        if not any(lower in _reachable(other, direct) for other in direct[upper] - {lower})
    ]


def drawing(graph: Graph) -> str:
    """Return a Mermaid flowchart of the rooms, a frame per package."""
    lines = ["flowchart TD"]
    for package in PACKAGES:
        rooms = [room for room in graph.rooms if _is_in(room, package)]
        if rooms == [package]:
            lines.append(f"    {package}")
        else:
            lines += [f"    subgraph {package}", *(f"        {_node(room)}" for room in rooms), "    end"]
    lines += [f"    {upper} --> {lower}" for upper, lower in drawn_arrows(graph.arrows)]
    return "\n".join(lines)


def _node(room: str) -> str:
    return f"{room}[{room.partition('.')[2]}]"


def table(graph: Graph) -> str:
    """Return a Markdown table of all arrows, a row per room."""
    rows = ["| room | files | imports |", "|---|---|---|"]
    for room in graph.rooms:
        files = sum(graph.room(module) == room for module in graph.imports)
        below = [f"`{lower}`" for upper, lower in graph.arrows if upper == room]
        rows.append(f"| `{room}` | {files} | {', '.join(below) or 'nothing'} |")
    return "\n".join(rows)


def block(graph: Graph) -> str:
    """Return what stands between the two markers of the page."""
    return "\n\n".join(
        [
            f"```mermaid\n{drawing(graph)}\n```",
            "An arrow points from the room that imports to the room that it imports. The drawing leaves out arrows\n"
            "that follow from others; the table has them all.",
            table(graph),
            "A circle is a group of files that import one another. Levels count the files on the longest chain.",
            counts(graph),
        ]
    )


def renewed(text: str, graph: Graph) -> str:
    """Return a page with the block between its two markers made from the imports."""
    return _BLOCK.sub(lambda found: f"{found[1]}{block(graph)}\n{found[2]}", text)


def file_list(root: Path) -> str:
    """Return a Markdown list of all files of the packages, by folder, each with the first line of its docstring.

    Raises:
        ValueError: a file without a docstring.
    """
    lines = []
    for package in PACKAGES:
        for folder in sorted({path.parent for path in (root / package).rglob("*.py")}):
            files = sorted(path for path in folder.glob("*.py") if path.stem != "__init__")
            if files:
                lines += ["", f"`{folder.relative_to(root).as_posix()}/`", ""]
                lines += [f"- `{path.name}`: {_first_line(path)}" for path in files]
    return "\n".join(lines)


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not docstring:
        raise ValueError(f"{path}: has no docstring")
    return docstring.splitlines()[0].replace("<", "&lt;")


def listed(text: str, root: Path) -> str:
    """Return the README with the list of files between its two markers made from their docstrings."""
    return _LIST.sub(lambda found: f"{found[1]}{file_list(root)}\n\n{found[2]}", text)


def main() -> None:
    """Print the counts of a tree; with ``--write``, renew its page too."""
    parser = argparse.ArgumentParser(description="Count and draw the imports between rooms.")
    parser.add_argument("root", nargs="?", type=Path, default=ROOT, help="the tree to read (default: this one)")
    parser.add_argument("--write", action="store_true", help=f"renew the blocks in {PAGE} and {README}")
    options = parser.parse_args()
    graph = read_graph(options.root)
    print(counts(graph))
    for circle in graph.circles:
        print("circle:", ", ".join(circle))
    for upper, lower in graph.upward if graph.layers else []:
        print(f"upward: {upper} imports {lower}")
    print("longest chain:", " > ".join(graph.chain()))
    if options.write:
        page = options.root / PAGE
        page.write_text(renewed(page.read_text(encoding="utf-8"), graph), encoding="utf-8")
        readme = options.root / README
        readme.write_text(listed(readme.read_text(encoding="utf-8"), options.root), encoding="utf-8")


if __name__ == "__main__":
    main()
