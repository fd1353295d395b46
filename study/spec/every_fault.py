"""All faults of a study file's schema, also those that pydantic reports only once others are gone."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from study.spec.study_spec import StudySpec
from trainables.core.errors import UnknownKeys

Place = tuple[int | str, ...]

_ROUNDS = 50
"""More rounds than a file has levels of faults that hide one another."""
_ENOUGH = 100
"""Faults after which no more rounds are worth their time."""

_SOUND: dict[str, Any] = {
    "name": "faulty",
    "data": [{"dataset": "digits", "profiles": [{"kind": "natural"}]}],
    "methods": ["erm"],
}
"""Sound values of the keys that a study cannot lack."""


class Examined(NamedTuple):
    """What an examination found.

    Attributes:
        spec: the study, with defaults or `_SOUND` values where the file is at fault; None if even that is no study.
        faults: pydantic's errors, in the order of the rounds.
        replaced: places whose values were replaced; what is said of them means nothing.
    """

    spec: StudySpec | None
    faults: list[ErrorDetails]
    replaced: set[Place]

    def is_sound(self, *place: int | str) -> bool:
        """Return True if nothing in or around a place was replaced."""
        return not any(_within(place, other) or _within(other, place) for other in self.replaced)


def examine(mapping: dict[str, Any]) -> Examined:
    """Validate a study file round by round, each without the faulty parts of the rounds before.

    A fault that a replaced part may have caused is left out: a rule between two keys says nothing if one is faulty.
    """
    current, replaced = copy.deepcopy(mapping), set[Place]()
    faults: list[ErrorDetails] = []
    for _ in range(_ROUNDS):
        if len(faults) > _ENOUGH:
            break
        try:
            return Examined(StudySpec.model_validate(current), faults, replaced)
        except ValidationError as error:
            found = error.errors()
        faults += [fault for fault in found if not any(_within(place, fault["loc"]) for place in replaced)]
        before = copy.deepcopy(current)
        for fault in found:
            _repair(current, fault, replaced)
        if current == before:
            break
    return Examined(None, faults, replaced)


def unknown_keys(fault: ErrorDetails) -> dict[str, str]:
    """Return the unknown keys that a fault is about, each with its message; empty for other faults."""
    error = fault.get("ctx", {}).get("error")
    return error.keys if isinstance(error, UnknownKeys) else {}


def _within(place: Place, around: Place) -> bool:
    return place[: len(around)] == around


def _repair(mapping: dict[str, Any], fault: ErrorDetails, replaced: set[Place]) -> None:
    """Remove what is faulty, so that a default takes its place."""
    place = _held(mapping, fault["loc"])
    if keys := unknown_keys(fault):
        holder = _at(mapping, place)
        if isinstance(holder, dict):
            for key in [key for key in holder if str(key) in keys]:
                del holder[key]  # an unknown key has no part in any other rule: nothing counts as replaced
            return
    if not place:
        missing = str(fault["loc"][0]) if fault["loc"] else ""
        if missing in _SOUND:
            mapping[missing] = copy.deepcopy(_SOUND[missing])
            replaced.add((missing,))
        elif mapping.pop("confirm", None) is not None:  # every rule between top keys has to do with it
            replaced.add(("confirm",))
        return
    # an item of a list is replaced and not removed, so that the others keep their numbers
    listed = len(place) > 1 and place[0] in ("data", "methods")
    top = str(place[0])
    if listed:
        place = place[:2]
        sound = copy.deepcopy(_SOUND[top][0])
        sound = {"name": sound} if isinstance(sound, str) else sound
        mapping[top][place[1]] = {**sound, "label": f"faulty-{place[1]}"}
    elif len(place) == 1 and top in _SOUND:
        mapping[top] = copy.deepcopy(_SOUND[top])
    else:
        while len(place) > 1 and isinstance(place[-1], int):
            place = place[:-1]  # a faulty item of another list takes the list with it
        del _at(mapping, place[:-1])[place[-1]]
    replaced.add(place)


def _held(mapping: dict[str, Any], location: Place) -> Place:
    """Return the longest beginning of a location that the file has; pydantic adds steps of its own."""
    value: Any = mapping
    for depth, step in enumerate(location):
        listed = isinstance(value, list) and isinstance(step, int) and step < len(value)
        if not listed and not (isinstance(value, dict) and step in value):
            return location[:depth]
        value = value[step]
    return location


def _at(mapping: dict[str, Any], place: Place) -> Any:
    value: Any = mapping
    for step in place:
        value = value[step]
    return value
