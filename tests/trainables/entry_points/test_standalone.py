from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from trainables.core.config import TrialConfig
from trainables.core.errors import BadInput
from trainables.entry_points.standalone import train_once


@pytest.mark.parametrize("output", ["s3://bucket/out", "gs://bucket/out"])
def test_object_storage_is_no_output_of_one_training(
    output: str, make_trial: Callable[..., TrialConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=r"--output .*: must be a local folder"):
        train_once(make_trial(), output=Path(output), with_test=False, say=pytest.fail)
    assert list(tmp_path.iterdir()) == []
