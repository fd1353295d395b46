"""Hugging Face data sets: found, converted once, and read without `datasets`; the library is the real one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainables.core.config import DataConfig
from trainables.core.errors import BadInput
from trainables.data import prepare
from trainables.data.sources.hf_folder import FOLDER, converted_sets
from trainables.data.sources.source_lookup import find_source, is_here
from trainables.testing import check_dataset

NAMES = ["cat, domestic", "dog"]


@pytest.fixture(scope="module")
def hf(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The library, offline, with a cache of its own; it reads its environment when it is imported."""
    datasets = pytest.importorskip("datasets")
    from huggingface_hub import constants

    home = tmp_path_factory.mktemp("hf-home")
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in (
            (constants, "HF_HUB_CACHE", str(home / "hub")),
            (constants, "HF_HUB_OFFLINE", True),
            (datasets.config, "HF_HUB_OFFLINE", True),
            (datasets.config, "HF_CACHE_HOME", str(home)),
            (datasets.config, "HF_DATASETS_CACHE", home / "datasets"),
            (datasets.config, "HF_MODULES_CACHE", str(home / "modules")),
        ):
            patch.setattr(module, name, value)
        datasets.disable_progress_bars()
        yield datasets


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def images(first: int, count: int = 10) -> list[Image.Image]:
    return [Image.fromarray(np.full((12, 12, 3), first + i, np.uint8)) for i in range(count)]


def made(hf: Any, first: int, labels: list[int] | None = None, count: int = 10, **columns: Any) -> Any:
    features = {"img": hf.Image(), "label": hf.ClassLabel(names=NAMES), **{c: f for c, (f, _) in columns.items()}}
    rows = {"img": images(first, count), "label": labels or [i % 2 for i in range(count)]}
    rows |= {column: values for column, (_, values) in columns.items()}
    return hf.Dataset.from_dict(rows, features=hf.Features(features))


def saved(hf: Any, folder: Path, **splits: Any) -> str:
    hf.DatasetDict(**splits).save_to_disk(str(folder))
    return f"hf:{folder}"


def config(name: str, root: Path, **changes: Any) -> DataConfig:
    return DataConfig.model_validate(
        {"dataset": name, "data_dir": str(root), "profile": {"kind": "natural"}, **changes}
    )


def values(name: str, root: Path, split: Any) -> list[int]:
    return sorted(find_source(config(name, root)).read(split).images[:, 0, 0, 0].tolist())


def refused(name: str, root: Path) -> str:
    with pytest.raises(BadInput) as caught:
        find_source(config(name, root))
    return str(caught.value)


def test_a_saved_data_set_is_converted_once(
    hf: Any, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = saved(hf, tmp_path / "saved", train=made(hf, 0), test=made(hf, 100), validation=made(hf, 200))
    assert not is_here(config(name, root))
    summary = prepare(config(name, root, protocol="published"))
    assert summary.class_names == tuple(NAMES) and summary.class_counts == (5, 5) and summary.validation_size == 10
    assert summary.other_test is None
    said = capsys.readouterr().err
    assert said.count("converted images of train 10, test 10, validation 10 (columns img and label, 2 classes)") == 1
    assert values(name, root, "train") == [*range(10)] and values(name, root, "test") == [*range(100, 110)]
    check_dataset(name, root)
    assert is_here(config(name, root)) and list(converted_sets(root)) == [name]
    # what a worker on another node has: the data folder, neither `datasets` nor the saved folder
    shutil.rmtree(tmp_path / "saved")
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert prepare(config(name, root, protocol="published")) == summary


def test_a_changed_folder_is_converted_again(hf: Any, tmp_path: Path, root: Path) -> None:
    name = saved(hf, tmp_path / "saved", train=made(hf, 0), test=made(hf, 100))
    assert values(name, root, "train") == [*range(10)]
    shutil.rmtree(tmp_path / "saved")
    saved(hf, tmp_path / "saved", train=made(hf, 20), test=made(hf, 100))
    assert values(name, root, "train") == [*range(20, 30)]


def test_a_folder_of_the_data_folder(hf: Any, root: Path) -> None:
    saved(hf, root / "owner" / "pets", train=made(hf, 0), test=made(hf, 100))
    assert values("hf:owner/pets", root, "test") == [*range(100, 110)]
    (root / "tables").mkdir()
    made(hf, 0).to_parquet(str(root / "tables" / "train-00000-of-00001.parquet"))
    made(hf, 50).to_parquet(str(root / "tables" / "test-00000-of-00001.parquet"))
    assert values("hf:tables", root, "test") == [*range(50, 60)]


def test_a_saved_folder_without_the_prefix_is_told_how(hf: Any, root: Path) -> None:
    saved(hf, root / "pets", train=made(hf, 0), test=made(hf, 100))
    assert refused("pets", root) == f"{root}/pets was saved by `datasets`: name it as hf:pets (docs/data.md)"


def test_the_local_cache_of_the_hub(hf: Any, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = Path(hf.config.HF_CACHE_HOME) / "hub" / "datasets--owner--pets"
    snapshot = repository / "snapshots" / commit
    (snapshot / "data").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    made(hf, 0).to_parquet(str(snapshot / "data" / "train-00000-of-00001.parquet"))
    made(hf, 50).to_parquet(str(snapshot / "data" / "validation-00000-of-00001.parquet"))
    (snapshot / "pets.py").write_text("raise SystemExit('code of a data set was run')")
    assert values("hf:owner/pets", root, "test") == [*range(50, 60)]
    assert "fetching" in capsys.readouterr().err
    other = prepare(config("hf:owner/pets", root)).other_test
    assert other.said == "no test split of its own: its split validation serves as test split"
    (folder,) = (root / FOLDER).glob("pets-*")
    assert json.loads((folder / "source.json").read_text())["revision"] == commit
    assert values("hf:pets", root, "train") == [*range(10)]  # an old name, without its owner
    said = refused("hf:owner/gone", root)
    assert "hf:owner/gone" in said and "Ways out: (1) run again with a network" in said and "save_to_disk" in said


def test_the_local_cache_serves_when_the_network_fails(hf: Any, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class ConnectError(Exception):
        """As the library's client has it: no `ConnectionError` and no `OSError`."""

    snapshot = Path(hf.config.HF_CACHE_HOME) / "hub" / "datasets--owner--shapes" / "snapshots" / ("ab" * 20)
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text(snapshot.name)
    for split, first in (("train", 0), ("test", 70)):
        made(hf, first).to_parquet(str(snapshot / f"{split}-00000-of-00001.parquet"))
    whole = hf.load_dataset_builder

    def unreachable(path: str, *given: Any, **named: Any) -> Any:
        if path == "owner/shapes":
            raise ConnectError("[Errno -2] Name or service not known")
        return whole(path, *given, **named)

    monkeypatch.setattr(hf, "load_dataset_builder", unreachable)
    assert values("hf:owner/shapes", root, "test") == [*range(70, 80)]


def test_one_split_alone_is_drawn_from(hf: Any, tmp_path: Path, root: Path) -> None:
    made(hf, 0, count=40).save_to_disk(str(tmp_path / "one"))
    source = find_source(config(f"hf:{tmp_path / 'one'}", root))
    assert len(source.read("test").labels) == 8 and len(source.read("train").labels) == 32
    assert prepare(config(f"hf:{tmp_path / 'one'}", root)).other_test.recorded.startswith("drawn: 20 %")


def test_a_test_split_without_labels_is_left_out(hf: Any, tmp_path: Path, root: Path) -> None:
    secret = made(hf, 100, labels=[-1] * 10)
    name = saved(hf, tmp_path / "saved", train=made(hf, 0), validation=made(hf, 50), test=secret)
    assert values(name, root, "test") == [*range(50, 60)]
    partly = saved(hf, tmp_path / "partly", train=made(hf, 0, labels=[0, 1, -1, *[1] * 7]), test=made(hf, 100))
    assert "row 2 of train (counted from 0) has no label" in refused(partly, root)
    assert not list((root / FOLDER).glob(".partly*.partial"))


def test_columns_are_chosen_by_name_where_there_are_several(hf: Any, tmp_path: Path, root: Path) -> None:
    breed = (hf.Value("string"), ["tabby", "pug"] * 5)
    size = (hf.ClassLabel(names=["s", "m", "l"]), [2, 1, 0, 0, 0] * 2)
    name = saved(
        hf, tmp_path / "s", train=made(hf, 0, breed=breed, size=size), test=made(hf, 100, breed=breed, size=size)
    )
    said = refused(name, root)
    assert (
        "has 2 columns of class labels (label, size); choose with hf:" in said and "?image=COLUMN&label=COLUMN" in said
    )
    assert "Columns: img: Image, label: ClassLabel, breed: Value (string), size: ClassLabel" in said
    assert find_source(config(f"{name}?label=size", root)).read("train").class_names == ("s", "m", "l")
    read = find_source(config(f"{name}?label=breed", root)).read("train")
    assert read.class_names == ("pug", "tabby") and read.labels.tolist() == [1, 0] * 5
    assert "has no column 'breeds'" in refused(f"{name}?label=breeds", root)
    assert "the column 'breed' holds no images" in refused(f"{name}?image=breed&label=size", root)


def test_splits_are_chosen_by_name(hf: Any, tmp_path: Path, root: Path) -> None:
    name = saved(hf, tmp_path / "saved", fold1=made(hf, 0), fold2=made(hf, 100))
    assert "has no split train; splits: fold1, fold2. Choose with hf:" in refused(name, root)
    assert values(f"{name}?train=fold2&test=fold1", root, "train") == [*range(100, 110)]
    assert "has no split 'fold3'" in refused(f"{name}?train=fold3", root)


def test_other_formats_become_png_without_loss(hf: Any, tmp_path: Path, root: Path) -> None:
    (tmp_path / "bmp").mkdir()
    for i, image in enumerate(images(0)):
        image.save(tmp_path / "bmp" / f"{i}.bmp")
    files = [str(tmp_path / "bmp" / f"{i}.bmp") for i in range(10)]
    features = hf.Features({"img": hf.Image(), "label": hf.ClassLabel(names=NAMES)})
    split = hf.Dataset.from_dict({"img": files, "label": [0, 1] * 5}, features=features)
    name = saved(hf, tmp_path / "saved", train=split, test=split)  # save_to_disk embeds the files
    assert values(name, root, "train") == [*range(10)]


def test_a_table_must_not_fetch_files_from_elsewhere(hf: Any, tmp_path: Path, root: Path) -> None:
    private = tmp_path / "private.png"
    images(7)[0].save(private)
    features = hf.Features(
        {"img": {"bytes": hf.Value("binary"), "path": hf.Value("string")}, "label": hf.Value("int64")}
    )
    rows = hf.Dataset.from_dict(
        {"img": [{"bytes": None, "path": str(private)}] * 4, "label": [0, 1] * 2}, features=features
    ).cast(hf.Features({"img": hf.Image(decode=False), "label": hf.ClassLabel(names=NAMES)}))
    (root / "evil").mkdir()
    for split in ("train", "test"):
        rows.to_parquet(str(root / "evil" / f"{split}-00000-of-00001.parquet"))
    if "outside of the data set" not in (said := refused("hf:evil", root)):
        pytest.fail(said)


def test_files_of_other_kinds_are_refused(hf: Any, root: Path) -> None:
    (root / "texts").mkdir()
    (root / "texts" / "train.csv").write_text("a,b\n1,2\n")
    assert "is of files of the kind csv; read are arrow, cache, imagefolder, parquet" in refused("hf:texts", root)


def test_without_the_package(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    said = refused("hf:owner/name", root)
    assert said.startswith("data set 'hf:owner/name' needs the package `datasets`: pip install 'longtail-study[hf]'")


def test_no_such_folder(root: Path) -> None:
    assert refused("hf:/nowhere/at/all", root) == "data set 'hf:/nowhere/at/all': there is no folder /nowhere/at/all"


def test_the_command_imports_nothing_of_it() -> None:
    code = "import sys, study.cli.app, trainables.data.sources.source_lookup; print('datasets' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
