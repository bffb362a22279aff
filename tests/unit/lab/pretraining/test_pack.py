"""The archive of training photos: what it contains, and what it leaves out."""

import tarfile

import numpy as np
import pytest
from PIL import Image

from samseg.lab.labelled import LabelledSet, is_held_out
from samseg.lab.pretraining.pack import pack
from samseg.lab.pretraining.settings import PhotoSet


def unpacked(sets, folder, longest):
    photos = pack(sets, folder / "photos.tar", longest)
    with tarfile.open(folder / "photos.tar") as archive:
        archive.extractall(folder / "photos", filter="data")
    return photos, folder / "photos"


@pytest.mark.parametrize(("longest", "size"), [(60, (45, 60)), (500, (90, 120))])
def test_a_packed_set_is_a_labelled_set(labelled_folder, tmp_path, longest, size):
    photos, folder = unpacked([PhotoSet(folder=str(labelled_folder), share=1)], tmp_path, longest)
    before, after = LabelledSet(labelled_folder), LabelledSet(folder / "discs")
    assert photos == len(after.stems) and after.stems == before.stems
    for stem in before.stems:
        large, small = before.read(stem), after.read(stem)
        assert small.pixels.shape == (*size, 3)
        assert small.categories == large.categories
        for i in large.segments():
            area = small.mask(i).mean()
            assert area == pytest.approx(large.mask(i).mean(), rel=0.1)


def test_held_out_photos_stay_behind(labelled_folder, tmp_path):
    kept = [s for s in "abf" if not is_held_out(s, 0.5)]
    sets = [PhotoSet(folder=str(labelled_folder), share=1, held_out=0.5)]
    photos, folder = unpacked(sets, tmp_path, 60)
    assert photos == len(kept) < 3
    assert LabelledSet(folder / "discs").stems == kept


def test_overlapping_maps_stay_apart(labelled_folder, tmp_path):
    second = np.zeros((90, 120), np.uint8)
    second[20:70, 10:110] = 1
    (labelled_folder / "instances" / "a.png").rename(labelled_folder / "instances" / "a__0.png")
    Image.fromarray(second).save(labelled_folder / "instances" / "a__1.png")
    before = LabelledSet(labelled_folder).read("a")
    _, folder = unpacked([PhotoSet(folder=str(labelled_folder), share=1)], tmp_path, 500)
    after = LabelledSet(folder / "discs").read("a")
    assert len(after.segments()) == len(before.segments()) == 4
    assert np.array_equal(after.further[0] > 0, before.further[0] > 0)
