"""Classes of a named embedding, and folders where only some shards have it."""

import numpy as np
import pytest

from samseg import schema
from samseg.clustering import DBSCAN
from samseg.clustering.settings import ClusterSettings
from samseg.errors import CodebookError
from samseg.features import MaskEmbeddings
from samseg.stages.cluster.codebook_store import load_codebook
from samseg.stages.embed.named_rows import NamedRows


def name_embedding(lake, name, shards):
    """Give the masks of some shards a named embedding: the first 40 numbers of SAM's."""
    lake.guard({"kind": "efficientnet_lite0"}, lake.embedding_recipe_key(name))
    for shard in shards:
        part = lake.read(lake.masks_key(shard), ["mask_id", "status", "embedding"])
        valid = np.array(part["status"].to_pylist()) == "ok"
        vectors = np.zeros((len(valid), 256), np.float32)
        vectors[valid] = schema.matrix_of(part["embedding"].filter(schema.pa.array(valid)))
        rows = NamedRows(name, 40)
        statuses = tuple(np.where(valid, "ok", "missing").tolist())
        rows.add(part["mask_id"].to_pylist(), MaskEmbeddings(vectors[:, :40], statuses))
        rows.put(lake, shard)


def test_classes_of_a_named_embedding(lake):
    name_embedding(lake, "first40", ["a", "b", "c"])
    settings = ClusterSettings(fit=DBSCAN(eps=0.4, min_samples=4), embedding="first40")
    report = lake.night(settings)
    assert report.classes == 4
    assert load_codebook(lake).prototypes.vectors.shape[1] == 40
    classes, truth = lake.classes(report.version), lake.truth()
    assert len(classes) == sum(lake.read(lake.masks_key(s)).num_rows for s in lake.committed())
    for kind in range(4):
        assert len({classes[m] for m, k in truth.items() if k == kind} - {-1}) == 1


def test_no_fit_before_every_shard_has_the_embedding(lake):
    name_embedding(lake, "first40", ["a", "b"])
    settings = ClusterSettings(fit=DBSCAN(eps=0.4, min_samples=4), embedding="first40")
    with pytest.raises(CodebookError, match=r"1 of 3 committed shards .*'first40'.*describe"):
        lake.night(settings)
    name_embedding(lake, "first40", ["c"])
    version = lake.night(settings).version
    lake.add_shard("d")
    lake.night(settings)
    assert lake.assigned(version) == {"a", "b", "c"}  # the new shard lacks it, and has no part
    name_embedding(lake, "first40", ["d"])
    lake.night(settings)
    assert lake.assigned(version) == {"a", "b", "c", "d"}


def test_an_embedding_that_is_not_there_is_named_with_those_that_are(lake):
    name_embedding(lake, "first40", ["a"])
    with pytest.raises(CodebookError, match=r"no embedding 'dino' \(it has: sam, first40\)"):
        lake.night(ClusterSettings(embedding="dino"))
