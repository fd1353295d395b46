"""YouTube Faces in its official layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainables.data.written_sets import write_image
from trainables.core.errors import BadInput
from trainables.data.sources.youtube_faces import YouTubeFaces


def write_videos(root: Path) -> None:
    for person, video, frames in (("Ann", "0", 3), ("Ann", "4", 1), ("Bob", "1", 2)):
        for frame in range(frames):
            write_image(root / person / video / f"aligned_detect_{video}.{frame}.png", frame)


@pytest.mark.parametrize("below", ["", "aligned_images_DB", "frame_images_DB"])
def test_frames_are_labelled_by_their_video(tmp_path: Path, below: str) -> None:
    write_videos(tmp_path / below)
    if below:
        (tmp_path / "splits.txt").write_text("")  # files beside the folders are no persons
        (tmp_path / below / "Ann.labeled_faces.txt").write_text("")
    read = YouTubeFaces("ytf", tmp_path).read("test")
    assert read.class_names == ("Ann/0", "Ann/4", "Bob/1")
    assert read.labels.tolist() == [0, 0, 0, 1, 2, 2]
    assert len(read.images) == 6
    assert YouTubeFaces("ytf", tmp_path, 4).read("test").images.shape[2:] == (4, 4)


def test_folders_without_videos_or_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"holds no video; expected <person>/<video>/<frame>\.jpg"):
        YouTubeFaces("ytf", tmp_path).key("test")
    (tmp_path / "Ann" / "0").mkdir(parents=True)
    with pytest.raises(BadInput, match="Ann/0 holds no frame"):
        YouTubeFaces("ytf", tmp_path).key("test")
