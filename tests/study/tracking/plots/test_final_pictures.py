"""Pictures of a finished network: offsets, embedding, gallery of mistakes."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from study.tracking.plots.embedding_plot import embedding_figure, embedding_picture
from study.tracking.plots.mistake_gallery import mistake_gallery
from study.tracking.plots.offset_plot import offset_picture
from trainables.core.trial_folder import ArrayFile


def open_png(content: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(content))
    assert picture.format == "PNG"
    return picture.convert("RGB")


def has_colour(content: bytes, colour: str) -> bool:
    wanted = np.round(np.array(to_rgb(colour)) * 255)
    return bool((np.asarray(open_png(content)) == wanted).all(axis=2).any())


@pytest.mark.parametrize("classes", [2, 10, 21, 1000])
def test_offsets_of_every_number_of_classes_are_drawn(classes: int) -> None:
    values = np.linspace(1, -1, classes).tolist()
    offsets: dict[str, Any] = {
        "class_names": [f"class {k} & $" for k in range(classes)],
        "class_counts": list(range(classes, 0, -1)),
        "log_prior": values,
        "trained": values,
        "estimated": None,
        "empirical": values,
    }
    wide = offset_picture(offsets, "a $ caption")
    assert open_png(wide).size == (1320, 380) and not has_colour(wide, "#D55E00")
    narrow = offset_picture({**offsets, "trained": None, "estimated": values[::-1]}, "a caption")
    assert open_png(narrow).size == (880, 380) and has_colour(narrow, "#D55E00")


@pytest.mark.parametrize("panels", [("tsne",), ("tsne", "umap"), ("features",)])
@pytest.mark.parametrize("classes", [2, 15, 100])
def test_embeddings_are_drawn_with_a_panel_for_each(panels: tuple[str, ...], classes: int) -> None:
    labels = np.repeat(np.arange(min(classes, 20)), 5)
    arrays: ArrayFile = {name: np.random.default_rng(0).normal(size=(len(labels), 2)) for name in panels}
    arrays |= {"labels": labels, "of_test": np.array(True)}
    names, counts = [f"class {k} & $" for k in range(classes)], list(range(classes, 0, -1))
    picture = open_png(embedding_picture(arrays, names, counts, "a caption"))
    assert picture.size == (460 * len(panels) + 200, 500)
    assert len(picture.getcolors(1 << 20) or []) > 20


@pytest.mark.parametrize("of_test", [False, True])
def test_the_title_says_which_images_are_shown(monkeypatch: pytest.MonkeyPatch, of_test: bool) -> None:
    titles: list[str] = []

    def noted(*given: Any, title: str, **more: Any) -> Any:
        titles.append(title)
        return embedding_figure(*given, title=title, **more)

    monkeypatch.setattr("study.tracking.plots.embedding_plot.embedding_figure", noted)
    arrays = {"tsne": np.eye(6, 2), "labels": np.repeat([0, 7], 3), "of_test": np.array(of_test)}
    embedding_picture(arrays, list("abcdefgh"), [1] * 8, "a trial")
    split = "test" if of_test else "validation"
    assert titles == [f"a trial\n6 {split} images, 3 of each class, 2 of 8 classes"]


def test_the_legend_goes_from_frequent_to_rare() -> None:
    figure = embedding_figure({"t-SNE": np.eye(4, 2)}, np.array([0, 1, 1, 2]), {1: "b", 2: "c", 0: "a"}, title="t")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["b", "c", "a"]


def gallery(channels: int) -> dict[str, Any]:
    images = np.zeros((3, channels, 8, 6), dtype=np.uint8)
    images[0, 0], images[1, -1], images[2] = 250, 240, 99
    return {
        "images": images,
        "labels": np.array([1, 1, 0]),
        "predicted": np.array([0, 0, 1]),
        "confidence": np.array([0.99, 0.6, 0.4]),
        "classes": np.array([1, 0]),
        "wrong": np.array([2, 1]),
        "total": np.array([5, 9]),
        "of_test": np.array(False),
    }


def test_images_stand_in_their_rows_in_their_colours() -> None:
    names = ["a name that is much too long for its place $", "b"]
    picture = np.asarray(open_png(mistake_gallery(gallery(3), names, [90, 4], "a caption")))
    red, blue, grey = (np.argwhere((picture == colour).all(axis=2)) for colour in ([250, 0, 0], [0, 0, 240], [99] * 3))
    assert red[:, 0].max() < grey[:, 0].min()  # the rarest class stands above
    assert red[:, 1].max() < blue[:, 1].min()  # the most confident mistake stands first
    assert set(red[:, 0]) == set(blue[:, 0])


def test_grey_images_and_galleries_without_a_mistake_are_drawn() -> None:
    picture = np.asarray(open_png(mistake_gallery(gallery(1), ["a", "b"], [90, 4], "a caption")))
    assert (picture[62:134, 159:213] == 250).all()
    assert not (picture[62:134, [158, 213]] == 250).any()  # an image of 8 x 6 pixels stays so
    empty = {name: values[:0] if name in ("images", "labels") else values for name, values in gallery(1).items()}
    assert open_png(mistake_gallery(empty, ["a", "b"], [90, 4], "a caption")).height > 200
