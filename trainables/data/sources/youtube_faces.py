"""YouTube Faces (YTF): frames of videos, for pair verification."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from trainables.core.errors import BadInput
from trainables.data.sources.image_files import SUFFIXES, ImageFiles
from trainables.data.sources.source import LabelledImages, SplitName

_FRAME_FOLDERS = ("aligned_images_DB", "frame_images_DB")


@dataclass(frozen=True)
class YouTubeFaces:
    """Frames from ``<folder>/<person>/<video>/*.jpg``, as unpacked; the label of a frame is its video.

    The persons may also lie in ``aligned_images_DB`` or ``frame_images_DB`` below the folder. Class names are
    ``person/video``, as in ``splits.txt``. Every split is the whole data set.

    Source: Wolf et al. 2011, "Face recognition in unconstrained videos with matched background similarity".
    """

    dataset: str
    folder: Path
    image_size: int | None = None
    has_validation: bool = False

    def key(self, split: SplitName) -> str:
        """Hash names, sizes and times of all frames."""
        return self._files().key(self.image_size)

    def read(self, split: SplitName) -> LabelledImages:
        """Decode all frames.

        Raises:
            BadInput: if the folder has no person, a video no frame, or a frame does not decode.
        """
        return self._files().read(self.image_size)

    def _files(self) -> ImageFiles:
        below = [self.folder / name for name in _FRAME_FOLDERS if (self.folder / name).is_dir()]
        root = below[0] if below else self.folder
        videos = [f"{person}/{video}" for person in _folders(root) for video in _folders(root / person)]
        if not videos:
            raise BadInput(f"{root} holds no video; expected <person>/<video>/<frame>.jpg, as in YouTube Faces")
        paths, labels = [], []
        for label, video in enumerate(videos):
            frames = sorted(name for name in os.listdir(root / video) if name.lower().endswith(SUFFIXES))
            if not frames:
                raise BadInput(f"{root / video} holds no frame; expected images ({', '.join(SUFFIXES)})")
            paths += [f"{video}/{frame}" for frame in frames]
            labels += [label] * len(frames)
        return ImageFiles(root, paths, labels, tuple(videos), lambda row: str(root / paths[row]), self.folder)


def _folders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
