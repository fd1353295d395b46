"""Batches of a split larger than memory, prefetched by threads from a memory-mapped file."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainables.data.pipeline.batch_pipeline import BatchPipeline, Draws
from trainables.data.splits import Split

Ints = npt.NDArray[np.int64]

_THREADS = 4
"""Number of loader threads and of prefetched batches in memory."""


def open_pipeline(split: Split, mean: Sequence[float], std: Sequence[float], **options: Any) -> BatchPipeline:
    """Return a `StreamingPipeline` for a split with ``rows``, else a `BatchPipeline`; their batches are bit-equal.

    Args:
        split: images and labels; with ``rows``, the images stay in their file.
        mean: mean per channel, as in `BatchPipeline`.
        std: standard deviation per channel, as in `BatchPipeline`.
        options: the other arguments of `BatchPipeline`.
    """
    kind = BatchPipeline if split.rows is None else StreamingPipeline
    return kind(split, mean, std, **options)


class StreamingPipeline(BatchPipeline):
    """A `BatchPipeline` over images that stay in a memory-mapped file.

    Threads prefetch the batches announced to `prefetch` and copy them to the device as bytes, where they are cropped,
    flipped and normalised as usual. Other rows may be requested at any time and are read synchronously. The threads
    end with the pipeline, even within an epoch; an error in a thread is raised by the call that requested the batch.
    """

    _threads: ThreadPoolExecutor | None = None
    _planned: _Ahead | None = None
    _order: Tensor | None = None

    def prefetch(self, rows: Tensor, parts: Sequence[slice]) -> None:
        """Start prefetching the batches of an epoch.

        Args:
            rows: int64 (n,), rows of the split, on the pipeline's device. `pixels` recognises a planned batch as a view
                of this tensor, which needs no comparison of values on the device.
            parts: slices of ``rows`` in the order in which they will be requested.
        """
        self._planned = _Ahead(self._pool(), self._gather_rows, rows.cpu().numpy(), parts)
        self._order = rows

    def pixels(self, indices: Tensor, draws: Draws | None = None) -> Tensor:
        """Return augmented images, as `BatchPipeline.pixels`."""
        images = self._ahead_of_time(indices)
        if images is None:
            images = self._gather_rows(indices.cpu().numpy())
        return self._cut(images, draws)

    def in_order(self, batch_size: int, rows: slice | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield normalised images and labels in the split's order; arguments as in `BatchPipeline`."""
        parts = self._parts(batch_size, rows)
        ahead = _Ahead(self._pool(), self._gather_rows, np.arange(len(self)), parts)
        for part in parts:
            images = ahead.take(part)
            assert images is not None
            yield self.normalise(self._cut(images)), self.labels[part]

    def _take(self, split: Split) -> None:
        assert split.rows is not None
        pinned = self.labels.device.type == "cuda"  # copies from pinned memory are asynchronous
        # not a method: threads that refer to the pipeline would keep it alive
        self._gather_rows = partial(_gather, split.images, split.rows.numpy(), pinned=pinned)

    def _pool(self) -> ThreadPoolExecutor:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="images")
            weakref.finalize(self, self._threads.shutdown, wait=False, cancel_futures=True)
        return self._threads

    def _ahead_of_time(self, indices: Tensor) -> Tensor | None:
        order, planned = self._order, self._planned
        if order is None or planned is None or not indices.is_contiguous():
            return None
        if indices.untyped_storage().data_ptr() != order.untyped_storage().data_ptr():
            return None
        start = indices.storage_offset() - order.storage_offset()
        return planned.take(slice(start, start + len(indices)))

    def _cut(self, images: Tensor, draws: Draws | None = None) -> Tensor:
        device = self.labels.device
        self._lay_out(images.to(device, non_blocking=True))
        return super().pixels(torch.arange(len(images), device=device), draws)


class _Ahead:
    """Batches in a known order, a few of them prefetched."""

    def __init__(self, pool: ThreadPoolExecutor, gather: partial[Tensor], rows: Ints, parts: Iterable[slice]) -> None:
        self._pool, self._gather, self._rows = pool, gather, rows
        self._parts = iter(parts)
        self._waiting: deque[tuple[slice, Future[Tensor]]] = deque()
        for _ in range(_THREADS):
            self._submit()

    def take(self, wanted: slice) -> Tensor | None:
        """Return a batch and drop skipped ones before it; None if the batch was not announced or already taken."""
        while self._waiting and self._waiting[0][0].start < wanted.start:
            self._waiting.popleft()[1].cancel()
            self._submit()
        if not self._waiting or self._waiting[0][0] != wanted:
            return None
        _, batch = self._waiting.popleft()
        self._submit()
        return batch.result()

    def _submit(self) -> None:
        part = next(self._parts, None)
        if part is not None:
            self._waiting.append((part, self._pool.submit(self._gather, self._rows[part])))


def _gather(images: Tensor, rows: Ints, indices: Ints, *, pinned: bool = False) -> Tensor:
    """Copy images (B, C, H, W) from the file; numpy releases the interpreter lock meanwhile."""
    batch = torch.empty((len(indices), *images.shape[1:]), dtype=images.dtype, pin_memory=pinned)
    # "clip" writes directly into the batch; with "raise", numpy would make another copy
    np.take(images.numpy(), rows[indices], axis=0, out=batch.numpy(), mode="clip")
    return batch
