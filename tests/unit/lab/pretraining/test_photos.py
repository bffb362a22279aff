"""Training photos whose regions overlap: several maps per photo."""

import json

import numpy as np
import pytest
from PIL import Image

from samseg.lab.pretraining.photos import LabelledPhotos
from samseg.lab.pretraining.training_image import UNKNOWN


@pytest.fixture
def overlapping(tmp_path):
    """A photo of a part (map 0) inside of an object (map 1)."""
    for name in ("images", "instances"):
        (tmp_path / name).mkdir()
    part, thing = np.zeros((2, 100, 100), np.uint8)
    part[40:60, 40:60], thing[20:80, 20:80] = 1, 1
    pixels = np.repeat(part[..., None] * 90 + thing[..., None] * 90, 3, axis=2)
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "images" / "p.png")
    for k, map_ in enumerate((part, thing)):
        Image.fromarray(map_).save(tmp_path / "instances" / f"p__{k}.png")
    return tmp_path


def areas(regions):
    return sorted(int(region.mask.sum()) for region in regions)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"ground": False}, [400, 3600]),
        ({"ground": True}, [400, 3600, 6400, 9600]),
        ({"ground": False, "whole": True}, [400, 400, 3600]),
    ],
)
def test_every_map_has_its_regions(overlapping, options, wanted):
    photos = LabelledPhotos(overlapping, 100, held_out=0.0, first_kind=0, **options)
    (picture,) = photos.uncropped()
    assert areas(picture.regions) == wanted


def test_windows_cut_all_maps_alike(overlapping):
    photos = LabelledPhotos(overlapping, 100, held_out=0.0, ground=False, first_kind=0)
    for seed in range(20):
        regions = photos.draw(np.random.default_rng(seed), 96).regions
        if len(regions) == 2:
            part, thing = sorted((region.mask for region in regions), key=np.sum)
            assert not (part & ~thing).any()


def test_kinds_belong_to_the_first_map(overlapping):
    """`instances.json` numbers the segments of the first map; others are of no known kind."""
    (overlapping / "instances.json").write_text(json.dumps({"p": [{"id": 1, "category": 7}]}))
    photos = LabelledPhotos(overlapping, 100, held_out=0.0, ground=False, first_kind=50)
    kinds = {int(r.mask.sum()): r.kind for r in photos.uncropped()[0].regions}
    assert kinds == {400: 50, 3600: UNKNOWN}
