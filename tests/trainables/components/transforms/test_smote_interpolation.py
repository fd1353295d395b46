from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.trainables.components.transforms.conftest import Run
from trainables.components.batch import Batch
from trainables.components.transforms.class_neighbours import nearest_neighbours
from trainables.components.transforms.smote_interpolation import Smote
from trainables.data import Split

Pixels = np.ndarray


def _by_loops(images: Pixels, k: int) -> list[list[int]]:
    """Return the k nearest of every image, one pair at a time."""
    found = []
    for i, one in enumerate(images):
        distances = []
        for j, other in enumerate(images):
            if i != j:
                distances.append((float(np.sum((one.astype(np.float64) - other.astype(np.float64)) ** 2)), j))
        found.append([j for _, j in sorted(distances)[:k]])
    return found


def _on_segment(made: Pixels, start: Pixels, end: Pixels) -> float | None:
    """Return u in [0, 1] with made = start + u (end - start), or None."""
    way, gone = (end - start).ravel(), (made - start).ravel()
    u = float(way @ gone / max(way @ way, 1e-9))
    on_it = np.abs(start + u * (end - start) - made).max() < 1e-3 and -1e-5 <= u <= 1 + 1e-5
    return u if on_it else None


@pytest.mark.parametrize(("n", "k"), [(1, 5), (2, 5), (6, 5), (9, 3)])
def test_neighbours_are_the_nearest(n: int, k: int) -> None:
    images = torch.randint(256, (n, 2, 3, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(n))
    assert nearest_neighbours(images, k).tolist() == _by_loops(images.numpy(), k)


def test_chunks_change_no_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.randint(4, (50, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))  # many ties
    whole = nearest_neighbours(images, 7)
    monkeypatch.setattr("trainables.components.transforms.class_neighbours._ROWS", 8)
    assert torch.equal(nearest_neighbours(images, 7), whole)
    assert whole.tolist() == _by_loops(images.numpy(), 7)


def test_distances_of_bytes_do_not_wrap() -> None:
    images = torch.tensor([[0], [255], [100]], dtype=torch.uint8)  # as bytes 0 - 255 is 1
    assert nearest_neighbours(images, 1).tolist() == [[2], [2], [0]]


def _replaced(made: list[Batch], plain: list[Batch], rows: Tensor) -> list[tuple[int, Pixels]]:
    found, position = [], 0
    for one, other in zip(made, plain, strict=True):
        assert torch.equal(one.labels, other.labels)
        assert one.other_labels is None and one.share is None
        for new, old in zip(one.pixels, other.pixels, strict=True):
            if not torch.equal(new, old.float()):
                found.append((int(rows[position]), new.double().numpy()))
            position += 1
    return found


def test_made_images_lie_between_an_image_and_one_of_its_nearest_of_the_class(run: Run, split: Split) -> None:
    images, labels = split.images.double().numpy(), split.labels.numpy()
    steps, used = [], set()
    for seed in range(5):
        made, plain, rows = run(Smote(5), seed=seed, sampler="class-balanced")
        for row, new in _replaced(made, plain, rows):
            of_class = np.flatnonzero(labels == labels[row])
            nearest = of_class[_by_loops(images[of_class], 5)[list(of_class).index(row)]]
            hits = [(u, j) for j in nearest if (u := _on_segment(new, images[row], images[j])) is not None]
            assert hits, "not on a segment to one of the five nearest"
            steps.append(hits[0][0])
            used.add((row, hits[0][1]))
    assert len(steps) > 50
    assert min(steps) < 0.1 and max(steps) > 0.9
    assert len(used) > len({row for row, _ in used})  # an image has more than one neighbour


def test_images_are_replaced_as_often_as_their_class_is_rare(run: Run, split: Split) -> None:
    made, seen = torch.zeros(5), torch.zeros(5)
    for seed in range(40):
        batches, plain, rows = run(Smote(5), seed=seed, sampler="class-balanced")
        seen += split.labels[rows].bincount(minlength=5)
        for row, _ in _replaced(batches, plain, rows):
            made[split.labels[row]] += 1
    expected = 1 - split.labels.bincount() / 24
    shares = made / seen
    assert shares[0] == 0  # the largest class
    assert shares[4] == 0  # a class of one duplicates
    assert shares[1:4].tolist() == pytest.approx(expected[1:4].tolist(), abs=0.1)


def test_black_and_white_are_mixed_to_greys(run: Run, split: Split) -> None:
    split.images[split.labels == 3] = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
    made, plain, rows = run(Smote(1), sampler="class-balanced")
    found = _replaced(made, plain, rows)
    greys = [new for row, new in found if split.labels[row] == 3]
    assert greys
    assert all(np.ptp(new) < 1e-3 and new.min() >= 0 and new.max() <= 255 for new in greys)
    assert any(10 < new.mean() < 245 for new in greys)


def test_both_ends_are_cropped_and_flipped_alike(run: Run, split: Split) -> None:
    # rows and columns of its own brightness show where a crop began and whether it was flipped
    positions = (torch.arange(30).view(6, 5) + 1).to(torch.uint8)
    of_two = (split.labels == 3).nonzero().flatten().tolist()
    split.images[of_two[0]], split.images[of_two[1]] = positions, 8 * positions
    augmented = {"augmentation": "crop-flip", "padding": 2}
    made, plain, rows = run(Smote(5), sampler="class-balanced", **augmented)
    images = torch.nn.functional.pad(positions.double(), [2] * 4).numpy()
    windows = [images[i : i + 6, j : j + 5] for i in range(5) for j in range(5)]
    windows += [window[:, ::-1] for window in windows]
    found = [new for row, new in _replaced(made, plain, rows) if row in of_two]
    assert found
    for new in found:
        scales = [(new[0] * window).sum() / (window * window).sum() for window in windows]
        assert any(
            np.abs(new - scale * window).max() < 1e-3 and 1 - 1e-6 <= scale <= 8 + 1e-6
            for scale, window in zip(scales, windows, strict=True)
        )


def test_an_epoch_depends_on_its_generator_alone(run: Run) -> None:
    transform = Smote(3)
    first, other, again = (run(transform, seed=seed, sampler="class-balanced")[0] for seed in (0, 1, 0))
    assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(first, again, strict=True))
    assert any(not torch.equal(a.pixels, b.pixels) for a, b in zip(first, other, strict=True))


def test_a_batch_without_a_made_image_is_the_plain_one(run: Run, split: Split) -> None:
    split.labels[:] = torch.arange(45) % 5  # equal classes: nothing is made
    made, plain, _ = run(Smote(5), size=1)
    assert all(torch.equal(a.pixels, b.pixels.float()) for a, b in zip(made, plain, strict=True))
