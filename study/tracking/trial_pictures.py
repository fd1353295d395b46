"""MLflow artifacts from the records of a finished network: offsets, embedding, gallery, translations, logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from study.tracking.plots.embedding_plot import embedding_picture
from study.tracking.plots.mistake_gallery import mistake_gallery
from study.tracking.plots.offset_plot import offset_picture
from study.tracking.plots.translation_plot import translations_picture
from trainables.core.logit_file import LOGIT_FILE, has_logits
from trainables.core.trial_folder import ArrayFile, StoredJson, TrialFolder

Draw = Callable[[ArrayFile, Sequence[str], Sequence[int], str], bytes]

_PICTURES: dict[str, Draw] = {
    "embedding": embedding_picture,
    "mistakes": mistake_gallery,
    "translations": lambda arrays, names, _, caption: translations_picture(arrays, names, caption),
}


def write_pictures(files: TrialFolder, evaluation: StoredJson, title: str, folder: Path) -> None:
    """Write a trial's pictures, and copies of the files they are drawn from and of its logits, into a folder.

    Args:
        files: the trial's folder; what it lacks is left out.
        evaluation: names and training images of the classes, as the trial's folder stores them.
        title: the trial's name.
        folder: the output folder; must exist.
    """
    if (offsets := files.record("offsets")) is not None:
        (folder / "offsets.png").write_bytes(offset_picture(offsets, f"{title}, epoch {offsets['epoch']}"))
        _copy(files, "offsets.json", folder)
    for name, draw in _PICTURES.items():
        if (arrays := files.arrays(name)) is not None:
            caption = f"{title}, epoch {evaluation['epoch']}"
            picture = draw(arrays, evaluation["class_names"], evaluation["class_counts"], caption)
            (folder / f"{name}.png").write_bytes(picture)
            _copy(files, f"{name}.npz", folder)
    if has_logits(files.path):
        (folder / LOGIT_FILE).write_bytes((files.path / LOGIT_FILE).read_bytes())
    _copy(files, "artifact-errors.json", folder)


def _copy(files: TrialFolder, name: str, folder: Path) -> None:
    if (content := files.content(name)) is not None:
        (folder / name).write_bytes(content)
