from __future__ import annotations

from study.spec.flat_mapping import flat


def test_places_of_a_nested_value() -> None:
    assert flat({"a": 1, "b": {"c": [2, {"d": 3}]}}) == {"a": 1, "b.c.0": 2, "b.c.1.d": 3}
