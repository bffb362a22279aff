"""Regions of unlabelled photos, and the labelled set made from them."""

import cv2
import numpy as np
import pytest
from PIL import Image

from samseg.backbones import efficientnet_lite0
from samseg.errors import ConfigError
from samseg.lab.labelled import LabelledSet
from samseg.lab.pretraining.self_labels import label_photos, self_labels
from samseg.progress import Silent


@pytest.fixture(scope="module")
def trunk():
    return efficientnet_lite0.load()


@pytest.fixture(scope="module")
def photo():
    """Two discs and a background, all of different colour, with noise."""
    pixels = np.full((240, 320, 3), (40, 90, 60), np.uint8)
    cv2.circle(pixels, (90, 120), 50, (210, 60, 50), -1)
    cv2.circle(pixels, (230, 120), 60, (60, 80, 220), -1)
    noise = np.random.default_rng(0).normal(0, 4, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def test_objects_of_one_colour_are_found(trunk, photo):
    maps = self_labels(photo, trunk)
    assert all(map_.shape == photo.shape[:2] and map_.dtype == np.int32 for map_ in maps)
    y, x = np.mgrid[: photo.shape[0], : photo.shape[1]]
    for cx, radius in ((90, 50), (230, 60)):
        disc = (x - cx) ** 2 + (y - 120) ** 2 <= radius**2
        found = [map_ == i for map_ in maps for i in range(1, map_.max() + 1)]
        assert max((disc & one).sum() / (disc | one).sum() for one in found) > 0.8


def test_a_plain_photo_has_no_regions(trunk):
    assert self_labels(np.full((64, 96, 3), 128, np.uint8), trunk) == []


def test_photos_become_a_labelled_set(tmp_path, photo):
    (tmp_path / "photos").mkdir()
    Image.fromarray(photo).save(tmp_path / "photos" / "discs.jpg", quality=95)
    (tmp_path / "photos" / "notes.txt").write_text("no photo")
    for _ in range(2):  # again: nothing is left to do
        label_photos(tmp_path / "photos", tmp_path / "set", Silent())
    made = LabelledSet(tmp_path / "set")
    assert made.stems == ["discs"]
    assert len(made.read("discs").segments()) >= 2


def test_no_folder(tmp_path):
    with pytest.raises(ConfigError, match="no folder"):
        label_photos(tmp_path / "nowhere", tmp_path / "set", Silent())
