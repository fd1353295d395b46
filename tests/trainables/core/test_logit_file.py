from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainables.core.errors import BadInput
from trainables.core.logit_file import LOGIT_FILE, KeptLogits, SplitLogits, has_logits, read_logits, write_logits

CLASSES = 4


def _kept(images: int = 50, scale: float = 10.0) -> tuple[KeptLogits, np.ndarray]:
    rng = np.random.default_rng(0)
    logits = rng.normal(3, scale, (images, CLASSES)).astype(np.float32)
    labels = np.arange(images) % CLASSES
    splits = {"validation": SplitLogits.of(logits[:7], labels[:7]), "test": SplitLogits.of(logits, labels)}
    return KeptLogits(0.3, tuple("abcd"), (9, 4, 2, 1), splits), logits


def test_what_is_written_is_read_back_and_the_logits_are_those_of_the_head_but_for_float16(tmp_path: Path) -> None:
    kept, logits = _kept()
    write_logits(tmp_path, kept)
    found = read_logits(tmp_path)
    assert (found.posthoc_value, found.class_names, found.class_counts) == (0.3, ("a", "b", "c", "d"), (9, 4, 2, 1))
    assert list(found.splits) == ["validation", "test"]
    for name, split in kept.splits.items():
        for field, value in vars(split).items():
            assert np.array_equal(getattr(found.splits[name], field), value), (name, field)
    test = found.splits["test"]
    restored = test.logits + test.largest[:, None]
    assert np.allclose(restored, logits, atol=2.0**-11 * (logits.max() - logits.min()))
    assert np.array_equal(test.predictions, logits.argmax(axis=1))


def test_the_schema_is_the_documented_one(tmp_path: Path) -> None:
    write_logits(tmp_path, _kept()[0])
    file = pq.ParquetFile(tmp_path / LOGIT_FILE)
    assert {field.name: str(field.type) for field in file.schema_arrow} == {
        "split": "dictionary<values=string, indices=int32, ordered=0>",
        **dict.fromkeys(("image", "label", "prediction"), "int32"),
        "largest": "float",
        "logits": f"fixed_size_list<element: halffloat>[{CLASSES}]",
    }
    assert file.num_row_groups == 2
    about = json.loads(file.schema_arrow.metadata[b"longtail_study"])
    assert about == {"posthoc_value": 0.3, "class_names": list("abcd"), "class_counts": [9, 4, 2, 1]}
    test = pq.read_table(tmp_path / LOGIT_FILE, filters=[("split", "=", "test")])
    assert test["image"].to_pylist() == list(range(50))


def test_rounding_keeps_the_predictions_of_close_logits_and_large_ones_do_not_overflow() -> None:
    close = np.array([[100.0, 100.00001, -3.0]], dtype=np.float32)
    assert close.astype(np.float16).argmax() == 0  # rounded as they are, the first two are equal
    assert SplitLogits.of(close, np.array([0])).logits.argmax() == 1
    huge = SplitLogits.of(np.array([[1e8, -1e8]], dtype=np.float32), np.array([0]))
    assert np.isfinite(huge.logits).all() and huge.predictions.tolist() == [0]


def test_a_missing_file_is_none_and_a_damaged_one_an_error_that_names_it(tmp_path: Path) -> None:
    assert read_logits(tmp_path) is None and not has_logits(tmp_path)
    write_logits(tmp_path, _kept()[0])
    assert has_logits(tmp_path)
    path = tmp_path / LOGIT_FILE
    whole = path.read_bytes()
    for damaged in (whole[:-30], b"", whole[:400] + b"\0" * 40 + whole[440:]):
        path.write_bytes(damaged)
        with pytest.raises(BadInput, match=r"logits\.parquet: cannot be read as kept logits"):
            read_logits(tmp_path)
    path.write_bytes(whole[:-30])
    assert not has_logits(tmp_path)
    pq.write_table(pa.table({"label": [1]}), path)
    assert not has_logits(tmp_path)
    with pytest.raises(BadInput, match="cannot be read as kept logits"):
        read_logits(tmp_path)


def test_a_flipped_bit_never_gives_other_logits(tmp_path: Path) -> None:
    write_logits(tmp_path, _kept()[0])
    path, before = tmp_path / LOGIT_FILE, read_logits(tmp_path)
    assert before is not None
    content, draws = path.read_bytes(), np.random.default_rng(0)
    for place in draws.integers(0, len(content), 300):
        changed = bytearray(content)
        changed[place] ^= 1 << int(draws.integers(8))
        path.write_bytes(changed)
        try:
            found = read_logits(tmp_path)
        except BadInput:
            continue
        assert found is not None and list(found.splits) == list(before.splits)
        for name, split in found.splits.items():
            assert np.array_equal(split.logits, before.splits[name].logits)
            assert np.array_equal(split.labels, before.splits[name].labels)


def test_nothing_half_written_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        write_logits(tmp_path, _kept()[0])
    assert list(tmp_path.iterdir()) == []


def test_scaled_logits_keep_their_predictions() -> None:
    head = np.array([[0.5, -0.25, 0.1], [-1.0, 0.75, 0.7]])
    kept = KeptLogits(None, ("a", "b", "c"), (3, 2, 1), {"test": SplitLogits.of(head, np.array([0, 2]))})
    scaled = kept.scaled(30.0).splits["test"]
    whole = scaled.logits + scaled.largest[:, None]
    np.testing.assert_allclose(whole, 30 * head, atol=0.02)  # float16, times 30
    assert scaled.predictions.tolist() == [0, 1]
    assert kept.scaled(1.0) is kept
