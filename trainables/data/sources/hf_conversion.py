"""Conversion of a Hugging Face data set to Parquet files; the only place that imports `datasets`.

No code of a data set is run: `datasets` from version 4 on knows no loading scripts, and only files of images and tables
are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from trainables.core.errors import BadInput
from trainables.core.files import read_regular
from trainables.core.hf_name import HfName
from trainables.data.sources.parquet_folder import UNSPLIT
from trainables.data.sources.parquet_writing import Rows, write_split

HF_MISSING = "needs the package `datasets`: pip install 'longtail-study[hf]'"
_ON_A_NODE = "On a cluster only the machine that starts the study needs it, with a --data-dir that all nodes see"

_READERS = ("arrow", "cache", "imagefolder", "parquet")
"""Kinds of files that are read; others of `datasets` unpickle, or hold no images."""
_REWRITTEN = ("WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000")
"""Formats of Pillow that become PNG."""
_VALIDATION = ("validation", "valid", "val", "dev")
_ROWS_AT_A_TIME = 512
Say = Callable[[str], None]


def convert(name: HfName, local: Path | None, target: Path, say: Say) -> dict[str, Any]:
    """Write ``train.parquet`` with ``test.parquet``, and perhaps ``validation.parquet``; or ``all.parquet``.

    Args:
        name: the data set.
        local: its folder, if it is one: saved by `save_to_disk`, or of files; None takes the Hub or its local cache.
        target: an empty folder.
        say: receives a line of progress.

    Returns:
        What is known of it: ``splits``, ``columns``, ``revision``; ``test``, if another split serves as test split.

    Raises:
        BadInput: as `hf_source`.
    """
    try:
        import datasets
    except ImportError as error:
        raise BadInput(f"data set '{name.written}' {HF_MISSING} ({error}). {_ON_A_NODE}") from None
    splits, revision = _opened(datasets, name, local, say)
    first = next(iter(splits.values()))
    image, label = _columns(datasets, name, first.features)
    labelled = {split: rows for split, rows in splits.items() if _has_labels(rows, label)}
    chosen = _splits(name, labelled, [split for split in splits if split not in labelled])
    names, number = _classes(datasets, name, [labelled[split] for split in chosen.values()], label)
    roots = [Path(datasets.config.HF_CACHE_HOME), Path(datasets.config.HF_DATASETS_CACHE), _hub_cache()]
    roots = [root.resolve() for root in (*roots, *([] if local is None else [local]))]
    counts = {}
    for file, split in chosen.items():
        rows = labelled[split].select_columns([image, label]).cast_column(image, datasets.Image(decode=False))
        encoded = partial(_encoded, roots=roots)
        counts[split] = write_split(target / file, _batches(name, split, rows, image, label, number, encoded), names)
    said = ", ".join(f"{split} {count:,}" for split, count in counts.items())
    say(f"converted images of {said} (columns {image} and {label}, {len(names)} classes)")
    test = chosen.get("test.parquet")
    return {
        "splits": {file: split for file, split in chosen.items()},
        "columns": {"image": image, "label": label},
        "revision": revision,
        **({"test": test} if test is not None and test != "test" and "test" not in name.options else {}),
    }


def _opened(datasets: Any, name: HfName, local: Path | None, say: Say) -> tuple[Mapping[str, Any], str | None]:
    """Return the splits and the revision of a data set; downloads it if it has to."""
    if local is not None and any((local / file).is_file() for file in ("dataset_dict.json", "state.json")):
        try:
            found = datasets.load_from_disk(str(local))
        except Exception as error:
            raise BadInput(f"data set '{name.written}': {local} cannot be read ({_reason(error)})") from error
        return (found if isinstance(found, Mapping) else {"train": found}), None
    try:
        builder, revision = _builder(datasets, name, local)
        reader = type(builder).__module__.rpartition(".")[2]
        if reader not in _READERS:
            raise BadInput(
                f"data set '{name.written}' is of files of the kind {reader}; read are {', '.join(_READERS)}. Load it "
                f"with `datasets`, call save_to_disk(FOLDER) and name it as hf:FOLDER"
            )
        if local is None and not Path(builder.cache_dir).is_dir():
            size = builder.info.download_size
            much = "data whose size is not stated" if size is None else f"{size / 1e6:,.1f} MB"
            say(f"fetching {much} from the Hugging Face Hub or its local cache")
        builder.download_and_prepare()
        return builder.as_dataset(), revision
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(_ways_out(datasets, name, local, error)) from error


def _builder(datasets: Any, name: HfName, local: Path | None) -> tuple[Any, str | None]:
    if local is not None:
        return datasets.load_dataset_builder(str(local), name.configuration), None
    revision = name.options.get("revision")
    try:
        builder = datasets.load_dataset_builder(name.repository, name.configuration, revision=revision)
        return builder, str(builder.hash)
    except ValueError:  # an unknown configuration
        raise
    except Exception:  # the Hub's client has errors of its own beside ConnectionError
        snapshot = _snapshot(name, revision)
        if snapshot is None:
            raise
        return datasets.load_dataset_builder(str(snapshot), name.configuration), snapshot.name


def _hub_cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _snapshot(name: HfName, revision: str | None) -> Path | None:
    """Return the files of a data set in the Hub's local cache, None if they are not there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    repository = name.repository
    if "/" not in repository:  # an old name without an owner; the Hub's cache knows the whole one
        cached = sorted(_hub_cache().glob(f"datasets--*--{repository}"))
        if len(cached) == 1:
            repository = cached[0].name.removeprefix("datasets--").replace("--", "/", 1)
    try:
        found = snapshot_download(repository, repo_type="dataset", revision=revision, local_files_only=True)
    except (LocalEntryNotFoundError, FileNotFoundError):
        return None
    return Path(found)


def _ways_out(datasets: Any, name: HfName, local: Path | None, error: Exception) -> str:
    start = f"data set '{name.written}' cannot be had ({_reason(error)})"
    if "Config" in str(error) and "available" in str(error).lower():
        return f"{start}. Name a configuration: hf:{name.repository}@CONFIGURATION"
    if local is not None:
        return f"{start}: {local} must be saved by save_to_disk, or hold Parquet files or images"
    scripts = "scripts are no longer supported" in str(error)
    if scripts and "revision" not in name.options:
        return f"{start}. The Hub's own Parquet form may be had: hf:{name.repository}?revision=refs/convert/parquet"
    return (
        f"{start}. Ways out: (1) run again with a network; (2) download it elsewhere and copy the cache, HF_HOME; "
        f"(3) call save_to_disk(FOLDER) elsewhere and name the copied folder as hf:FOLDER"
    )


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"


def _columns(datasets: Any, name: HfName, features: Mapping[str, Any]) -> tuple[str, str]:
    """Return the columns of images and labels.

    Raises:
        BadInput: there is none or more than one of a kind and the name does not say which.
    """
    listed = ", ".join(f"{column}: {_kind(feature)}" for column, feature in features.items())
    choose = f"choose with hf:{name.repository}?image=COLUMN&label=COLUMN. Columns: {listed}"
    chosen = []
    for option, kind, said in (
        ("image", datasets.Image, "of images"),
        ("label", datasets.ClassLabel, "of class labels"),
    ):
        given = name.options.get(option)
        fitting = [column for column, feature in features.items() if isinstance(feature, kind)]
        if given is not None and given not in features:
            raise BadInput(f"data set '{name.written}' has no column '{given}'; {choose}")
        if given is not None and option == "image" and given not in fitting:
            raise BadInput(f"data set '{name.written}': the column '{given}' holds no images; {choose}")
        if given is None and len(fitting) != 1:
            found = f"has {len(fitting)} columns {said} ({', '.join(fitting)})" if fitting else f"has no column {said}"
            raise BadInput(f"data set '{name.written}' {found}; {choose}")
        chosen.append(fitting[0] if given is None else given)
    return chosen[0], chosen[1]


def _kind(feature: Any) -> str:
    dtype = getattr(feature, "dtype", None)
    kind = type(feature).__name__
    return f"{kind} ({dtype})" if kind == "Value" and dtype else kind


def _has_labels(rows: Any, label: str) -> bool:
    """Return False for a split whose labels are kept secret: all of them are -1 or null."""
    if label not in rows.column_names or not len(rows):
        return False
    return any(value is not None and value != -1 for value in _values(rows, label))


def _splits(name: HfName, labelled: Mapping[str, Any], unlabelled: list[str]) -> dict[str, str]:
    """Return file -> split.

    Raises:
        BadInput: the splits that the data set has cannot be told apart.
    """
    given = {split: name.options[split] for split in ("train", "test", "validation") if split in name.options}
    secret = f" ({', '.join(unlabelled)}: no labels)" if unlabelled else ""
    listed = f"{', '.join(labelled) or 'none'}{secret}"
    for split in given.values():
        if split not in labelled:
            raise BadInput(f"data set '{name.written}' has no split '{split}' with labels; splits: {listed}")
    validation = given.get("validation") or next((each for each in _VALIDATION if each in labelled), None)
    train = given.get("train") or ("train" if "train" in labelled else None)
    test = given.get("test") or ("test" if "test" in labelled else None)
    if train is None and len(labelled) == 1:
        return {UNSPLIT: next(iter(labelled))}
    if train is None:
        raise BadInput(
            f"data set '{name.written}' has no split train; splits: {listed}. Choose with "
            f"hf:{name.repository}?train=SPLIT&test=SPLIT"
        )
    if test is None:
        return {UNSPLIT: train} if validation is None else {"train.parquet": train, "test.parquet": validation}
    own = {} if validation in (None, test, train) else {"validation.parquet": str(validation)}
    return {"train.parquet": train, "test.parquet": test, **own}


def _classes(
    datasets: Any, name: HfName, splits: list[Any], label: str
) -> tuple[list[str], Callable[[Any], int | None]]:
    """Return the class names, and the function from a value of the label column to a label."""
    feature = splits[0].features[label]
    if isinstance(feature, datasets.ClassLabel):
        return list(feature.names), lambda value: value if value is not None and value >= 0 else None
    values = sorted({value for rows in splits for value in _values(rows, label) if value is not None})
    if not values or not all(isinstance(value, int | str) and not isinstance(value, bool) for value in values):
        raise BadInput(
            f"data set '{name.written}': labels must be class labels, whole numbers or texts, got the column '{label}' "
            f"of {_kind(feature)}"
        )
    places = {value: place for place, value in enumerate(values)}
    return [str(value) for value in values], places.get


def _values(rows: Any, column: str) -> list[Any]:
    return list(rows.with_format(None).select_columns([column])[:][column])


def _batches(
    name: HfName,
    split: str,
    rows: Any,
    image: str,
    label: str,
    number: Callable[[Any], int | None],
    encoded: Callable[[Any], bytes],
) -> Iterator[Rows]:
    done = 0
    for batch in rows.with_format(None).iter(_ROWS_AT_A_TIME):
        labels = [number(value) for value in batch[label]]
        if None in labels:
            row = done + labels.index(None)
            raise BadInput(f"data set '{name.written}': row {row} of {split} (counted from 0) has no label")
        images = []
        for place, cell in enumerate(batch[image], start=done):
            try:
                images.append(encoded(cell))
            except Exception as error:
                raise BadInput(
                    f"data set '{name.written}': row {place} of {split} (counted from 0): the image cannot be read "
                    f"({_reason(error)})"
                ) from error
        done += len(images)
        yield images, [int(value) for value in labels if value is not None]


def _encoded(cell: Mapping[str, Any] | None, roots: Sequence[Path]) -> bytes:
    """Return an image as PNG or JPEG; other formats become PNG.

    A table may name files in place of holding them. Only those below ``roots`` are read: a table of others must not
    fetch this user's own pictures.
    """
    if cell is None:
        raise ValueError("it is null")
    content = cell.get("bytes")
    if content is None:
        file = Path(str(cell["path"])).resolve()
        if not any(file.is_relative_to(root) for root in roots):
            raise ValueError(f"it names {file}, which is outside of the data set")
        content = read_regular(file)
    if content.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        return bytes(content)
    from io import BytesIO

    import numpy as np
    from PIL import Image

    from trainables.data.sources.parquet_writing import png

    with Image.open(BytesIO(content), formats=_REWRITTEN) as opened:
        return png(np.asarray(opened.convert("L" if opened.mode in ("1", "L", "LA") else "RGB")))
