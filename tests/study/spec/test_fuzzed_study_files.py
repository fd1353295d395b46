"""Mutated study files and overrides: each is a valid study, or one `BadInput`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from study.spec.cell import expand
from study.spec.limited_yaml import STORED
from study.spec.study_spec import StudySpec
from study.spec.validation import load_spec
from study.spec.yaml_io import read_yaml, write_yaml
from trainables.core.errors import BadInput

ROOT = Path(__file__).parents[3]
_EVERYTHING = """
name: everything
question: Which is best?
seed: 3
data:
  - {dataset: digits, label: small, profiles: [{kind: step, ratio: [10, 50.5], minority: odd}, {kind: natural}]}
  - {dataset: mnist, data_dir: /tmp, image_size: 32, protocol: m2m, validation_fraction: 0.2, label_noise: 0.1,
     subset_seed: 1, memory_budget_gb: 2, profiles: [{ratio: 100}]}
methods:
  - erm
  - {name: cce, label: tuned, preset: paper, search: {gamma: {low: -10, high: -0.1, scale: log, grid: [-1, -2]}}}
  - {name: ldam-drw, params: {scale: 20}, search: {max_margin: {choices: [0.3, 0.5]}, beta: {low: 0.9, high: 0.9999, scale: log-complement}}}
model: {name: mlp, weights: null}
training: {epochs: 30, batch_size: 64, lr: 0.05, momentum: 0.9, nesterov: true, weight_decay: 5.0e-4, precision: float32,
           schedule: {kind: step, milestones: [0.5, 0.9], factor: 0.1, warmup: 0.1}, brightness: 0.1, crop_size: 8}
search: {trials: 8, budget: epochs, metric: [balanced_accuracy, worst_recall], constraints: {few: {min: 0.2}}, searcher: tpe,
         training: {lr: {low: 0.005, high: 0.5, scale: log}}, warm_start: [earlier], epochs_total: 100000, wall_hours: 2.5,
         concurrency: 2, order: ratio-ascending}
confirm: {seeds: 5}
resources: {cpus: 1, gpus: 0.5, retries: 0}
records: {tracking_uri: mine.db, ledger: "sqlite:///ledger.db"}
artifacts: {offsets: all, embedding: none, model: confirm}
"""  # noqa: E501
_CORPUS = [_EVERYTHING, *(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("studies/*.yaml")))]
_MAPPINGS = [yaml.safe_load(text) for text in _CORPUS]

_TOKENS = [
    "!!timestamp 'x'", "!!int '-'", "!!float ''", "!!map [1]", "!!bool x", "!!set {a}", "!!binary x", "&a", "*a",
    "<<: *a", "<<: [*a, *a]", "- ", ": ", "? ", "[", "]", "{", "}", "'", '"', "|\n", ">-\n", "%YAML 1.2\n", "---\n",
    "...\n", "#", "\t", "\0", "\x1b", r'"\ud800"', r'"\x00"', "é", "\u2028", "\ufeff", "9" * 4301, "-1", "0",
    "1e999", ".nan", "-.inf",
    "0x10", "1:30", "2024-02-31", "null", "true", "a" * 5000, "../..", "{<<: 5}", "name", "erm", "search: ", "params: ",
]  # fmt: skip
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 1, 2**31, 2**63 - 1, -(2**63), 10**400, 10**4000])
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["", "..", "/", "\0", "\ud800", "x" * 5000, "erm", "cce", "long_tail", "log", "2024-01-01", "=", "<<", "~"]
    )
)
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_SCALARS, inner, max_size=4), max_leaves=8
)


@st.composite
def _bytes(draw: st.DrawFn) -> bytes:
    """A study file whose bytes were changed in some places."""
    content = draw(st.sampled_from(_CORPUS)).encode()
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(content)))
        end = start + draw(st.integers(0, 30))
        piece = draw(st.sampled_from(_TOKENS).map(str.encode) | st.binary(max_size=8) | st.just(content[start:end] * 2))
        content = content[:start] + piece + content[end:]
    return content


@st.composite
def _structure(draw: st.DrawFn) -> bytes:
    """A study file whose keys and values were replaced, added, removed or nested."""
    mapping = yaml.safe_load(draw(st.sampled_from(_CORPUS)))
    for _ in range(draw(st.integers(1, 4))):
        holder: Any = mapping
        while True:
            key = draw(st.sampled_from(list(holder) if isinstance(holder, dict) else range(len(holder))))
            if not isinstance(holder[key], (dict, list)) or not holder[key] or draw(st.integers(0, 3)) == 0:
                break
            holder = holder[key]
        kind = draw(st.sampled_from(["replace", "replace", "remove", "wrap", "repeat", "add"]))
        if kind == "replace":
            holder[key] = draw(_VALUES)
        elif kind == "remove" and len(holder) > 1:
            del holder[key]
        elif kind == "wrap":
            holder[key] = draw(st.sampled_from([[holder[key]], {"name": holder[key]}, {key: holder[key]}]))
        elif kind == "repeat" and isinstance(holder, list):
            holder.extend([holder[key]] * draw(st.sampled_from([1, 2, 300, 6000])))
        elif isinstance(holder, dict):
            holder[draw(_SCALARS.filter(lambda key: key == key))] = draw(_VALUES)
    return _dumped(mapping).encode("utf-8", "surrogatepass")


def _dumped(value: Any) -> str:
    return yaml.safe_dump(value, allow_unicode=True, sort_keys=False)


def _paths(value: Any, before: tuple[str, ...] = ()) -> list[str]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    inner = [path for key, found in items for path in _paths(found, (*before, str(key)))]
    return [".".join(before), *inner] if before else inner


_PATHS = sorted({path for mapping in _MAPPINGS for path in _paths(mapping)})
_OVERRIDES = st.builds(
    lambda path, value: f"{path}={value}",
    st.sampled_from(_PATHS)
    | st.builds(lambda path, more: f"{path}.{more}", st.sampled_from(_PATHS), st.text(max_size=10))
    | st.text(max_size=10)
    | st.sampled_from(["a." * 2000 + "a", "data." + "9" * 5000, "x" * 5000]),
    _VALUES.map(_dumped)
    | st.sampled_from(_TOKENS)
    | st.text(max_size=20)
    | st.text("[]{}*&!:,-<'\"| a1\n", max_size=30),
)
_CHOSEN = st.tuples(
    st.sampled_from(range(len(_CORPUS))), st.lists(_OVERRIDES | st.text(max_size=10), min_size=1, max_size=2)
)


def _check(path: Path, overrides: tuple[str, ...] = ()) -> None:
    """Load a study file; what is accepted can be stored and read back, and what is refused gives a bounded message."""
    try:
        spec = load_spec(path, overrides)
        expand(spec)
    except BadInput as error:
        assert str(error).encode("utf-8", "backslashreplace").strip()
        assert len(str(error)) < 50_000 and len(str(error).splitlines()) <= 21
        return
    stored = path.with_name("stored.yaml")
    stored.write_text(write_yaml(spec.model_dump(mode="json")), encoding="utf-8")
    assert StudySpec.model_validate(read_yaml(stored, STORED)) == spec


def _checks_files(examples: int, *, repeatable: bool) -> Callable[..., None]:
    @settings(max_examples=examples, derandomize=repeatable, deadline=None, suppress_health_check=list(HealthCheck))
    @given(content=_bytes() | _structure())
    def check(content: bytes, folder: Path) -> None:
        path = folder / "study.yaml"
        path.write_bytes(content)
        _check(path)

    return check


def _checks_overrides(examples: int, *, repeatable: bool) -> Callable[..., None]:
    @settings(max_examples=examples, derandomize=repeatable, deadline=None, suppress_health_check=list(HealthCheck))
    @given(chosen=_CHOSEN)
    def check(chosen: tuple[int, list[str]], folder: Path) -> None:
        path = folder / "study.yaml"
        path.write_text(_CORPUS[chosen[0]], encoding="utf-8")
        _check(path, tuple(chosen[1]))

    return check


def test_a_mutated_study_file_is_a_study_or_bad_input(tmp_path: Path) -> None:
    _checks_files(300, repeatable=True)(folder=tmp_path)


def test_mutated_overrides_are_a_study_or_bad_input(tmp_path: Path) -> None:
    _checks_overrides(150, repeatable=True)(folder=tmp_path)


def test_the_files_that_are_mutated_are_studies(tmp_path: Path) -> None:
    for text in _CORPUS:
        (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
        load_spec(tmp_path / "study.yaml")


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_5000_mutated_study_files(tmp_path: Path) -> None:
    _checks_files(5000, repeatable=False)(folder=tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_1000_mutated_overrides(tmp_path: Path) -> None:
    _checks_overrides(1000, repeatable=False)(folder=tmp_path)
