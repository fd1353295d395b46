"""Pairs: drawn ones are what they are said to be, and LFW's format is read to the letter."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from trainables.core.errors import BadInput
from trainables.data.image_pairs import draw_pairs, read_pairs

LABELS = torch.tensor([1, 0, 2, 1, 0, 1, 2, 2, 1])
NAMES = ("Ann", "Bob", "Carol de Vries")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def labels(*counts: int) -> Tensor:
    every = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return every[torch.randperm(len(every), generator=seeded())]


def test_drawn_pairs_are_balanced_distinct_and_right() -> None:
    given = labels(1, 2, 0, 30, 60, 5)
    pairs = draw_pairs(given, 400, seeded())
    assert torch.equal(given[pairs.first] == given[pairs.second], pairs.same)
    assert not (pairs.first == pairs.second).any()
    assert len({(a, b) for a, b in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)}) == 400
    assert (pairs.first < pairs.second).all()  # no pair comes again the other way round
    for fold in range(10):
        assert pairs.same[pairs.folds == fold].tolist().count(True) == 20
        assert (pairs.folds == fold).sum() == 40


def test_classes_are_drawn_evenly_whatever_their_size() -> None:
    given = labels(300, 600, 3000)
    pairs = draw_pairs(given, 6000, seeded())
    for kind in (pairs.same, ~pairs.same):
        classes = given[torch.cat([pairs.first[kind], pairs.second[kind]])].bincount()
        assert (classes - 2000).abs().max() < 200


def test_a_seed_gives_the_same_pairs_and_another_gives_others() -> None:
    one, again, other = (draw_pairs(labels(20, 20), 100, seeded(seed)) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one.first, other.first)


def test_every_possible_pair_can_be_drawn() -> None:
    pairs = draw_pairs(labels(5, 5), 40, seeded())  # of one class there are just 20
    assert len(set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))) == 40


@pytest.mark.parametrize(
    ("counts", "count", "message"),
    [
        ((50, 50), 30, "multiple of 20, for 10 equal folds, got 30"),
        ((50, 50), 0, "multiple of 20"),
        ((5, 4), 40, "20 pairs of one class are requested, but 9 images form only 16"),
        ((90,), 20, "10 pairs of two classes are requested, but 90 images form only 0"),
        ((1,) * 30, 20, "10 pairs of one class are requested, but 30 images form only 0"),
    ],
)
def test_too_few_images_are_refused(counts: tuple[int, ...], count: int, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        draw_pairs(labels(*counts), count, seeded())


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_format_of_lfw(tmp_path: Path) -> None:
    text = "2\t2\nAnn\t1\t2\nBob\t4\t1\nAnn\t1\tBob\t2\nCarol de Vries\t3\tAnn\t2\n"
    text += "Carol de Vries\t1\t3\nBob\t2\t3\nBob\t1\tAnn\t1\nBob\t3\tCarol de Vries\t2\n"
    pairs = read_pairs(write(tmp_path / "pairs.txt", text + "\n"), LABELS, NAMES)
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == [
        *[(1, 4), (8, 0), (1, 3), (7, 4)],
        *[(2, 7), (3, 5), (0, 1), (5, 6)],
    ]
    assert pairs.same.tolist() == [True, True, False, False] * 2
    assert pairs.folds.tolist() == [0] * 4 + [1] * 4
    assert torch.equal(LABELS[pairs.first] == LABELS[pairs.second], pairs.same)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected the number of folds"),
        ("300\n", "line 1: expected the number of folds"),
        ("1 2\n", "line 1: expected the number of folds"),
        ("2 x\n", "line 1: expected the number of folds"),
        ("2 1\nAnn 1 2\n", "expected 2 folds of 1 and 1 lines after the first, got 1"),
        ("2 1\nAnn 1 2\nAnn 1 2\nAnn 1 2\nAnn 1 Bob 1\n", "line 3: expected 'name i name j' here, got 3 fields"),
        ("2 1\nAnn 1\nAnn 1 Bob 1\nAnn 1 2\nAnn 1 Bob 1\n", "line 2: expected 'name i j' here, got 2 fields"),
        ("2 1\nAnn 1 2\nAnn 1 Bob 1\nEve 1 2\nAnn 1 Bob 1\n", "line 4: the data set has no class 'Eve'"),
        (
            "2 1\nAnn 1 2\nAnn 1 Bob 1\nAnn 1 2\nAnn 1 Bob 5\n",
            "line 5: expected an image of 'Bob' from 1 to 4, got '5'",
        ),
        (
            "2 1\nAnn 0 2\nAnn 1 Bob 1\nAnn 1 2\nAnn 1 Bob 5\n",
            "line 2: expected an image of 'Ann' from 1 to 2, got '0'",
        ),
        ("2 1\nAnn 1 -2\nAnn 1 Bob 1\nAnn 1 2\nAnn 1 Bob 5\n", "line 2: expected an image of 'Ann' .* got '-2'"),
    ],
)
def test_what_is_not_the_format_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_pairs(write(tmp_path / "pairs.txt", text), LABELS, NAMES)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\xff")
    for name in ("none.txt", "bytes.txt"):
        with pytest.raises(BadInput, match=f"{name}: cannot be read"):
            read_pairs(tmp_path / name, LABELS, NAMES)
