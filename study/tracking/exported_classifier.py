"""Loads an exported classifier. Every logged model has a copy of this file, so it imports nothing of the project."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


class ExportedClassifier:
    """A program of ``torch.export`` that maps stored images to logits."""

    def __init__(self, path: str) -> None:
        """Load the program; nothing of the project that trained it is needed."""
        self._module = torch.export.load(path).module()

    def predict(self, images: Any, params: Any = None) -> Any:
        """Return float32 logits (N, K) of images (N, C, H, W), uint8 pixels or float32 features, as they were stored.

        The argmax of a row is the predicted class.
        """
        with torch.no_grad():
            return self._module(torch.as_tensor(np.ascontiguousarray(images))).numpy()


def _load_pyfunc(path: str) -> ExportedClassifier:
    """Load the model; MLflow calls this."""
    return ExportedClassifier(path)
