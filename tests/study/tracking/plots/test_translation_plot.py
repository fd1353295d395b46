from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from study.tracking.plots.translation_plot import translations_picture


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 28, 28), (3, 32, 32), (3, 224, 160)])
def test_seed_noise_and_result_stand_side_by_side(channels: int, height: int, width: int) -> None:
    seed = np.full((2, channels, height, width), 51, dtype=np.uint8)
    made = np.full(seed.shape, 0.2, dtype=np.float32)
    made[1] += 0.03
    arrays = {
        "seed": seed,
        "translated": made,
        "target": np.array([1, 2]),
        "seed_class": np.array([0, 0]),
        "confidence": np.array([0.95, 0.2], dtype=np.float32),
        "accepted": np.array([True, False]),
        "known": np.array([False, True]),
    }
    drawn = translations_picture(arrays, ["ship", "a class with a rather long name", "dog"], "m2m/00001")
    picture = Image.open(io.BytesIO(drawn)).convert("RGB")
    at = [[picture.getpixel((16 + 146 * column + 56, 92 + 146 * row + 56)) for column in range(3)] for row in range(2)]
    assert at[0] == [(51,) * 3, (128,) * 3, (51,) * 3]  # no change is grey
    assert at[1] == [(51,) * 3, (204,) * 3, (59,) * 3]  # 0.03 ten times over half
