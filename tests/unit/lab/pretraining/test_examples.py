"""Examples: deterministic, and every prompt fits the mask it asks for."""

import numpy as np
import pytest

from samseg.lab.labelled import is_held_out
from samseg.lab.pretraining.examples import MEANT, PATCH, Examples, Shape, example
from samseg.lab.pretraining.photos import LabelledPhotos
from samseg.lab.pretraining.picture import UNKNOWN, Region, TrainingPicture
from samseg.lab.pretraining.scenes import Scenery

SCENES = Scenery([], [], kinds=20, photographic=0.0, pasted=0.0)


def made(length=8, **shape):
    given = {"window": 256, "clicks": 4, "uses": 2} | shape
    return Examples([SCENES], [1.0], Shape(**given), length, seed=3)


def test_an_example_depends_on_its_number_alone():
    forwards, backwards = made(), made()
    for i in (5, 0, 3):
        for name, tensor in forwards[i].items():
            assert tensor.equal(backwards[i][name]), name
    assert not forwards[0]["image"].equal(forwards[2]["image"])


def test_a_picture_is_used_twice_and_clicked_anew():
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
        n = int(found["meant"][p].sum())
        assert 1 <= n <= MEANT and found["meant"][p, :n].all()
        targets = found["targets"][p].numpy()
        for target in targets[:n]:
            assert target[y, x] > 0, "the click is inside of whatever it may mean"
        areas = targets.sum(axis=(1, 2))[:n]
        assert list(areas) == sorted(areas)
        intent = int(found["intent"][p])
        left, _, _, bottom = (found["boxes"][p].numpy() - np.tile(corner, 2)) / 4
        ys, xs = np.nonzero(targets[intent] > 127)
        if len(ys) > 30:
            wide, tall = np.ptp(xs) + 1, np.ptp(ys) + 1
            assert abs(left - xs.min()) <= 0.12 * wide + 1.5
            assert abs(bottom - ys.max() - 1) <= 0.12 * tall + 1.5


def test_a_part_and_its_whole_are_both_meant():
    whole, part = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    whole[10:50, 10:50] = True
    part[20:30, 20:30] = True
    picture = TrainingPicture(np.zeros((64, 64, 3), np.uint8), (Region(whole, 4), Region(part)))
    found = example(picture, np.random.default_rng(0), Shape(128, 16, 1))
    for kinds, meant in zip(found["kinds"].tolist(), found["meant"].tolist(), strict=True):
        assert (kinds, meant) in (
            ([4, UNKNOWN, UNKNOWN], [True, False, False]),
            ([UNKNOWN, 4, UNKNOWN], [True, True, False]),
        )
    assert {tuple(m) for m in found["meant"].tolist()} == {
        (True, False, False),
        (True, True, False),
    }


def test_labelled_photos(labelled_folder):
    photos = LabelledPhotos(labelled_folder, 512, held_out=0.0, ground=True, first_kind=100)
    assert len(photos.photos) == 3
    assert photos.photos[0].pixels.shape == (384, 512, 3)
    kinds = set()
    for seed in range(10):
        picture = photos.draw(np.random.default_rng(seed), 256)
        assert picture.pixels.shape == (256, 256, 3)
        for region in picture.regions:
            kinds.add(region.kind)
    assert kinds == {UNKNOWN, 100, 101}


def test_small_photos_are_padded_and_padding_is_no_ground(labelled_folder):
    photos = LabelledPhotos(labelled_folder, 128, held_out=0.0, ground=True, first_kind=0)
    for seed in range(5):
        picture = photos.draw(np.random.default_rng(seed), 512)
        ground = max(picture.regions, key=lambda region: region.mask.sum())
        assert ground.kind == UNKNOWN
        assert not ground.mask[-1].any() and not ground.mask[:, -1].any()


def test_held_out_photos_are_never_drawn(labelled_folder):
    stems = [s for s in "abf" if not is_held_out(s, 0.5)]
    assert 0 < len(stems) < 3
    photos = LabelledPhotos(labelled_folder, 512, held_out=0.5, ground=True, first_kind=0)
    assert len(photos.photos) == len(stems)


def test_patches_show_the_smallest_region():
    """A part of no kind in a thing of kind 4 on half of a ground that nobody has outlined."""
    thing, part = np.zeros((2, 64, 64), np.bool_)
    thing[:, :28], part[8:16, 8:16] = True, True
    pixels = np.zeros((64, 64, 3), np.uint8)
    picture = TrainingPicture(pixels, (Region(part), Region(thing, 4)))
    shape = Shape(window=128, clicks=1, uses=1)
    first, second = (example(picture, np.random.default_rng(i), shape)["patches"] for i in (0, 1))
    for patches in (first, second):
        assert patches.shape == (8, 8)
        assert (patches == 4).sum() == 3 * 8 - 1
        assert (patches == UNKNOWN).sum() == 5 * 8, "the column where the thing ends, and the rest"
        assert (patches < UNKNOWN).sum() == 1
    assert first.min() != second.min(), "nobody knows whether parts of two pictures are alike"
