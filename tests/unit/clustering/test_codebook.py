import json

import numpy as np
import pytest

from samseg.clustering import DBSCAN, KMeans
from samseg.clustering.build import Reference, build
from samseg.clustering.codebook import Codebook
from samseg.clustering.settings import ClusterSettings
from samseg.errors import CodebookError
from samseg.output import Output

EPS = ClusterSettings(fit=DBSCAN(eps=0.2, min_samples=4))


def reference(classes: int = 3, each: int = 10, noise: int = 20, seed: int = 0) -> Reference:
    g = np.random.default_rng(seed)
    centers = g.standard_normal((classes, 256)) + 0.2
    tight = np.repeat(centers, each, axis=0) + 0.2 * g.standard_normal((classes * each, 256))
    rows = np.concatenate([tight, g.standard_normal((noise, 256)) + 0.2]).astype(np.float32)
    ids = [f"image{i % 7}-{i:04d}" for i in range(len(rows))]
    order = sorted(range(len(ids)), key=lambda i: ids[i])
    ids = [ids[i] for i in order]
    before = np.full(len(ids), -1, np.int32)
    return Reference(ids, [i.split("-")[0] for i in ids], rows[order], before)


def codebook(settings=EPS, parent=None, version=1, **world) -> Codebook:
    notes = {"masks": 50, "masks_bytes": 5000}
    return build(reference(**world), settings, parent, version, "recipe", notes)


@pytest.fixture
def output(tmp_path) -> Output:
    return Output(str(tmp_path / "out"))


@pytest.mark.parametrize(
    "settings", [EPS, ClusterSettings(fit=KMeans(classes=4)), ClusterSettings()]
)
@pytest.mark.parametrize("each", [0, 10])
def test_what_is_written_is_what_is_loaded(output, settings, each):
    wrote = codebook(settings, each=each)
    assert wrote.write(output)
    assert wrote.commit(output)
    read = Codebook.load(output, "recipe")
    rows = reference().embeddings
    for a, b in zip(_values(wrote.assign(rows)), _values(read.assign(rows)), strict=True):
        assert np.array_equal(a, b, equal_nan=True)
    for name in ("version", "parent", "eps", "settings", "notes", "curve", "next_id"):
        assert getattr(read, name) == getattr(wrote, name)
    assert [(c.class_id, c.medoid_mask_id, c.size) for c in read.classes] == [
        (c.class_id, c.medoid_mask_id, c.size) for c in wrote.classes
    ]


def _values(assigned):
    return assigned.class_ids, assigned.distances, assigned.margins, assigned.valid


def test_it_does_not_exist_before_its_manifest(output):
    codebook().write(output)
    with pytest.raises(CodebookError, match=r"no codebook.*samseg cluster"):
        Codebook.load(output, "recipe")


def test_writing_again_is_fine_and_another_one_at_its_version_is_not(output):
    codebook().write(output)
    assert codebook().write(output)
    assert not codebook(seed=1).write(output)
    assert codebook().commit(output)
    assert codebook().commit(output)


@pytest.mark.parametrize(
    ("recipe", "version", "message"),
    [("other", None, "recipe recipe, these are of recipe other"), ("recipe", 4, "no codebook v4")],
)
def test_one_of_another_recipe_or_version_is_refused(output, recipe, version, message):
    wrote = codebook()
    wrote.write(output)
    wrote.commit(output)
    with pytest.raises(CodebookError, match=message):
        Codebook.load(output, recipe, version)


def test_classes_are_numbered_from_the_largest_and_know_their_middle():
    found = codebook(each=12)
    assert [c.class_id for c in found.classes] == [0, 1, 2]
    assert [c.size for c in found.classes] == sorted((c.size for c in found.classes), reverse=True)
    world = reference(each=12)
    for c in found.classes:
        row = world.embeddings[world.mask_ids.index(c.medoid_mask_id)]
        assert found.assign(row[None]).class_ids.tolist() == [c.class_id]
        assert found.assign(c.centroid[None]).class_ids.tolist() == [c.class_id]


def test_margin_is_how_much_farther_the_next_class_is():
    several, one = codebook(classes=3), codebook(classes=1)
    rows = reference().embeddings
    assert (several.assign(rows).margins >= 0).all()
    assert np.isnan(one.assign(rows).margins).all()
    assert np.isfinite(one.assign(rows).distances).all()


def test_masks_without_direction_belong_nowhere():
    rows = reference().embeddings[:3].copy()
    rows[0], rows[1, 5] = 0, np.nan
    found = codebook().assign(rows)
    assert found.valid.tolist() == [False, False, True]
    assert found.class_ids[:2].tolist() == [-1, -1]
    assert np.isnan(found.distances[:2]).all()


def test_classes_that_end_stay_as_retired_rows_and_their_ids_do_not_come_back():
    first = codebook(classes=3)
    second = codebook(parent=first, version=2, classes=2, seed=9)
    assert {c.class_id: c.status for c in second.classes} == {
        0: "retired",
        1: "retired",
        2: "retired",
        3: "active",
        4: "active",
    }
    third = codebook(parent=second, version=3, classes=0, each=0)
    assert len(third.classes) == 5
    assert third.next_id == 5
    assert not third.active


def test_the_manifest_is_plain_json(output):
    wrote = codebook(ClusterSettings())
    wrote.write(output)
    wrote.commit(output)
    manifest = json.loads(output.storage.get("classes/v000001/codebook.json"))
    assert manifest["classes"] == 3
    assert manifest["settings"]["fit"] == {"kind": "dbscan", "eps": "auto", "min_samples": 5}
    assert len(manifest["curve"]) > 10
