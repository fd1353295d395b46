"""AgeDB in its official layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainables.data.written_sets import write_image
from trainables.core.errors import BadInput
from trainables.data.sources.agedb import AgeDb, Face

FILES = ("10_Bob_70_m.png", "0_MariaCallas_35_f.png", "1_MariaCallas_65_f.png", "2_De_Sica_5_m.png")


def test_names_give_person_and_age(tmp_path: Path) -> None:
    for number, file in enumerate(FILES):
        write_image(tmp_path / file, number)
    (tmp_path / "readme.txt").write_text("")
    source = AgeDb("agedb", tmp_path)
    assert source.faces() == [
        Face("0_MariaCallas_35_f.png", "MariaCallas", 35),
        Face("10_Bob_70_m.png", "Bob", 70),
        Face("1_MariaCallas_65_f.png", "MariaCallas", 65),
        Face("2_De_Sica_5_m.png", "De_Sica", 5),
    ]
    read = source.read("test")
    assert read.class_names == ("Bob", "De_Sica", "MariaCallas")
    assert read.labels.tolist() == [2, 0, 2, 1]


def test_other_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no image"):
        AgeDb("agedb", tmp_path).faces()
    write_image(tmp_path / "maria.png", 0)
    with pytest.raises(BadInput, match=r"maria.png: expected the name <id>_<name>_<age>_<gender>\.jpg"):
        AgeDb("agedb", tmp_path).faces()
