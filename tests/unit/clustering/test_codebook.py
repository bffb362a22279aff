import numpy as np

from samseg.clustering import DBSCAN
from samseg.clustering.build import build
from samseg.clustering.codebook import Codebook
from samseg.clustering.found import find
from samseg.clustering.levels import fitted
from samseg.clustering.sample import FitSample
from samseg.clustering.settings import ClusterSettings

EPS = ClusterSettings(fit=DBSCAN(eps=0.2, min_samples=4))


def fit_sample(classes: int = 3, each: int = 10, noise: int = 20, seed: int = 0) -> FitSample:
    g = np.random.default_rng(seed)
    centers = g.standard_normal((classes, 256)) + 0.2
    tight = np.repeat(centers, each, axis=0) + 0.2 * g.standard_normal((classes * each, 256))
    rows = np.concatenate([tight, g.standard_normal((noise, 256)) + 0.2]).astype(np.float32)
    ids = [f"image{i % 7}-{i:04d}" for i in range(len(rows))]
    order = sorted(range(len(ids)), key=lambda i: ids[i])
    ids = [ids[i] for i in order]
    parent_class_ids = np.full(len(ids), -1, np.int32)
    return FitSample(ids, [i.split("-")[0] for i in ids], rows[order], parent_class_ids)


def codebook(settings=EPS, parent=None, version=1, **sample) -> Codebook:
    masks = fit_sample(**sample)
    found = fitted(find(masks, settings, len(masks)))
    return build(found, settings, parent, version, "recipe", {"masks": 50})


def test_classes_are_numbered_by_size_and_own_their_medoid_and_centroid():
    found = codebook(each=12)
    assert [c.class_id for c in found.classes] == [0, 1, 2]
    assert [c.size for c in found.classes] == sorted((c.size for c in found.classes), reverse=True)
    sample = fit_sample(each=12)
    for c in found.classes:
        row = sample.embeddings[sample.mask_ids.index(c.medoid_mask_id)]
        assert found.assign(row[None]).class_ids.tolist() == [c.class_id]
        assert found.assign(c.centroid[None]).class_ids.tolist() == [c.class_id]


def test_margin_is_the_extra_distance_to_the_nearest_other_class():
    several, one = codebook(classes=3), codebook(classes=1)
    rows = fit_sample().embeddings
    assert (several.assign(rows).margins >= 0).all()
    assert np.isnan(one.assign(rows).margins).all()
    assert np.isfinite(one.assign(rows).distances).all()


def test_masks_without_direction_are_noise():
    rows = fit_sample().embeddings[:3].copy()
    rows[0], rows[1, 5] = 0, np.nan
    found = codebook().assign(rows)
    assert found.valid.tolist() == [False, False, True]
    assert found.class_ids[:2].tolist() == [-1, -1]
    assert np.isnan(found.distances[:2]).all()


def test_ended_classes_are_kept_as_retired_and_their_ids_are_not_reused():
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
