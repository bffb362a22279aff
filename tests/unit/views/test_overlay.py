from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from samseg.masks.painting import dense, painted
from samseg.masks.palette import color_of
from samseg.types import NOISE
from samseg.views import figures
from samseg.views.overlay import layer, overlay

H, W = 40, 60
GREY = np.full((H, W, 3), 100, np.uint8)


def square(y: int, x: int, side: int) -> tuple[dict[str, Any], np.ndarray]:
    mask = np.zeros((H, W), np.uint8, order="F")
    mask[y : y + side, x : x + side] = 1
    return dict(coco.encode(mask)), mask.astype(bool)


BIG, BIG_MASK = square(2, 2, 30)
SMALL, SMALL_MASK = square(10, 10, 8)


@pytest.mark.parametrize("as_text", [False, True])
def test_dense_reads_counts_as_text_or_bytes(as_text: bool) -> None:
    rle = {**BIG, "counts": BIG["counts"].decode()} if as_text else BIG
    assert np.array_equal(dense(rle), BIG_MASK)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_smaller_masks_are_drawn_on_top_in_any_order(order: list[int]) -> None:
    rles, areas, values = [BIG, SMALL], [900, 64], [3, 7]
    pick = [[x[i] for i in order] for x in (rles, areas, values)]
    found = painted((H, W), *pick, background=-5)
    assert (found[SMALL_MASK] == 7).all()
    assert (found[BIG_MASK & ~SMALL_MASK] == 3).all()
    assert (found[~BIG_MASK] == -5).all()


def test_the_later_of_two_equal_masks_is_drawn_on_top() -> None:
    assert painted((H, W), [SMALL, SMALL], [64, 64], [1, 2])[12, 12] == 2


def test_overlay_blends_class_colours_inside_masks_only() -> None:
    before = GREY.copy()
    found = overlay(GREY, [BIG, SMALL], [900, 64], [0, 5], alpha=0.5, contours=False)
    for mask, class_id in ((BIG_MASK & ~SMALL_MASK, 0), (SMALL_MASK, 5)):
        expected = (100 + np.array(color_of(class_id))) / 2
        assert np.abs(found[mask] - expected).max() <= 1
    assert (found[~BIG_MASK] == 100).all()
    assert np.array_equal(GREY, before)


def near(pixel: np.ndarray, color: tuple[int, int, int]) -> bool:
    """Return whether a pixel has a colour, up to anti-aliasing."""
    return bool(np.abs(pixel.astype(int) - color).max() < 30)


def test_contours_are_lines_in_the_class_colour() -> None:
    found = overlay(GREY, [BIG], [900], [4], alpha=0.3)
    assert near(found[2, 15], color_of(4))
    assert not near(found[15, 15], color_of(4))


def test_noise_is_outlined_and_not_tinted() -> None:
    found = overlay(GREY, [BIG], [900], [NOISE])
    assert (found[5:29, 5:29] == 100).all()
    assert near(found[2, 15], color_of(NOISE))


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_alpha_0_and_1(alpha: float) -> None:
    found = overlay(GREY, [BIG], [900], [2], alpha=alpha, contours=False)
    assert tuple(found[15, 15]) == (color_of(2) if alpha else (100, 100, 100))


def test_no_masks_no_change() -> None:
    assert np.array_equal(overlay(GREY, [], [], []), GREY)


def test_cut_out_keeps_one_class() -> None:
    mask = figures.class_mask((H, W), [BIG, SMALL], [0, 5], 5)
    assert np.array_equal(mask, SMALL_MASK)
    found = figures.cut_out(GREY, mask)
    assert (found[mask] == 100).all() and (found[~mask] == 0).all()
    shown = figures.class_map(mask, 5)
    assert (shown[mask] == color_of(5)).all() and (shown[~mask] == 0).all()


def test_every_mask_has_its_own_colour() -> None:
    found = figures.every_mask(GREY, [BIG, SMALL], [900, 64], alpha=1.0)
    assert len(np.unique(found.reshape(-1, 3), axis=0)) == 3


def test_triptych_shows_three_panels_of_the_full_size() -> None:
    found = figures.triptych(GREY, [BIG, SMALL], [0, 5], 0, "a name far too long for the panel")
    assert found.dtype == np.uint8 and found.shape[1] == 3 * W + 4 * 12
    for i, panel in enumerate(
        (GREY, figures.class_map(BIG_MASK, 0), figures.cut_out(GREY, BIG_MASK))
    ):
        x = 12 + i * (W + 12)
        assert np.array_equal(found[-H - 12 : -12, x : x + W], panel)


def test_a_layer_has_the_colours_of_the_topmost_masks_and_nothing_elsewhere() -> None:
    """At the size of the image and at another."""
    rles, areas, ids = [SMALL, BIG], [64, 900], [3, 5]
    for size in ((H, W), (2 * H, 2 * W)):
        found = layer(size, rles, areas, ids, alpha=0.5)
        assert found.shape == (*size, 4)
        scale = size[0] // H
        inside = {3: (14 * scale, 14 * scale), 5: (25 * scale, 25 * scale)}
        for class_id, at in inside.items():
            assert tuple(found[at]) == (*color_of(class_id), 128)
        assert not found[36 * scale, 50 * scale].any()


def test_noise_is_an_outline_in_a_layer() -> None:
    found = layer((H, W), [BIG, SMALL], [900, 64], [5, NOISE])
    assert not found[14, 14, 3] and tuple(found[10, 14]) == (*color_of(NOISE), 255)
