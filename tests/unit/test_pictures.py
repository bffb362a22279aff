"""The photo of an image and the cutout of a mask, through `samseg.open`."""

import hashlib
from collections.abc import Callable
from typing import Any

import cv2
import fsspec
import numpy as np
import pytest

import samseg
from samseg.errors import ConfigError, ImageError
from samseg.masks.painting import dense
from samseg.pictures import cutout, photo


@pytest.fixture
def made(small_output: Callable[..., Any]) -> Any:
    found = small_output()
    store = fsspec.filesystem("memory")
    for uri, payload in found.photos.items():
        store.pipe(uri.removeprefix("memory:/"), payload)
    yield found
    store.rm("/lake", recursive=True)


def decoded(payload: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_an_image_is_the_photo(made: Any) -> None:
    tables = samseg.open(made.output)
    row = tables.query("select image_id, uri from images limit 1").to_pylist()[0]
    pixels = tables.image(row["image_id"])
    difference = np.abs(pixels.astype(int) - decoded(made.photos[row["uri"]]))
    assert pixels.shape == (96, 128, 3) and difference.max() <= 2  # two JPEG decoders


def test_a_crop_is_the_mask_in_its_photo(made: Any) -> None:
    tables = samseg.open(made.output)
    for mask in tables.query("select mask_id, image_id, bbox, area, rle from masks").to_pylist():
        crop, box = tables.crop(mask["mask_id"]), mask["bbox"]
        assert crop.shape == (box["h"], box["w"], 4)
        assert (crop[..., 3] == 255).sum() == mask["area"]
        whole = tables.image(mask["image_id"])
        window = np.s_[box["y"] : box["y"] + box["h"], box["x"] : box["x"] + box["w"]]
        np.testing.assert_array_equal(crop[..., :3], whole[window])
        np.testing.assert_array_equal(crop[..., 3] > 0, dense(mask["rle"])[window])


def test_a_margin_ends_at_the_edges_of_the_photo(made: Any) -> None:
    tables = samseg.open(made.output)
    mask = tables.query("select mask_id, area from masks limit 1").to_pylist()[0]
    assert tables.crop(mask["mask_id"], margin=100).shape == (96, 128, 4)
    near, far = (tables.crop(mask["mask_id"], margin=m) for m in (0, 0.2))
    assert far.shape[0] > near.shape[0] and far.shape[1] > near.shape[1]
    assert (far[..., 3] == 255).sum() == mask["area"]


@pytest.mark.parametrize("margin", [-0.1, np.nan, np.inf])
def test_a_margin_has_to_be_a_fraction(margin: float) -> None:
    with pytest.raises(ConfigError, match="margin"):
        cutout(np.zeros((2, 2, 3), np.uint8), {}, margin)


@pytest.mark.parametrize("call", ["image", "crop"])
def test_an_unknown_id(made: Any, call: str) -> None:
    with pytest.raises(ConfigError, match=r"has no (image|mask) 'x'; `select (image|mask)_id from"):
        getattr(samseg.open(made.output), call)("x")


def test_a_photo_that_is_gone(small_output: Callable[..., Any]) -> None:
    tables = samseg.open(small_output().output)
    image = tables.query("select image_id from images limit 1").to_pylist()[0]["image_id"]
    with pytest.raises(ImageError, match="FileNotFoundError"):
        tables.image(image)


def test_a_photo_that_was_replaced(made: Any) -> None:
    uri, payload = next(iter(made.photos.items()))
    row = {"key": "a.jpg", "uri": uri, "width": 128, "height": 96}
    same = row | {"sha256": hashlib.sha256(payload).hexdigest()}
    assert photo(made.output, same).shape == (96, 128, 3)
    with pytest.warns(UserWarning, match=r"a\.jpg has changed since it was labelled"):
        photo(made.output, row | {"sha256": "0" * 64})
    with pytest.raises(ImageError, match="is 128 x 96 px, but 64 x 96 px were labelled"):
        photo(made.output, same | {"width": 64})
