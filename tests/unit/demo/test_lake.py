"""The demo's lake and the generated scenes."""

import hashlib
from collections import Counter

import numpy as np
import pytest

from samseg.demo.lake import write_demo_lake
from samseg.demo.scenes import draw_scene
from samseg.demo.scenes.objects import OBJECTS
from samseg.demo.scenes.surfaces import SURFACES
from samseg.readers import Folder
from samseg.readers.decode import DecodePolicy


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(seed) for seed in range(8)]


def test_the_same_seed_draws_the_same_scene(scenes):
    again = draw_scene(3)
    np.testing.assert_array_equal(again.pixels, scenes[3].pixels)
    np.testing.assert_array_equal(again.instances, scenes[3].instances)
    assert again.kinds == scenes[3].kinds
    assert not np.array_equal(scenes[2].pixels, scenes[3].pixels)


def test_every_object_is_visible_and_has_a_kind(scenes):
    for scene in scenes:
        assert scene.pixels.shape == (480, 640, 3) and scene.pixels.dtype == np.uint8
        areas = np.bincount(scene.instances.ravel(), minlength=len(scene.kinds) + 1)
        assert len(areas) == len(scene.kinds) + 1
        assert areas[1:].min() > 400
        assert areas[0] > scene.instances.size / 2


def test_kinds_recur_across_scenes(scenes):
    counts = Counter(kind for scene in scenes for kind in scene.kinds)
    assert set(counts) == set(OBJECTS)
    assert min(counts.values()) >= len(scenes)


def test_a_kind_has_the_same_colours_in_every_scene(scenes):
    """On any surface and in any light, the nearest mean colour is of the same kind."""
    kinds, colours = [], []
    for scene in scenes:
        for i, kind in enumerate(scene.kinds, start=1):
            kinds.append(kind)
            colours.append(scene.pixels[scene.instances == i].mean(axis=0))
    kinds, colours = np.array(kinds), np.array(colours)
    distances = np.linalg.norm(colours[:, None] - colours[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (kinds[distances.argmin(axis=1)] == kinds).mean() > 0.9


@pytest.mark.parametrize("name", SURFACES)
@pytest.mark.parametrize("size", [(33, 500), (200, 64)])
def test_surfaces_of_any_size(name, size):
    drawn = SURFACES[name](size, np.random.default_rng(0))
    assert drawn.shape == (*size, 3)
    assert np.isfinite(drawn).all() and drawn.min() > -0.3 and drawn.max() < 1.3


def test_other_sizes_and_numbers_of_objects():
    scene = draw_scene(1, size=(240, 200), objects=(30, 30))
    assert scene.pixels.shape == (240, 200, 3)
    assert 3 <= len(scene.kinds) <= 30
    assert draw_scene(1, objects=(0, 0)).instances.max() == 0


def test_the_lake_holds_decodable_photos_and_scenes(tmp_path):
    files = write_demo_lake(tmp_path, scenes=2)
    assert len([f for f in files if f.parent.name == "photos"]) >= 6
    assert [f.name for f in files[-2:]] == ["table-000.jpg", "table-001.jpg"]
    found = Folder(uri=str(tmp_path)).plan({})
    assert sum(len(s.sources) for s in found.shards) == len(files) and found.ignored == 0
    for path in files:
        pixels = DecodePolicy().decode(path.read_bytes()).pixels
        assert min(pixels.shape[:2]) >= 300 and max(pixels.shape[:2]) <= 1000


def test_writing_again_changes_nothing_and_new_seeds_add_scenes(tmp_path):
    def digests():
        return {p.name: hashlib.sha256(p.read_bytes()).digest() for p in tmp_path.rglob("*.jpg")}

    write_demo_lake(tmp_path, photos=False, scenes=2)
    before = digests()
    assert len(before) == 2
    write_demo_lake(tmp_path, photos=False, scenes=1, first_seed=2)
    write_demo_lake(tmp_path, photos=False, scenes=2)
    assert before.items() < digests().items() and len(digests()) == 3
