"""Images that stay in their file: the batches are those of images in memory, and threads come and go."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.trainables.data.made_images import write_folder
from trainables.components.sampling import batches_of
from trainables.core.config import DataConfig, ModelConfig, TrialConfig
from trainables.data import Split, load
from trainables.data.catalog import Augmentation
from trainables.data.pipeline import streaming_pipeline
from trainables.data.pipeline.batch_pipeline import BatchPipeline
from trainables.data.pipeline.streaming_pipeline import StreamingPipeline, open_pipeline
from trainables.training.trainer import Trainer

CPU = torch.device("cpu")
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
Configure = Callable[..., DataConfig]


def splits(n: int = 60, of: int = 100) -> tuple[Split, Split]:
    """The same rows, copied out of all images and left among them."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (of, 3, 9, 7), generator=generator, dtype=torch.uint8)
    rows = torch.randperm(of, generator=generator)[:n].sort().values
    labels = torch.arange(n) % 3
    return Split(images[rows], labels), Split(images, labels, rows)


def pipelines(kind: Augmentation = "crop-flip", **options: Any) -> tuple[BatchPipeline, BatchPipeline]:
    one, other = (open_pipeline(split, MEAN, STD, augmentation=kind, **options) for split in splits())
    assert type(one) is BatchPipeline and type(other) is StreamingPipeline
    return one, other


def loaders() -> int:
    return sum(thread.name.startswith("images") for thread in threading.enumerate())


def wait_for_no_loaders() -> None:
    deadline = time.monotonic() + 20
    while loaders() and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert loaders() == 0


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("kind", ["none", "crop", "crop-flip"])
def test_batches_are_those_of_images_in_memory(kind: Augmentation, channels_last: bool) -> None:
    resident, streaming = pipelines(kind, channels_last=channels_last)
    generator = torch.Generator().manual_seed(1)
    for _ in range(2):  # epochs
        rows = torch.randint(60, (60,), generator=generator)  # repeats allowed
        draws = resident.draw(60, generator)
        parts = tuple(batches_of(60, 7))
        for pipeline in (resident, streaming):
            pipeline.prefetch(rows, parts)
        for part in parts:
            asked = rows[part], draws[part]
            batch, expected = streaming.batch(*asked), resident.batch(*asked)
            assert torch.equal(batch, expected) and batch.stride() == expected.stride()
            assert torch.equal(streaming.pixels(*asked), resident.pixels(*asked))  # again: no longer planned


def test_evaluation_sees_the_same_in_the_same_order() -> None:
    resident, streaming = pipelines()
    for one, other in zip(resident.in_order(13), streaming.in_order(13), strict=True):
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])
    assert len(streaming) == 60 and torch.equal(streaming.labels, resident.labels)


def test_other_rows_and_skipped_batches_are_served_in_the_middle_of_an_epoch() -> None:
    resident, streaming = pipelines("none")
    rows = torch.arange(60).flip(0)
    parts = tuple(batches_of(60, 4))
    streaming.prefetch(rows, parts)
    seeds = torch.tensor([3, 3, 59, 0])
    for part in (parts[0], parts[9], parts[2], slice(50, 55), parts[14]):
        assert torch.equal(streaming.pixels(seeds), resident.pixels(seeds))
        assert torch.equal(streaming.pixels(rows[part]), resident.pixels(rows[part]))
    assert torch.equal(streaming.pixels(rows[::7]), resident.pixels(rows[::7]))


def test_planned_batches_are_gathered_before_they_are_asked_for_and_never_many(monkeypatch: pytest.MonkeyPatch) -> None:
    gathered: list[int] = []
    gather = streaming_pipeline._gather

    def noting(*arguments: Any, **options: Any) -> Tensor:
        gathered.append(threading.get_ident())
        return gather(*arguments, **options)

    monkeypatch.setattr(streaming_pipeline, "_gather", noting)
    _, pipeline = pipelines("none")
    rows = torch.arange(60)
    parts = tuple(batches_of(60, 2))
    pipeline.prefetch(rows, parts)
    deadline = time.monotonic() + 20
    while len(gathered) < streaming_pipeline._THREADS and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(gathered) == streaming_pipeline._THREADS
    for part in parts:
        pipeline.pixels(rows[part])
    assert len(gathered) == len(parts)  # each once
    assert threading.get_ident() not in gathered


def test_an_error_in_a_thread_is_raised_where_the_batch_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    gather = streaming_pipeline._gather

    def failing(images: Tensor, rows: Any, indices: Any, **options: Any) -> Tensor:
        if 30 in indices:
            raise OSError("the disk is gone")
        return gather(images, rows, indices, **options)

    monkeypatch.setattr(streaming_pipeline, "_gather", failing)
    _, pipeline = pipelines("none")
    rows = torch.arange(60)
    pipeline.prefetch(rows, tuple(batches_of(60, 10)))
    for start in (0, 10, 20):
        pipeline.pixels(rows[start : start + 10])
    with pytest.raises(OSError, match="the disk is gone"):
        pipeline.pixels(rows[30:40])
    del pipeline
    wait_for_no_loaders()


def test_threads_end_with_a_pipeline_that_is_dropped_halfway() -> None:
    for _ in range(5):
        _, pipeline = pipelines()
        rows = torch.arange(60)
        pipeline.prefetch(rows, tuple(batches_of(60, 5)))
        pipeline.pixels(rows[:5])
        next(iter(pipeline.in_order(7)))
        pipeline.prefetch(rows, tuple(batches_of(60, 5)))  # an epoch that was left is forgotten
        assert loaders() > 0
        del pipeline
    wait_for_no_loaders()


# ---- from the configuration to whole trainings -------------------------------------------------------------


def _trial(data: DataConfig, method: str, model: str, **training: Any) -> TrialConfig:
    return TrialConfig.model_validate(
        {
            "data": data.model_dump(),
            "model": {"name": model},
            "method": {"name": method},
            "training": {"epochs": 3, "batch_size": 16, "lr": 0.02, "precision": "float32", **training},
        }
    )


def _run(config: TrialConfig) -> tuple[list[str], list[Tensor]]:
    trainer = Trainer(config, load(config.data), CPU)
    kinds = {type(trainer.batches), type(trainer.validation)}
    assert kinds == {StreamingPipeline if config.data.memory_budget_gb == 0 else BatchPipeline}
    records = [trainer.run_epoch() for _ in range(config.training.epochs)]
    said = [repr({k: v for k, v in record.items() if k != "images_per_second"}) for record in records]
    said.append(repr(trainer.metrics(trainer.evaluate(trainer.data.test()))))
    return said, [*trainer.network.state_dict().values()]


@pytest.mark.parametrize("protocol", ["holdout", "m2m", "test-select"])
@pytest.mark.parametrize(
    ("method", "model", "augmentation"),
    [("erm", "mlp", "none"), ("ldam-drw", "conv-tiny", "crop-flip"), ("affinity", "resnet20", "crop")],
)
def test_a_training_does_not_depend_on_the_memory_budget(
    tmp_path: Path, protocol: str, method: str, model: str, augmentation: str
) -> None:
    write_folder(tmp_path / "photos", (30, 25, 35), (9, 8, 10), (12, 12, 3))
    given = {"dataset": "photos", "data_dir": str(tmp_path), "profile": {"kind": "step", "ratio": 3}}
    resident = DataConfig.model_validate({**given, "protocol": protocol})
    streamed = resident.model_copy(update={"memory_budget_gb": 0.0})
    (said, weights), (expected, wanted) = (
        _run(_trial(data, method, model, augmentation=augmentation)) for data in (streamed, resident)
    )
    assert said == expected
    assert all(torch.equal(a, b) for a, b in zip(weights, wanted, strict=True))
    wait_for_no_loaders()


def test_a_dropped_training_leaves_no_thread(tmp_path: Path) -> None:
    write_folder(tmp_path / "photos", (30, 25), (9, 8), (12, 12))
    natural = {"dataset": "photos", "data_dir": str(tmp_path), "profile": {"kind": "natural"}}
    config = _trial(DataConfig.model_validate({**natural, "memory_budget_gb": 0}), "erm", "mlp")
    trainer = Trainer(config, load(config.data), CPU)

    def interrupted(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    trainer.network.register_forward_hook(interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.run_epoch()
    del trainer
    wait_for_no_loaders()


def test_a_split_above_the_budget_shares_the_pages_of_the_file(tmp_path: Path) -> None:
    write_folder(tmp_path / "photos", (200, 200), (5, 5), (32, 32, 3))
    given = {"dataset": "photos", "data_dir": str(tmp_path), "profile": {"kind": "step", "ratio": 2}}
    load(DataConfig.model_validate(given))
    size = 400 * 32 * 32 * 3
    data = load(DataConfig.model_validate({**given, "memory_budget_gb": size / 4 * 1e-9}))
    assert data.train.rows is not None and len(data.train.rows) == len(data.train.labels) == 270
    assert data.validation.rows is None  # of 40 images: below the budget
    assert len(data.train.images) == 400
    assert not data.train.images.numpy().flags.owndata
    whole = load(DataConfig.model_validate(given))
    assert torch.equal(data.train.images[data.train.rows], whole.train.images)
    assert (data.mean, data.std, data.fingerprint) == (whole.mean, whole.std, whole.fingerprint)


def test_the_budget_changes_no_fingerprint(shapes: Configure) -> None:
    one, other = (_trial(shapes(memory_budget_gb=gb), "erm", "mlp") for gb in (0, 3.5))
    assert one.fingerprint() == other.fingerprint()
    with pytest.raises(ValueError, match="memory_budget_gb"):
        shapes(memory_budget_gb=-1)
    assert ModelConfig() == one.model.model_copy(update={"name": "resnet32"})


def test_gathering_equals_indexing() -> None:
    split = splits()[1]
    assert split.rows is not None
    indices = np.array([5, 5, 0, 59])
    gathered = streaming_pipeline._gather(split.images, split.rows.numpy(), indices)
    assert torch.equal(gathered, split.images[split.rows[indices]])
