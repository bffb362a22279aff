"""Labelled sets in every layout, and errors of invalid sets."""

import json

import numpy as np
import pytest
from PIL import Image

from samseg.errors import ConfigError
from samseg.lab.labelled import LabelledSet, is_held_out

SIZE = (40, 50)


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def photos(folder, *stems, suffix=".png"):
    for i, stem in enumerate(stems):
        write(folder / "images" / f"{stem}{suffix}", np.full((*SIZE, 3), i, np.uint8))


def squares(*values, dtype=np.uint16):
    """Return a map with 5 x 5 squares of these values, side by side with a gap of 3."""
    drawn = np.zeros(SIZE, dtype)
    for i, value in enumerate(values):
        drawn[2:7, 8 * i : 8 * i + 5] = value
    return drawn


def test_instances(tmp_path):
    photos(tmp_path, "b", "a", "unlabelled")
    write(tmp_path / "instances" / "a.png", squares(3, 700, 9))
    write(tmp_path / "instances" / "b.png", squares(1))
    (tmp_path / "instances.json").write_text(
        json.dumps(
            {
                "a": [
                    {"id": 3, "category": 51},
                    {"id": 700, "category": "fig"},
                    {"id": 9, "category": 1, "iscrowd": 1},
                ]
            }
        )
    )
    found = LabelledSet(tmp_path)
    assert (found.name, found.stems, len(found)) == (tmp_path.name, ["a", "b"], 2)
    photo = found.read("a")
    assert photo.pixels.shape == (*SIZE, 3) and (photo.pixels == 1).all()
    assert photo.instances.dtype == np.int32
    np.testing.assert_array_equal(photo.instances, squares(3, 700))
    assert photo.categories == {3: 51, 700: "fig"}
    assert photo.segments() == [3, 700]
    np.testing.assert_array_equal(photo.mask(700), squares(3, 700) == 700)
    assert found.read("b").categories == {}


def test_segments_above_a_fraction_of_the_photo(tmp_path):
    photos(tmp_path, "a")
    drawn = squares(1, 2)
    drawn[2, 0] = 0  # 24 px of 2000, and 25
    write(tmp_path / "instances" / "a.png", drawn)
    photo = LabelledSet(tmp_path).read("a")
    assert photo.segments(24 / 2000) == [2]
    assert photo.segments(23 / 2000) == [1, 2]


def test_a_class_map_is_split_into_connected_components(tmp_path):
    photos(tmp_path, "a")
    classes = squares(2, 0, 2, 1, 255, dtype=np.uint8)
    classes[classes == 0] = 7
    classes[30, 30] = classes[31, 31] = classes[32, 32] = classes[33, 33] = (
        2  # connected by corners
    )
    classes[20:22, 20:22] = 1  # 4 px of 2000: exactly 0.2 %
    classes[25, 40:45] = 1
    write(tmp_path / "labels" / "a.png", classes)
    meta = {"name": "streets", "ignore_index": 255, "classes": {"7": "background", "2": "tree"}}
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    found = LabelledSet(tmp_path)
    photo = found.read("a")
    assert found.name == "streets"
    assert [found.class_name(category) for category in (2, 1, "pear")] == ["tree", "1", "pear"]
    assert photo.categories == {1: 1, 2: 1, 3: 2, 4: 2}
    areas = {i: int(photo.mask(i).sum()) for i in photo.segments()}
    assert areas == {1: 25, 2: 5, 3: 25, 4: 25}
    classes[30, 40] = classes[31, 39] = classes[32, 40] = classes[33, 39] = classes[34, 40] = 2
    write(tmp_path / "labels" / "a.png", classes)
    assert [int(found.read("a").mask(i).sum()) for i in (3, 4, 5)] == [25, 25, 5]


def test_regions_of_all_annotators_are_segments(tmp_path):
    photos(tmp_path, "a", suffix=".jpg")
    maps = [squares(1, 2), np.zeros(SIZE, np.uint16), squares(0, 1)]
    for k, drawn in enumerate(maps):
        write(tmp_path / "labels" / f"a__{k}.png", drawn)
    found = LabelledSet(tmp_path)
    photo = found.read("a")
    assert found.stems == ["a"]
    assert photo.categories == {}
    assert photo.segments() == [1, 2, 3]
    np.testing.assert_array_equal(photo.mask(2), photo.mask(3))
    assert not (photo.mask(1) & photo.mask(2)).any()


def test_photos_are_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "images").mkdir()
    Image.fromarray(np.zeros((*SIZE[::-1], 3), np.uint8)).save(
        tmp_path / "images" / "a.jpg", exif=exif
    )
    write(tmp_path / "instances" / "a.png", squares(1))
    assert LabelledSet(tmp_path).read("a").pixels.shape == (*SIZE, 3)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({}, "no folder .*images"),
        ({"images/a.png": squares(1)}, "no folder .*labels"),
        ({"images/a.png": squares(1), "instances/b.png": squares(1)}, "no photo in"),
        ({"images/a.png": squares(1), "labels/b__0.png": squares(1)}, "no photo in"),
        ({"images/a.png": squares(1), "instances/a.png": squares(1)[:9]}, r"\(9, 50\), expected"),
        ({"images/a.png": b"GIF", "instances/a.png": squares(1)}, "cannot read the photo"),
        ({"images/a.png": squares(1), "instances/a.png": b"no"}, "cannot read the label"),
        (
            {"images/a.png": squares(1), "labels/a.png": squares(1), "meta.json": b"{"},
            "not JSON",
        ),
        (
            {"images/a.png": squares(1), "labels/a.png": squares(1), "meta.json": b"[]"},
            "expected an object",
        ),
    ],
)
def test_invalid_sets_are_refused(tmp_path, written, message):
    for name, content in written.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            write(path, content)
    with pytest.raises(ConfigError, match=message):
        LabelledSet(tmp_path).read("a")


def test_an_unknown_photo_is_refused(tmp_path):
    photos(tmp_path, "a")
    write(tmp_path / "instances" / "a.png", squares(1))
    with pytest.raises(ConfigError, match="no labelled photo 'b'"):
        LabelledSet(tmp_path).read("b")


def test_a_larger_share_holds_out_a_superset():
    held = [{str(i) for i in range(2000) if is_held_out(str(i), share)} for share in (0.25, 0.5)]
    assert 0.2 < len(held[0]) / 2000 < 0.3
    assert held[0] < held[1]
