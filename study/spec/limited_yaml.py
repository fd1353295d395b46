"""YAML with limits: what a hostile or broken text holds ends in one short error that names the line."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor

from trainables.core.errors import shown

DEEPEST = 32
"""Levels of mappings and lists, aliases followed."""
LONGEST_TEXT = 4096
"""Characters of one text."""
LARGEST_WHOLE = 2**63
"""Whole numbers are smaller in magnitude: they fit into 64 bits."""


class Limits(NamedTuple):
    """Limits of one text: its size in bytes, and its number of values, where an alias counts as what it names."""

    bytes: int
    values: int


WRITTEN = Limits(2**17, 10_000)
"""Limits of a study file and of an override's value."""
STORED = Limits(2**20, 100_000)
"""Limits of a study file with all its defaults, as the program stores it."""


class NotYaml(ValueError):
    """A text is not YAML, or exceeds a limit; the message names the line."""


# libyaml is ten times as fast; every wheel of PyYAML brings it
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STANDARD = "tag:yaml.org,2002:"
_TAGS = tuple(_STANDARD + name for name in ("str", "int", "float", "bool", "null", "seq", "map"))
_MERGE = f"{_STANDARD}merge"


class _LimitedLoader(Composer, _Base):  # type: ignore[misc]
    """A safe loader of plain values only, with limits.

    It rejects duplicate keys, of which PyYAML would keep the last one, and reads dates as text.
    """

    # PyYAML's, without dates and without `=`, for which its safe loader has no constructor
    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, form) for tag, form in found if tag in (*_TAGS, _MERGE)]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str, limits: Limits) -> None:
        _Base.__init__(self, text)
        Composer.__init__(self)
        self._limits, self._depth = limits, 0
        self._extent: dict[yaml.Node, tuple[int, int]] = {}
        """Node that is complete -> number of its values, and of its levels."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node; refuse it as soon as it is too deep or too large."""
        event: Any = self.peek_event()
        self._depth += 1
        if self._depth > DEEPEST:
            raise _fault(f"mappings and lists may be nested {DEEPEST} deep", event.start_mark)
        node: Any = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(event, yaml.AliasEvent):
            if node not in self._extent:
                raise _fault(f"the alias *{shown(event.anchor)} is inside what it names", event.start_mark)
            return node
        inner = [self._extent[child] for child in _children(node)]
        values = 1 + sum(extent[0] for extent in inner)
        levels = 1 + max((extent[1] for extent in inner), default=0)
        if levels > DEEPEST:
            raise _fault(f"mappings and lists may be nested {DEEPEST} deep, aliases followed", event.start_mark)
        if values > self._limits.values:
            raise _fault(f"more than {self._limits.values:,} values, aliases followed", event.start_mark)
        self._extent[node] = values, levels
        return node

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """Construct a value; refuse a tag that is not a plain value's, and a value that its tag cannot have."""
        if node.tag not in _TAGS:
            allowed = ", ".join(f"!!{tag.removeprefix(_STANDARD)}" for tag in _TAGS)
            raise _fault(f"the tag {_short_tag(node.tag)} is not allowed; allowed: {allowed}", node.start_mark)
        try:
            value = super().construct_object(node, deep)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError):
            given = f"'{shown(node.value)}'" if isinstance(node, yaml.ScalarNode) else f"a {node.id}"
            raise _fault(f"{given} is no {_short_tag(node.tag)}", node.start_mark) from None
        if isinstance(value, int) and abs(value) >= LARGEST_WHOLE:
            raise _fault(f"a whole number must fit into 64 bits, got {shown(node.value)}", node.start_mark)
        if isinstance(value, str) and (wrong := text_fault(value)) is not None:
            raise _fault(wrong, node.start_mark)
        return value


def _mapping(loader: _LimitedLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    if not isinstance(node, yaml.MappingNode):
        raise TypeError(node.id)
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == _MERGE:
            continue  # `<<: *other` is exempt: an explicit key may replace a merged one
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise _fault("a key must be a plain value", key_node.start_mark)
        if key in seen:
            raise _fault(f"duplicate key '{shown(key)}'", key_node.start_mark)
        seen.add(key)
    return SafeConstructor.construct_mapping(loader, node, deep=True)


_LimitedLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def parse_yaml(text: str, limits: Limits = WRITTEN) -> Any:
    r"""Return the value of a YAML text: mappings, lists, texts, numbers, true, false and null.

    No two places of the result are the same object, although an alias may have named one for both.

    Raises:
        NotYaml: the text is not YAML or exceeds a limit; one sentence, which names the line.

    >>> parse_yaml("a: &a [1, 2024-02-31]\nb: *a")
    {'a': [1, '2024-02-31'], 'b': [1, '2024-02-31']}
    >>> parse_yaml("a: !!int '-'")
    Traceback (most recent call last):
    study.spec.limited_yaml.NotYaml: line 1: '-' is no !!int
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise NotYaml(f"line {line}: {text[error.start]!a} is no character of Unicode text") from None
    if size > limits.bytes:
        raise NotYaml(f"it has {size:,} bytes; at most {limits.bytes:,} are read")
    try:
        loader = _LimitedLoader(text, limits)
        try:
            return _unshared(loader.get_single_data())
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        said = ", ".join(part for part in (error.problem, error.context) if part)
        mark = error.problem_mark or error.context_mark
        raise NotYaml(f"line {mark.line + 1}: {shown(said, 300)}" if mark else shown(said, 300)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise NotYaml(f"line {line}: {shown(error.reason)} (character {error.character!r})") from None
    except yaml.YAMLError as error:
        raise NotYaml(shown(" ".join(str(error).split()), 300)) from None


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _unshared(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unshared(inner) for key, inner in value.items()}
    return [_unshared(inner) for inner in value] if isinstance(value, list) else value


def text_fault(text: str) -> str | None:
    """Return what is wrong with a text or a key, or None."""
    if len(text) > LONGEST_TEXT:
        return f"a text may have {LONGEST_TEXT:,} characters, got '{shown(text)}'"
    for character in text:
        code = ord(character)
        # a terminal would obey these, and no file system takes a NUL
        if (code < 32 and character not in "\t\n\r") or 127 <= code < 160 or 0xD800 <= code < 0xE000:
            return f"a text must not hold the control character {character!a}, got '{shown(text)}'"
    return None


def _short_tag(tag: str) -> str:
    return shown(tag.replace(_STANDARD, "!!"))


def _fault(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
