"""Generated scenes: determinism, regions that match the pixels, textures and outlines."""

import cv2
import numpy as np
import pytest

from samseg.lab.pretraining.kinds import Kind
from samseg.lab.pretraining.outlines import FAMILIES, Outline
from samseg.lab.pretraining.scenes import Cutout, Scenery, cutouts
from samseg.lab.pretraining.textures import PATTERNS, Texture, clutter
from samseg.lab.pretraining.training_image import UNKNOWN

PHOTO = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)


def scenery(photos=(), pasted=(), **changes):
    given = {"kinds": 20, "photographic": 0.5, "pasted": 1.0} | changes
    return Scenery(list(photos), list(pasted), **given)


def disc(kind):
    mask = np.zeros((31, 31), np.uint8)
    cv2.circle(mask, (15, 15), 15, 1, -1)
    return Cutout(np.full((31, 31, 3), (250, 0, 250), np.uint8), mask > 0, kind)


def test_the_same_seed_gives_the_same_scene():
    first, again, other = (
        scenery([PHOTO], [disc(7)]).draw(np.random.default_rng(seed), 128) for seed in (5, 5, 6)
    )
    assert np.array_equal(first.pixels, again.pixels)
    assert all(
        np.array_equal(a.mask, b.mask) for a, b in zip(first.regions, again.regions, strict=True)
    )
    assert not np.array_equal(first.pixels, other.pixels)


@pytest.mark.parametrize("seed", range(12))
def test_regions_fit_the_image(seed):
    image = scenery([PHOTO], [disc(7)]).draw(np.random.default_rng(seed), 128)
    assert image.pixels.shape == (128, 128, 3) and image.pixels.dtype == np.uint8
    whole = sum(region.mask.astype(int) for region in image.regions if region.kind != UNKNOWN)
    assert np.max(whole) <= 1, "two objects at one px"
    for region in image.regions:
        assert region.mask.shape == (128, 128)
        assert region.mask.sum() >= 24


def test_kinds_recur():
    kinds = [
        region.kind
        for seed in range(30)
        for region in scenery().draw(np.random.default_rng(seed), 96).regions
        if region.kind != UNKNOWN
    ]
    found, counts = np.unique(kinds, return_counts=True)
    assert set(found) <= set(range(20))
    assert np.median(counts) >= 3


def test_pasted_objects_keep_their_pixels_and_kind():
    plain = scenery(pasted=[disc(7)], photographic=0.0)
    for seed in range(20):
        image = plain.draw(np.random.default_rng(seed), 128)
        for region in image.regions:
            if region.kind == 7 and region.mask.sum() > 200:
                red, green, _ = image.pixels[region.mask].mean(axis=0)
                assert red > green + 40
                return
    pytest.fail("no scene shows the pasted object")


def test_a_photograph_as_background_is_not_a_region(monkeypatch):
    monkeypatch.setattr("samseg.lab.pretraining.scenes._CLUTTERED", 1.0)
    for seed in range(12):
        image = scenery([PHOTO]).draw(np.random.default_rng(seed), 96)
        objects = np.zeros((96, 96), np.bool_)
        for region in image.regions:
            if region.kind != UNKNOWN:
                objects |= region.mask
        for region in image.regions:
            assert not (region.mask & ~objects).any(), "only parts have no kind"


def test_every_region_of_a_known_kind_is_cut_out_tightly():
    image = scenery(pasted=[disc(7)]).draw(np.random.default_rng(1), 128)
    found = cutouts(image)
    assert len(found) == sum(region.kind != UNKNOWN for region in image.regions)
    for cutout in found:
        assert cutout.pixels.shape[:2] == cutout.mask.shape
        for axis in (0, 1):
            assert cutout.mask.any(axis=axis)[[0, -1]].all(), "no empty border"


@pytest.mark.parametrize("family", sorted(set(FAMILIES)))
def test_outlines_stay_within_their_radius(family):
    rng = np.random.default_rng(0)
    for _ in range(20):
        one = Outline.choose(rng)
        outline = Outline(family, one.aspect, one.corners, one.irregular, one.bend)
        mask = outline.draw(rng, (200, 200), (100, 100), 50, float(rng.uniform(0, 6)))
        y, x = np.nonzero(mask)
        assert len(y) > 100
        assert np.hypot(y - 100, x - 100).max() < 1.6 * 50


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_patterns_lie_between_0_and_1(pattern):
    rng = np.random.default_rng(0)
    share = PATTERNS[pattern](rng, 33, 47, 6.0, 1.0)
    assert share.shape == (33, 47)
    assert share.min() >= 0 and share.max() <= 1


def test_photographic_textures_come_from_the_photograph():
    red = np.zeros((60, 60, 3), np.uint8)
    red[..., 0] = 200
    for seed in range(30):
        texture = Texture.choose(np.random.default_rng(seed), 1, 1.0)
        painted = texture.paint(np.random.default_rng(0), (20, 30), [red])
        assert painted.shape == (20, 30, 3)
        assert abs(sorted(painted.mean(axis=(0, 1)))[2] - 200) < 8


def test_a_photographic_texture_is_uniform_and_clutter_is_not():
    slope = np.repeat(np.linspace(0, 255, 400)[None, :, None], 300, axis=0).repeat(3, axis=2)
    photo, size = slope.astype(np.uint8), (300, 400)

    def spread(painted):
        return np.ptp([painted[:, left : left + 100].mean() for left in range(0, 400, 100)])

    for seed in range(10):
        texture = Texture.choose(np.random.default_rng(seed), 1, 1.0)
        assert spread(texture.paint(np.random.default_rng(seed), size, [photo])) < 20
        assert spread(clutter(np.random.default_rng(seed), size, photo)) > 50


def test_kinds_are_deterministic():
    assert Kind.of(3, 2, 0.5) == Kind.of(3, 2, 0.5)
    assert Kind.of(3, 2, 0.5) != Kind.of(4, 2, 0.5)
