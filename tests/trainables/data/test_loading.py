"""load, prepare and summarize: the protocols, what is touched when, and what the fingerprint follows."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainables.core.config import DataConfig
from trainables.core.errors import BadInput
from trainables.data import Split, load, loading, prepare, summarize
from trainables.data.input_statistics import pixel_statistics
from trainables.data.sources.image_cache import CachedImages, open_images
from trainables.data.sources.source_lookup import find_source

Configure = Callable[..., DataConfig]
LONG_TAIL = {"kind": "long_tail", "ratio": 5}


def as_set(split: Split) -> set[bytes]:
    """Random images are told apart by their pixels."""
    return {image.numpy().tobytes() for image in split.images}


def test_tensors_are_what_they_are_said_to_be(shapes: Configure) -> None:
    data = load(shapes(profile=LONG_TAIL))
    assert data.class_names == ("square", "circle", "star")
    for split in (data.train, data.validation, data.test()):
        assert split.images.dtype == torch.uint8 and split.images.shape[1:] == (1, 6, 5)
        assert split.labels.dtype == torch.int64 and len(split.labels) == len(split.images)
    assert data.class_counts.dtype == torch.int64
    assert data.class_counts.tolist() == torch.bincount(data.train.labels).tolist() == [27, 12, 5]


def test_images_stand_beside_their_labels(shapes: Configure) -> None:
    whole = open_images(find_source(shapes()), "train")
    of_image = {image.tobytes(): int(k) for image, k in zip(whole.images, whole.labels, strict=True)}
    data = load(shapes(profile=LONG_TAIL))
    for split in (data.train, data.validation):
        assert [of_image[image.numpy().tobytes()] for image in split.images] == split.labels.tolist()


def test_holdout_takes_validation_from_train_and_reports_all_of_test(shapes: Configure) -> None:
    data = load(shapes(validation_fraction=0.2))
    assert torch.bincount(data.validation.labels).tolist() == [6, 6, 6]
    assert not as_set(data.train) & as_set(data.validation)
    assert len(as_set(data.train) | as_set(data.validation)) == 105
    assert torch.bincount(data.test().labels).tolist() == [10, 12, 11]


def test_m2m_splits_test(shapes: Configure) -> None:
    data = load(shapes(protocol="m2m", validation_fraction=0.3))
    assert len(data.train.labels) == 105
    assert torch.bincount(data.validation.labels).tolist() == [3, 3, 3]
    assert torch.bincount(data.test().labels).tolist() == [7, 9, 8]
    assert not as_set(data.validation) & as_set(data.test())


def test_test_select_validates_on_what_is_reported(shapes: Configure) -> None:
    data = load(shapes(protocol="test-select"))
    assert torch.equal(data.validation.images, data.test().images)
    assert torch.equal(data.validation.labels, data.test().labels)


def refuse_test(monkeypatch: pytest.MonkeyPatch) -> None:
    def guarded(source: Any, split: Any, verify: bool = False) -> CachedImages:
        if split == "test":
            raise AssertionError("the test split was opened")
        return open_images(source, split, verify)

    monkeypatch.setattr(loading, "open_images", guarded)


def test_holdout_opens_nothing_of_test_before_it_is_asked_to(
    shapes: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_test(monkeypatch)
    data = load(shapes(profile=LONG_TAIL, label_noise=0.2))
    assert summarize(shapes(profile=LONG_TAIL, label_noise=0.2)).fingerprint == data.fingerprint
    with pytest.raises(AssertionError, match="was opened"):
        data.test()


@pytest.mark.parametrize("protocol", ["m2m", "test-select"])
def test_the_guard_of_the_test_above_would_notice(
    shapes: Configure, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    refuse_test(monkeypatch)
    with pytest.raises(AssertionError, match="was opened"):
        load(shapes(protocol=protocol))


def test_holdout_loads_while_the_test_file_is_rubbish(shapes: Configure) -> None:
    path = Path(str(shapes().data_dir)) / "shapes" / "test.parquet"
    path.write_bytes(b"rubbish")
    data = load(shapes())
    with pytest.raises(BadInput, match="cut off"):
        data.test()
    with pytest.raises(BadInput, match="cut off"):
        prepare(shapes())


def test_summaries_agree_with_what_is_loaded(shapes: Configure) -> None:
    for protocol in ("holdout", "m2m", "test-select"):
        config = shapes(profile=LONG_TAIL, protocol=protocol, label_noise=0.1)
        summary, data = prepare(config), load(config)
        assert summary == summarize(config)
        assert summary.class_counts == tuple(data.class_counts.tolist())
        assert summary.validation_size == len(data.validation.labels)
        assert summary.image_shape == tuple(data.train.images.shape[1:])
        assert (summary.class_names, summary.fingerprint) == (data.class_names, data.fingerprint)


def test_label_noise_is_counted_and_spares_validation_and_test(shapes: Configure) -> None:
    clean, noisy = load(shapes()), load(shapes(label_noise=0.4))
    assert torch.equal(clean.train.images, noisy.train.images)
    assert (clean.train.labels != noisy.train.labels).sum() == round(0.4 * len(clean.train.labels))
    assert noisy.class_counts.tolist() == torch.bincount(noisy.train.labels).tolist()
    assert torch.equal(clean.validation.labels, noisy.validation.labels)
    assert torch.equal(clean.test().labels, noisy.test().labels)


@pytest.mark.parametrize(
    "change",
    [
        {"profile": {"kind": "long_tail", "ratio": 6}},
        {"profile": {"kind": "step", "ratio": 5}},
        {"protocol": "m2m"},
        {"protocol": "test-select"},
        {"validation_fraction": 0.3},
        {"label_noise": 0.1},
        {"subset_seed": 1},
    ],
    ids=str,
)
def test_every_setting_changes_the_fingerprint(shapes: Configure, change: dict[str, Any]) -> None:
    base = {"profile": LONG_TAIL, "validation_fraction": 0.1}
    assert summarize(shapes(**base)).fingerprint != summarize(shapes(**{**base, **change})).fingerprint


def test_the_fingerprint_follows_content_and_not_place_or_time(shapes: Configure, tmp_path: Path) -> None:
    there = tmp_path / "other" / "shapes"
    there.mkdir(parents=True)
    for split in ("train", "test"):
        shutil.copyfile(tmp_path / "data" / "shapes" / f"{split}.parquet", there / f"{split}.parquet")
    here, moved = summarize(shapes()), summarize(shapes(data_dir=str(there.parent)))
    assert here.fingerprint == moved.fingerprint
    assert summarize(DataConfig(dataset="digits")).fingerprint != here.fingerprint


def test_loading_twice_gives_the_same(shapes: Configure) -> None:
    one, two = (load(shapes(profile=LONG_TAIL, subset_seed=7)) for _ in range(2))
    assert torch.equal(one.train.images, two.train.images) and one.fingerprint == two.fingerprint


def test_study_data_travels_between_processes(shapes: Configure) -> None:
    data = pickle.loads(pickle.dumps(load(shapes())))
    assert len(data.test().labels) == 33


def test_statistics_are_those_of_the_training_images(shapes: Configure) -> None:
    data = load(shapes(profile=LONG_TAIL))
    scaled = data.train.images.double() / 255
    assert data.mean == pytest.approx([scaled.mean().item()])
    assert data.std == pytest.approx([scaled.std(correction=0).item()])


def test_statistics_per_channel_over_several_chunks() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2500, 3, 2, 2), dtype=np.uint8)
    images[:, 1] //= 4
    mean, std = pixel_statistics(images)
    assert mean == pytest.approx((images / 255).mean((0, 2, 3)))
    assert std == pytest.approx((images / 255).std((0, 2, 3)))


def test_images_without_contrast_have_a_usable_deviation() -> None:
    mean, std = pixel_statistics(np.full((3, 1, 2, 2), 51, np.uint8))
    assert mean == pytest.approx((0.2,)) and std == (1 / 255,)


def test_an_empty_class_after_subsampling_is_refused_before_anything_starts(shapes: Configure) -> None:
    with pytest.raises(BadInput, match=r"class 2 \('star'\) .* works here is 27$"):
        prepare(shapes(profile={"kind": "long_tail", "ratio": 28}))


def test_digits_need_no_file() -> None:
    summary = prepare(DataConfig.model_validate({"dataset": "digits", "profile": {"kind": "natural"}}))
    data = load(DataConfig.model_validate({"dataset": "digits", "profile": {"kind": "natural"}}))
    test = data.test()
    assert summary.image_shape == (1, 8, 8) and summary.validation_size == 140
    assert len(data.train.labels) + 140 + len(test.labels) == 1797
    sizes = torch.bincount(test.labels) / (torch.bincount(test.labels) + data.class_counts + 14)
    assert sizes.min() > 0.19 and sizes.max() <= 0.2
    assert data.train.images.max() == 255 and data.train.images.min() == 0


def test_published_sets_have_the_counts_asked_for(published: Configure) -> None:
    natural = prepare(published(profile={"kind": "natural"}, protocol="m2m"))
    n_max = min(natural.class_counts)
    for ratio in (1, 10, 50):
        data = load(published(profile={"kind": "long_tail", "ratio": ratio}, protocol="m2m"))
        kept = data.class_counts.tolist()
        assert kept == torch.bincount(data.train.labels).tolist()
        assert (kept[0], kept[-1]) == (n_max, n_max // ratio)
        assert kept == sorted(kept, reverse=True)
        if n_max == 5000:
            assert sum(kept) == {1: 50_000, 10: 20_431, 50: 13_996}[ratio]


def test_published_sets_hold_out_balanced_validation(published: Configure) -> None:
    smallest = min(prepare(published(profile={"kind": "natural"}, protocol="m2m")).class_counts)
    data = load(published(profile={"kind": "step", "ratio": 5}))
    assert torch.bincount(data.validation.labels).tolist() == [smallest // 10] * 10
    n_max = smallest - smallest // 10
    assert data.class_counts.tolist() == [n_max] * 5 + [n_max // 5] * 5
    assert all(0 < value < 1 for value in (*data.mean, *data.std))
    assert len(data.test().labels) in (200, 10_000)
