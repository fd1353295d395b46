"""Pair lists of YouTube Faces and AgeDB-30, and pairs with an age gap."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trainables.core.errors import BadInput
from trainables.data.pair_lists import draw_age_pairs, pair_format, read_file_pairs, read_video_pairs
from trainables.data.sources.agedb import Face

VIDEOS = ("Ann/0", "Ann/2", "Bob/1")
HEADINGS = "split number, pair number, first name, second name, is same\n"
FACES = tuple(
    Face(f"{i}_{person}_{age}_f.jpg", person, age)
    for i, (person, age) in enumerate((p, a) for p in ("Ann", "Bob", "Cleo") for a in range(20, 61))
)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "pairs.txt"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        ("10 300", "lfw"),
        (HEADINGS, "ytf"),
        ("1, 1, Ann/0, Ann/2, 1", "ytf"),
        ("0_Ann_35_f.jpg 1_Ann_65_f.jpg 1", "agedb"),
        ("", "lfw"),
    ],
)
def test_formats_are_told_by_the_first_line(tmp_path: Path, first: str, kind: str) -> None:
    assert pair_format(written(tmp_path, f"{first}\nmore\n")) == kind


def test_the_official_lines_of_youtube_faces(tmp_path: Path) -> None:
    text = HEADINGS + "1, 1, Ann/0, Ann/2, 1\n1, 2, Ann/0, Bob/1, 0\n2, 1, Ann/2, Ann/0, 1\n2, 2, Bob/1, Ann/2, 0\n"
    for given in (text, text.removeprefix(HEADINGS), text.replace(", ", ",")):
        pairs = read_video_pairs(written(tmp_path, given), VIDEOS)
        assert pairs.first.tolist() == [0, 0, 1, 2] and pairs.second.tolist() == [1, 2, 0, 1]
        assert pairs.same.tolist() == [True, False, True, False] and pairs.folds.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEADINGS + "1, 1, Ann/0, Eve/1, 1\n", "line 2: the data set has no video 'Eve/1'"),
        ("1, 1, Ann/0, Bob/1\n", "line 1: expected 'split, pair, first, second, 0 or 1'"),
        ("1, 1, Ann/0, Bob/1, 2\n", "line 1: expected 'split, pair, first, second, 0 or 1'"),
        ("1, 1, Ann/0, Ann/2, 1\n", "expected splits 1, 2 and so on, at least two, got 1"),
        ("1, 1, Ann/0, Ann/2, 1\n3, 1, Ann/0, Ann/2, 1\n", "at least two, got 1, 3"),
        (HEADINGS, "at least two, got none"),
    ],
)
def test_other_lines_of_videos_are_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInput, match=f"pairs .*pairs.txt.*{said}"):
        read_video_pairs(written(tmp_path, text), VIDEOS)


def test_the_lines_of_agedb(tmp_path: Path) -> None:
    alike = [f"{FACES[i].file} {FACES[i + 30].file} 1" for i in range(10)]
    apart = [f"{FACES[i].file} {FACES[41 + i + 30].file} {flag}" for i, flag in enumerate([0, -1] * 5)]
    lines = [line for both in zip(alike, apart, strict=True) for line in both]
    pairs = read_file_pairs(written(tmp_path, "\n".join(lines)), FACES)
    assert pairs.same.tolist() == [True, False] * 10
    assert pairs.folds.tolist() == [i // 2 for i in range(20)]
    assert [(FACES[a].file, FACES[b].file) for a, b in zip(pairs.first, pairs.second, strict=True)] == [
        tuple(line.split()[:2]) for line in lines
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0_Ann_20_f.jpg 1_Ann_21_f.jpg 0", "the flag 0 means two persons, but the names are Ann and Ann"),
        ("0_Ann_20_f.jpg 50_Bob_29_f.jpg 1", "the flag 1 means the same person, but the names are Ann and Bob"),
        ("0_Ann_20_f.jpg 999_Ann_29_f.jpg 1", "the data set has no image '999_Ann_29_f.jpg'"),
        ("0_Ann_20_f.jpg 1_Ann_21_f.jpg", "expected 'file file flag' with flag 1"),
    ],
)
def test_other_lines_of_ages_are_refused(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(BadInput, match=f"line 1: {said}"):
        read_file_pairs(written(tmp_path, f"{line}\n" * 10), FACES)
    with pytest.raises(BadInput, match="expected a multiple of 10 pairs, for 10 folds, got 9"):
        read_file_pairs(written(tmp_path, f"{line}\n" * 9), FACES)


def test_drawn_pairs_have_the_age_gap_and_are_balanced() -> None:
    pairs = draw_age_pairs(FACES, 60, 30, torch.Generator().manual_seed(0))
    rows = list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert len(set(rows)) == 60
    assert all(FACES[b].age - FACES[a].age == 30 for a, b in rows)
    assert [FACES[a].person == FACES[b].person for a, b in rows] == pairs.same.tolist()
    assert all(int(pairs.same[pairs.folds == fold].sum()) == 3 for fold in range(10))
    assert pairs.folds.bincount().tolist() == [6] * 10
    again = draw_age_pairs(FACES, 60, 30, torch.Generator().manual_seed(0))
    assert torch.equal(pairs.first, again.first) and torch.equal(pairs.second, again.second)


def test_too_many_pairs_with_a_gap_are_refused() -> None:
    generator = torch.Generator().manual_seed(0)
    # 11 starting ages per person
    with pytest.raises(BadInput, match=r"40 pairs of one person with an age gap of 30 years are requested.*only 33"):
        draw_age_pairs(FACES, 80, 30, generator)
    with pytest.raises(BadInput, match="must be a multiple of 20, for 10 equal folds, got 30"):
        draw_age_pairs(FACES, 30, 30, generator)
