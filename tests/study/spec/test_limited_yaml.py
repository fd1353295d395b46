from __future__ import annotations

import pytest
import yaml

from study.spec.limited_yaml import DEEPEST, LONGEST_TEXT, Limits, NotYaml, parse_yaml


def _refused(text: str) -> str:
    with pytest.raises(NotYaml) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('!!timestamp "x"', "the tag !!timestamp is not allowed; allowed: !!str, !!int, !!float"),
        ('!!binary "x"', "the tag !!binary is not allowed"),
        ("!!set {x}", "the tag !!set is not allowed"),
        ("!mine 1", "the tag !mine is not allowed"),
        ("!!python/name:os.system", "python/name:os.system is not allowed"),
        ('!!int "-"', "'-' is no !!int"),
        ('!!int ""', "'' is no !!int"),
        ('!!float ""', "'' is no !!float"),
        ("!!float [1]", "expected a scalar node"),
        ("!!map [1]", "a sequence is no !!map"),
        ("!!seq {a: 1}", "expected a sequence node"),
        ('!!bool "x"', "'x' is no !!bool"),
        ("9" * 5000, "is no !!int"),
        (str(2**63), "must fit into 64 bits"),
        ("0x" + "f" * 5000, "must fit into 64 bits"),
        (r'"\ud800"', "invalid Unicode character"),
        (r'"\0"', r"control character '\x00'"),
        (r'"\e[2J"', r"control character '\x1b', got '\x1b[2J'"),
        ("x" * (LONGEST_TEXT + 1), "a text may have 4,096 characters, got 'xxx"),
        ("[" * 5000, "nested 32 deep"),
        ("{a: " * 5000, "nested 32 deep"),
        ("&a [*a]", "the alias *a is inside what it names"),
        ("&a {b: {<<: *a}}", "the alias *a is inside what it names"),
        ("*nowhere", "undefined alias"),
        ("{<<: 5}", "expected a mapping or list of mappings for merging"),
        ("[1, 2", "while parsing a flow sequence"),
    ],
)
def test_one_sentence_names_the_line(value: str, said: str) -> None:
    message = _refused(f"first: 1\nsecond: {value}\n")
    assert said in message and message.startswith(("line 2: ", "line 3: "))


def test_an_alias_bomb_is_refused_at_once() -> None:
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    assert "more than 10,000 values, aliases followed" in _refused("\n".join(["a0: &a0 [x]", *levels]))


def test_a_merge_bomb_is_refused_at_once() -> None:
    levels = [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 15)]
    assert "more than 10,000 values, aliases followed" in _refused("\n".join(["a0: &a0 {x: 1}", *levels]))


def test_aliases_cannot_nest_deeper_than_brackets() -> None:
    levels = [f"a{i}: &a{i} [[*a{i - 1}]]" for i in range(1, 1000)]
    assert f"nested {DEEPEST} deep, aliases followed" in _refused("\n".join(["a0: &a0 [x]", *levels]))


def test_a_list_of_too_many_values_is_refused() -> None:
    assert "more than 10,000 values" in _refused(f"a: [{'1, ' * 10_000}]")
    assert len(parse_yaml(f"[{'1, ' * 50}]", Limits(2**17, 51))) == 50
    with pytest.raises(NotYaml, match="more than 50 values"):
        parse_yaml(f"[{'1, ' * 50}]", Limits(2**17, 50))


def test_a_text_that_utf8_cannot_hold_is_refused() -> None:
    assert _refused("a: 1\nb: \udcff") == r"line 2: '\udcff' is no character of Unicode text"


@pytest.mark.parametrize("text", ["2024-01-01", "2024-02-31", "2024-01-01 10:00:00", "="])
def test_dates_are_text(text: str) -> None:
    assert parse_yaml(text) == text
    assert parse_yaml(yaml.safe_dump(text)) == text


def test_plain_values_are_read_as_pyyaml_reads_them() -> None:
    text = (
        "a: [1, -2, 0x1f, 1_000, 1.5, .inf, 1.0e-3, true, off, ~, null, 'x', \"\\u00e9\", café]\nb: {<<: {c: 1}, d: 2}"
    )
    assert parse_yaml(text) == yaml.safe_load(text)
    assert parse_yaml("!!str 1") == "1" and parse_yaml("!!float 1") == 1.0 and parse_yaml("") is None
