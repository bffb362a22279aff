import numpy as np
import pytest
from sklearn.cluster import DBSCAN

import samseg
from samseg.clustering import KMeans
from samseg.errors import ConfigError


def groups(*sizes, seed=0):
    """Return vectors in narrow groups around orthogonal axes, shuffled, and their groups."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(len(sizes)), sizes)
    rng.shuffle(group)
    return (np.eye(16)[group] * 3 + rng.normal(0, 0.05, (len(group), 16))).astype("f4"), group


def test_classes_are_those_of_the_notebook_by_size():
    vectors, group = groups(9, 30, 4, 12)
    found = samseg.cluster(vectors)
    labels = DBSCAN(eps=0.06, min_samples=8, metric="cosine").fit(vectors).labels_
    assert (found.dtype, found.shape) == (np.int32, (55,))
    assert len(set(zip(found.tolist(), labels.tolist(), strict=True))) == 4  # renumbered only
    assert [set(found[group == i].tolist()) for i in range(4)] == [{2}, {0}, {-1}, {1}]


def test_another_fit_may_be_given():
    vectors, group = groups(9, 30, 4)
    found = samseg.cluster(vectors, KMeans(classes=3))
    assert [set(found[group == i].tolist()) for i in range(3)] == [{1}, {0}, {2}]


def test_a_picture_without_masks_has_no_classes():
    assert samseg.cluster(np.zeros((0, 256), "f4")).shape == (0,)


def test_a_single_vector_is_an_error():
    with pytest.raises(ConfigError, match=r"\(n, d\).*got \(256,\)"):
        samseg.cluster(np.zeros(256))
