from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from trainables.core.config import DataConfig, ModelConfig, ProfileConfig
from trainables.core.errors import BadInput
from trainables.core.paths import folder_named
from trainables.data.sources.source_lookup import find_source

IMPOSSIBLE = [("~nosuchuser/data", "home directory"), ("a\0b", "it holds a NUL byte"), ("x" * 300, "too long")]


@pytest.mark.parametrize(("written", "why"), IMPOSSIBLE)
def test_what_cannot_be_a_folder_is_named_with_its_origin(written: str, why: str) -> None:
    with pytest.raises(BadInput) as caught:
        folder_named(written, "`data_dir`")
    assert str(caught.value).startswith(f"`data_dir` names {written!r}, which cannot be a folder: ")
    assert why in str(caught.value)


def test_a_folder_need_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for written in ("~/data", "data", tmp_path / "data"):
        assert folder_named(written, "x") == tmp_path / "data"


@pytest.mark.parametrize("written", [*(written for written, _ in IMPOSSIBLE), __file__])
@pytest.mark.parametrize("by_environment", [False, True])
def test_a_data_set_is_not_looked_for_there(
    written: str, by_environment: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by_environment and "\0" in written:
        return  # no variable can hold it
    monkeypatch.delenv("STUDY_DATA_DIR", raising=False)
    if by_environment:
        monkeypatch.setenv("STUDY_DATA_DIR", written)
    named = None if by_environment else written
    config = DataConfig(dataset="digits", data_dir=named, profile=ProfileConfig(kind="natural"))
    with pytest.raises(BadInput) as caught:
        find_source(config)
    origin = "STUDY_DATA_DIR" if by_environment else "`data_dir`"
    assert str(caught.value).startswith(f"{origin} names ")
    assert written.replace("\0", "\\x00") in str(caught.value)


@pytest.mark.parametrize("written", ["~nosuchuser/w.pt", "a\0b"])
def test_weights_that_cannot_be_a_file(written: str) -> None:
    with pytest.raises(ValidationError, match="must be a file's name"):
        ModelConfig(name="mlp", weights=written)
