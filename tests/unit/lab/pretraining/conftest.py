"""A labelled set of three small photos: bright discs of two categories on dark background."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def labelled_folder(tmp_path):
    folder = tmp_path / "discs"
    (folder / "images").mkdir(parents=True)
    (folder / "instances").mkdir()
    categories = {}
    for i, stem in enumerate(("a", "b", "f")):
        pixels = np.full((90, 120, 3), 30, np.uint8)
        instances = np.zeros((90, 120), np.uint8)
        for k, x in enumerate((25, 60, 95)):
            category = (i + k) % 2
            colour = (220, 60, 50) if category else (60, 200, 90)
            cv2.circle(pixels, (x, 45), 12, colour, -1)
            cv2.circle(instances, (x, 45), 12, k + 1, -1)
            categories.setdefault(stem, []).append({"id": k + 1, "category": category})
        Image.fromarray(pixels).save(folder / "images" / f"{stem}.png")
        Image.fromarray(instances).save(folder / "instances" / f"{stem}.png")
    (folder / "instances.json").write_text(json.dumps(categories))
    return folder
