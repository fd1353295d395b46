"""Listing of a data folder by `study datasets`."""

from __future__ import annotations

from pathlib import Path

import pytest

from study.cli.diagnostics import findings
from study.report.catalog_tables import dataset_entries
from tests.trainables.data.made_images import write_folder
from tests.trainables.data.written_sets import write_celeba, write_class_folders, write_lists, write_vector_folder


def test_every_kind_of_folder_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STUDY_DATA_DIR", raising=False)
    write_class_folders(tmp_path / "pets")
    write_lists(tmp_path / "places-lt", "Places_LT_")
    write_celeba(tmp_path / "celeba-5")
    write_vector_folder(tmp_path / "reuters")
    write_folder(tmp_path / "svhn", (2, 2), (1, 1))
    write_folder(tmp_path / "broken", (2, 2), (1, 1))
    (tmp_path / "broken" / "train.parquet").write_bytes(b"rubbish")
    (tmp_path / "notes").mkdir()
    (tmp_path / "train.txt").write_text("no data set")
    listed = {entry["name"]: entry["source"] for entry in dataset_entries(tmp_path)}
    assert {name: listed[name] for name in listed if str(tmp_path) in listed[name]} == {
        "svhn": f"Parquet images in {tmp_path}/svhn",
        "broken": f"Parquet, damaged in {tmp_path}/broken",
        "celeba-5": f"CelebA-5 in {tmp_path}/celeba-5",
        "pets": f"class folders in {tmp_path}/pets",
        "places-lt": f"list files in {tmp_path}/places-lt",
        "reuters": f"Parquet vectors in {tmp_path}/reuters",
    }
    assert listed["mnist"] == "downloaded when first used" and "notes" not in listed
    said = {finding.subject: finding for finding in findings(tmp_path, tmp_path)}["data"]
    assert said.good and "celeba-5, pets, places-lt, reuters, svhn" in said.text
