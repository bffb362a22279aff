"""Examples: determinism, prompts that fit their targets, and the sources of images."""

import numpy as np
import pytest

from samseg.lab.labelled import is_held_out
from samseg.lab.pretraining.examples import MAX_TARGETS, PATCH, Examples, Shape, example
from samseg.lab.pretraining.photos import LabelledPhotos
from samseg.lab.pretraining.scenes import Scenery
from samseg.lab.pretraining.training_image import UNKNOWN, Region, TrainingImage

SCENES = Scenery([], [], kinds=20, photographic=0.0, pasted=0.0)


def made(length=8, **shape):
    given = {"window": 256, "clicks": 4, "uses": 2} | shape
    return Examples([SCENES], [1.0], Shape(**given), length, seed=3)


def test_an_example_depends_on_its_index_alone():
    forwards, backwards = made(), made()
    for i in (5, 0, 3):
        for name, tensor in forwards[i].items():
            assert tensor.equal(backwards[i][name]), name
    assert not forwards[0]["image"].equal(forwards[2]["image"])


def test_an_image_is_used_twice_with_new_clicks():
    examples = made()
    first, second = examples[0], examples[1]
    assert sorted(first["image"].flatten().tolist()) == sorted(second["image"].flatten().tolist())
    assert not first["points"].equal(second["points"])


def test_out_of_range():
    with pytest.raises(IndexError):
        made()[8]


@pytest.mark.parametrize("i", range(8))
def test_clicks_and_boxes_fit_their_targets(i):
    found = made()[i]
    corner = found["corner"].numpy()
    assert (corner % PATCH == 0).all() and (corner >= 0).all() and (corner + 256 <= 1024).all()
    inside = (found["points"].numpy() - corner) / 4  # px of the targets
    for p in range(4):
        x, y = inside[p].astype(int)
        n = int(found["valid"][p].sum())
        assert 1 <= n <= MAX_TARGETS and found["valid"][p, :n].all()
        targets = found["targets"][p].numpy()
        for target in targets[:n]:
            assert target[y, x] > 0, "the click is inside every valid target"
        areas = targets.sum(axis=(1, 2))[:n]
        assert list(areas) == sorted(areas)
        intent = int(found["intent"][p])
        left, _, _, bottom = (found["boxes"][p].numpy() - np.tile(corner, 2)) / 4
        ys, xs = np.nonzero(targets[intent] > 127)
        if len(ys) > 30:
            wide, tall = np.ptp(xs) + 1, np.ptp(ys) + 1
            assert abs(left - xs.min()) <= 0.12 * wide + 1.5
            assert abs(bottom - ys.max() - 1) <= 0.12 * tall + 1.5


def test_a_part_and_its_whole_are_both_valid_targets():
    whole, part = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    whole[10:50, 10:50] = True
    part[20:30, 20:30] = True
    image = TrainingImage(np.zeros((64, 64, 3), np.uint8), (Region(whole, 4), Region(part)))
    found = example(image, np.random.default_rng(0), Shape(128, 16, 1))
    for kinds, valid in zip(found["kinds"].tolist(), found["valid"].tolist(), strict=True):
        assert (kinds, valid) in (
            ([4, UNKNOWN, UNKNOWN], [True, False, False]),
            ([UNKNOWN, 4, UNKNOWN], [True, True, False]),
        )
    assert {tuple(m) for m in found["valid"].tolist()} == {
        (True, False, False),
        (True, True, False),
    }


def test_labelled_photos(labelled_folder):
    photos = LabelledPhotos(labelled_folder, 512, held_out=0.0, ground=True, first_kind=100)
    assert len(photos.photos) == 3
    assert photos.photos[0].pixels.shape == (384, 512, 3)
    kinds = set()
    for seed in range(10):
        image = photos.draw(np.random.default_rng(seed), 256)
        assert image.pixels.shape == (256, 256, 3)
        for region in image.regions:
            kinds.add(region.kind)
    assert kinds == {UNKNOWN, 100, 101}


def test_small_photos_are_padded_and_padding_is_not_background(labelled_folder):
    photos = LabelledPhotos(labelled_folder, 128, held_out=0.0, ground=True, first_kind=0)
    for seed in range(5):
        image = photos.draw(np.random.default_rng(seed), 512)
        background = max(image.regions, key=lambda region: region.mask.sum())
        assert background.kind == UNKNOWN
        assert not background.mask[-1].any() and not background.mask[:, -1].any()


def test_held_out_photos_are_never_drawn(labelled_folder):
    stems = [s for s in "abf" if not is_held_out(s, 0.5)]
    assert 0 < len(stems) < 3
    photos = LabelledPhotos(labelled_folder, 512, held_out=0.5, ground=True, first_kind=0)
    assert len(photos.photos) == len(stems)


def test_patches_are_labelled_by_the_smallest_region():
    """A part without a kind in an object of kind 4 on a background without a region."""
    whole, part = np.zeros((2, 64, 64), np.bool_)
    whole[:, :28], part[8:16, 8:16] = True, True
    pixels = np.zeros((64, 64, 3), np.uint8)
    image = TrainingImage(pixels, (Region(part), Region(whole, 4)))
    shape = Shape(window=128, clicks=1, uses=1)
    first, second = (example(image, np.random.default_rng(i), shape)["patches"] for i in (0, 1))
    for patches in (first, second):
        assert patches.shape == (8, 8)
        assert (patches == 4).sum() == 3 * 8 - 1
        assert (patches == UNKNOWN).sum() == 5 * 8, "the object's last column and the background"
        assert (patches < UNKNOWN).sum() == 1
    assert first.min() != second.min(), "regions of no kind are unique to their image"
