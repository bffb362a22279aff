"""Fits of rows are those of the cluster stage, and depend on the set of masks alone."""

import numpy as np
import pytest
from pydantic import ValidationError

from samseg import schema
from samseg.clustering import HDBSCAN, KMeans, Linkage
from samseg.clustering.settings import ClusterSettings
from samseg.features import EfficientNetLite0Embedding
from samseg.lab.evaluation.classes.labelled_masks import LabelledMasks, PhotoMasks
from samseg.lab.evaluation.classes.rows import Compared, Row, fit_codebook
from samseg.stages.cluster.codebook_store import load_codebook
from samseg.stages.cluster.stage import cluster


def masks_of(mask_ids):
    codes = np.zeros(len(mask_ids), np.int64)
    part = PhotoMasks(tuple(mask_ids), ({},) * len(mask_ids), codes)
    return LabelledMasks.join({"p": part}, ("x", "y"), {})


@pytest.mark.parametrize(
    "clusters",
    [
        ClusterSettings(fit=Linkage(min_size=3)),
        ClusterSettings(fit=Linkage(min_size=2), reference=9),
        ClusterSettings(fit=KMeans(classes=3), reference=15),
    ],
    ids=["linkage", "linkage of a sample, in levels", "k-means of a sample"],
)
def test_the_codebook_is_that_of_the_cluster_stage(small_output, clusters):
    made = small_output(codebook=False)
    parts = [made.output.read(made.output.masks_key(s)) for s in made.shards]
    mask_ids = [i for part in parts for i in part["mask_id"].to_pylist()]
    vectors = np.concatenate([schema.matrix_of(part["embedding"]) for part in parts])
    cluster(made.output, clusters, recipe_fingerprint="r")
    wanted = load_codebook(made.output, 1)
    found = fit_codebook(masks_of(mask_ids), np.arange(len(mask_ids)), vectors, clusters)
    assert len(wanted.active) > 1
    np.testing.assert_array_equal(found.assign(vectors).class_ids, wanted.assign(vectors).class_ids)


def test_the_order_of_masks_does_not_matter():
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(4, 16))[np.arange(60) % 4] + rng.normal(size=(60, 16)) / 3).astype(
        np.float32
    )
    ids = [f"{i:04d}" for i in range(60)]
    order = rng.permutation(60)
    clusters = ClusterSettings()
    first = fit_codebook(masks_of(ids), np.arange(60), vectors, clusters)
    other = masks_of([ids[i] for i in order])
    second = fit_codebook(other, np.arange(60), vectors[order], clusters)
    np.testing.assert_array_equal(first.assign(vectors).class_ids, second.assign(vectors).class_ids)


def test_the_true_number_of_classes():
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(2, 16))[np.arange(40) % 2] + rng.normal(size=(40, 16)) / 9).astype(
        np.float32
    )
    masks = masks_of([f"{i:04d}" for i in range(40)])
    found = Row("r", ClusterSettings(), vectors).of_true_k(masks)
    assert len(np.unique(found)) == 2 and len(np.unique(found[::2])) == 1


def test_embeddings_that_are_compared():
    larger = EfficientNetLite0Embedding(name="larger", long_side=1024)
    default = EfficientNetLite0Embedding()
    assert Compared(embeddings=(larger, default)).embeddings == (default, larger)
    assert Compared(fit=HDBSCAN()).clusters.fit == HDBSCAN()
    for name in ("efficientnet_lite0", "sam_mask_mean"):
        with pytest.raises(ValidationError, match=f"two embeddings are named '{name}'"):
            Compared(embeddings=(EfficientNetLite0Embedding(name=name, long_side=1024),))
