"""Files of a storage folder may come from others: no file of this project reads one in a way that could run code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path for package in ("study", "trainables", "search_spaces") for path in (ROOT / package).rglob("*.py"))
_SAFE = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
}
_NEVER = {
    "eval",
    "exec",
    "yaml.unsafe_load",
    "yaml.full_load",
    "yaml.unsafe_load_all",
    "pd.read_pickle",
    "torch.jit.load",
    "torch.export.load",
}
_ALLOWED = {
    # copied into an MLflow model; only whoever loads that model runs it, and an MLflow model is code anyway
    "study/tracking/exported_classifier.py": {"torch.export.load"},
    # a plug-in is code that its user named; only training runs the copy that the study keeps, reading never does
    "trainables/core/plugin_source.py": {"exec"},
}


def unsafe_calls(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of each call that could unpickle or run what a file holds."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        given = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
        if name in _SAFE:
            key, wanted = _SAFE[name]
            if given.get(key) is not wanted:
                yield node.lineno, f"{name} without {key}={wanted}"
        elif name in _NEVER or name.split(".")[0] in ("pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal"):
            yield node.lineno, name
        elif name == "yaml.load" and ast.unparse(node.keywords[0].value if node.keywords else node.args[-1]) not in (
            "yaml.SafeLoader",
            "yaml.CSafeLoader",
        ):
            yield node.lineno, "yaml.load without a safe loader"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_unpickles_nothing(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    found = {call: line for line, call in unsafe_calls(path.read_text(encoding="utf-8"))}
    assert found.keys() == _ALLOWED.get(name, set()), found


def test_unsafe_calls_are_found() -> None:
    source = """
torch.load(path)
torch.load(path, weights_only=False)
np.load(path, allow_pickle=True)
pickle.loads(text)
eval(text)
network.eval()
yaml.load(text, Loader=yaml.Loader)
torch.load(path, map_location="cpu", weights_only=True)
"""
    assert len(list(unsafe_calls(source))) == 6
