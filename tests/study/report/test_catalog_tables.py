"""What `study datasets`, `study models` and `study methods NAME` list."""

from __future__ import annotations

from pathlib import Path

import pytest

from study.cli.diagnostics import findings
from study.report.catalog_tables import dataset_entries, model_entries
from study.report.method_page import method_page, page_lines, preset_rows
from tests.trainables.data.made_images import write_folder
from tests.trainables.data.written_sets import write_celeba, write_class_folders, write_lists, write_vector_folder
from trainables.backbones import MODELS
from trainables.core.errors import BadInput
from trainables.methods.registry import METHODS

ROOT = Path(__file__).parents[3]


def test_every_network_is_listed_with_its_input() -> None:
    listed = {entry["name"]: entry for entry in model_entries()}
    assert tuple(listed) == MODELS
    assert listed["mlp"]["input"] == "square images from 8 px, vectors"
    assert listed["resnet32"]["parameters"] == 463_504 and "He et al." in listed["resnet32"]["paper"]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_page_that_names_its_params(name: str) -> None:
    page = method_page(name)
    text = (ROOT / page["page"]).read_text(encoding="utf-8")
    assert f"`{name}`" in text
    for entry in page["hyperparameters"]:
        assert f"`{entry['param']}`" in text
        assert entry["allowed"]
    assert [preset for preset, _ in preset_rows(page)] == ["recommended", *METHODS[name].presets]
    assert page["equation"] in "\n".join(page_lines(page))


def test_a_method_is_shown_with_ranges_defaults_and_stages() -> None:
    page = method_page("ldam-drw")
    margin = next(entry for entry in page["hyperparameters"] if entry["param"] == "max_margin")
    assert margin == {"param": "max_margin", "default": 0.5, "allowed": "> 0, <= 2", "searched": "0.1 to 1, linear"}
    assert "like ldam up to 80% of the epochs, then the method's own" in "\n".join(page_lines(page))
    with pytest.raises(BadInput, match="did you mean 'ldam'"):
        method_page("ldma")


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
