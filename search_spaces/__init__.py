"""Search spaces: for every method of `trainables.methods.registry.METHODS`, the params that Optuna may vary."""

import importlib
import pkgutil
from types import ModuleType

from search_spaces.dimension import Choices, Dimension, Range, Space, Spaces
from search_spaces.encoding import distributions_of
from trainables.core.errors import BadInput
from trainables.core.plugin_table import TABLES, Table


def _spaces_inside() -> Spaces:
    """Return the spaces of all files of this package that have a table `SPACES`.

    Raises:
        ValueError: two files have a space for one method.
    """
    found: Spaces = {}
    for stem in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        spaces: Spaces = getattr(importlib.import_module(f"{__name__}.{stem}"), "SPACES", {})
        if twice := found.keys() & spaces.keys():
            raise ValueError(f"search_spaces/{stem}.py: another file has a space for {', '.join(sorted(twice))}, too")
        found |= spaces
    return found


class _SpaceTable(Table[Space]):
    """The table of spaces: a plug-in holds its own in a table `SPACES`, too; a method without one searches nothing."""

    def found_in(self, module: ModuleType) -> Spaces:
        spaces: Spaces = getattr(module, "SPACES", {})
        methods = TABLES["methods"].found_in(module)
        for name, space in spaces.items():
            if name not in methods:
                raise BadInput(f"SPACES has '{name}', and no method of the file has that name: {list(methods)}")
            self.check(name, space)
        return {name: {} for name in methods} | spaces

    def check(self, name: str, thing: object) -> Space:
        if not isinstance(thing, dict) or not all(isinstance(each, Range | Choices) for each in thing.values()):
            raise BadInput(f"the space of '{name}' must hold a Range or Choices for every param, got {thing!r}")
        return thing


SPACES: Table[Space] = _SpaceTable("spaces", dict, _spaces_inside())
"""Method -> its space: the `SPACES` of every file of this package, then those of plug-ins."""

__all__ = ["SPACES", "Choices", "Dimension", "Range", "Space", "Spaces", "distributions_of"]
