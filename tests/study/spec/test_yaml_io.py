from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.spec.yaml_io import read_yaml, with_overrides, write_yaml
from trainables.core.errors import BadInput


def _refused(path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def _file(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "study.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_reads_a_mapping(tmp_path: Path) -> None:
    assert read_yaml(_file(tmp_path, "a: 1\nb: {c: [1, 2.5, true]}\n")) == {"a": 1, "b": {"c": [1, 2.5, True]}}


def test_aliases_and_merges_work(tmp_path: Path) -> None:
    text = "base: &base {kind: step, factor: 0.1}\nown: {<<: *base, factor: 0.2}\n"
    assert read_yaml(_file(tmp_path, text))["own"] == {"kind": "step", "factor": 0.2}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: duplicate key 'a'"),
        ("search:\n  trials: 1\n  trials: 2\n", "line 3: duplicate key 'trials'"),
        ("methods: [{name: erm, name: cce}]", "line 1: duplicate key 'name'"),
        ("a: [1, 2\n", "not valid YAML"),
        ("a: 1\n\tb: 2\n", "not valid YAML"),
        ("- erm\n- cce\n", "must hold a mapping of keys to values, got list"),
        ("", "must hold a mapping of keys to values, got NoneType"),
        ("hello", "must hold a mapping of keys to values, got str"),
        ("? [a, b]\n: 1\n", "line 1: a key must be a plain value"),
        (b"a: 1\nname: \xff\xfe", "cannot be read: line 2 is not text in UTF-8"),
        ("a: " + "x" * 2**17, "at most 131,072 bytes are read"),
        ("a: " + "[" * 5000, "not valid YAML"),
        ("a: !!python/object/apply:os.system ['touch /tmp/never']", "not valid YAML"),
        ("a: !!python/name:os.system", "not valid YAML"),
    ],
)
def test_refuses_what_is_no_study_file(text: str | bytes, said: str, tmp_path: Path) -> None:
    assert said in _refused(_file(tmp_path, text))


def test_a_message_is_one_line(tmp_path: Path) -> None:
    assert "\n" not in _refused(_file(tmp_path, "a: [1, 2\nb: 3\n"))


def test_names_a_missing_file(tmp_path: Path) -> None:
    assert _refused(tmp_path / "no.yaml").endswith("no such file")


def test_names_a_folder(tmp_path: Path) -> None:
    assert "cannot be read" in _refused(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_that_nobody_writes_is_empty(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "must hold a mapping" in _refused(tmp_path / "pipe")


def test_a_pipe_is_read(tmp_path: Path) -> None:  # as in `study run <(envsubst < study.yaml)`
    reading, writing = os.pipe()
    with open(reading, "rb"):
        os.write(writing, b"a: 1")
        os.close(writing)
        assert read_yaml(Path(f"/dev/fd/{reading}")) == {"a": 1}


def test_a_device_without_end_is_refused() -> None:
    assert "at most 131,072 bytes are read" in _refused(Path("/dev/zero"))


def test_a_name_that_no_file_can_have() -> None:
    with pytest.raises(BadInput, match=r"^a\\x00b: cannot be a file's name"):
        read_yaml(Path("a\0b"))


def test_overrides_parse_their_values_as_yaml() -> None:
    changed = with_overrides({}, ("a=1", "b=[1, 2]", "c={d: true}", "e=text", "f=", "g=x=y"))
    assert changed == {"a": 1, "b": [1, 2], "c": {"d": True}, "e": "text", "f": None, "g": "x=y"}


def test_overrides_reach_into_mappings_and_lists() -> None:
    mapping = {"data": [{"dataset": "a"}, {"dataset": "b"}], "model": "mlp"}
    changed = with_overrides(mapping, ("data.1.dataset=c", "model.name=resnet20", "new.deep.key=1"))
    assert changed == {
        "data": [{"dataset": "a"}, {"dataset": "c"}],
        "model": {"name": "resnet20"},
        "new": {"deep": {"key": 1}},
    }
    assert mapping == {"data": [{"dataset": "a"}, {"dataset": "b"}], "model": "mlp"}


def test_the_last_override_wins() -> None:
    assert with_overrides({}, ("a=1", "a=2")) == {"a": 2}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("a", "must be path=value"),
        ("=1", "must be path=value"),
        ("list.2=1", "must be an index from 0 to 1"),
        ("list.-1=1", "must be an index from 0 to 1"),
        ("list.x=1", "must be an index from 0 to 1"),
        ("list.0.x=1", "'x' is not a key: the value above it is neither a mapping nor a list"),
        ("a=[", "the value is not valid YAML"),
        ("a={b: 1, b: 2}", "the value is not valid YAML"),
        ("a=!!python/name:os.system", "the value is not valid YAML"),
        ("a=!!int '-'", "the value is not valid YAML: line 1: '-' is no !!int"),
        ("list.9999999=1", "must be an index from 0 to 1"),
        (".".join("a" * 33) + "=1", "the path may have 32 steps, got 33"),
    ],
)
def test_overrides_that_cannot_be(override: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        with_overrides({"list": [1, 2]}, (override,))
    assert str(caught.value).startswith(f"--set {override}: ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("a=" + "9" * 5000, "9... (5,000 characters)' is no !!int"),
        ("a=\udcff", r"'\udcff' is no character of Unicode text"),
        ("\udcff=1", r"must not hold the control character '\udcff'"),
        ("a.b\0=1", r"must not hold the control character '\x00'"),
        (".".join("a" * 2000) + "=1", "the path may have 32 steps, got 2000"),
        ("list." + "9" * 4000 + "=1", "must be an index from 0 to 1"),
        ("name=" + "x" * 10**6, "at most 131,072 are read"),
    ],
)
def test_overrides_that_are_huge_or_no_text_give_a_short_error(override: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        with_overrides({"list": [1, 2]}, (override,))
    assert said in str(caught.value) and len(str(caught.value)) < 500
    assert str(caught.value).encode()


def test_an_override_changes_one_of_two_aliases(tmp_path: Path) -> None:
    read = read_yaml(_file(tmp_path, "a: &a {x: 1}\nb: *a"))
    assert with_overrides(read, ("a.x=2",)) == {"a": {"x": 2}, "b": {"x": 1}}


# PyYAML folds line breaks that exist only in Unicode
_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp")) | st.just("\n"), min_size=1)
_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(1 - 2**63, 2**63 - 1) | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(_TEXT, _PLAIN, max_size=5))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, mapping: dict[str, object]) -> None:
    path = tmp_path_factory.mktemp("yaml") / "written.yaml"
    path.write_bytes(write_yaml(mapping).encode("utf-8"))
    assert read_yaml(path) == mapping


def test_keys_keep_their_order() -> None:
    assert write_yaml({"name": 1, "data": 2, "a": 3}) == "name: 1\ndata: 2\na: 3\n"
