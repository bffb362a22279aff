import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from samseg.clustering import DBSCAN, KMeans
from samseg.clustering.build import build
from samseg.clustering.codebook import Codebook
from samseg.clustering.found import find
from samseg.clustering.levels import fitted
from samseg.clustering.sample import FitSample
from samseg.clustering.settings import ClusterSettings
from samseg.errors import CodebookError, StorageError
from samseg.output import Output
from samseg.stages.cluster.codebook_store import (
    commit_codebook,
    load_codebook,
    write_codebook,
)

EPS = ClusterSettings(fit=DBSCAN(eps=0.2, min_samples=4))


def fit_sample(classes: int = 3, each: int = 10, noise: int = 20, seed: int = 0) -> FitSample:
    g = np.random.default_rng(seed)
    centers = g.standard_normal((classes, 256)) + 0.2
    tight = np.repeat(centers, each, axis=0) + 0.2 * g.standard_normal((classes * each, 256))
    rows = np.concatenate([tight, g.standard_normal((noise, 256)) + 0.2]).astype(np.float32)
    ids = [f"image{i % 7}-{i:04d}" for i in range(len(rows))]
    return FitSample(ids, [i.split("-")[0] for i in ids], rows, np.full(len(ids), -1, np.int32))


def codebook(settings=EPS, **sample) -> Codebook:
    masks = fit_sample(**sample)
    found = fitted(find(masks, settings, len(masks)))
    return build(found, settings, None, 1, "recipe", {"masks": 50})


@pytest.fixture
def output(tmp_path) -> Output:
    return Output(str(tmp_path / "out"))


@pytest.mark.parametrize(
    "settings",
    [EPS, ClusterSettings(fit=DBSCAN()), ClusterSettings(fit=KMeans(classes=4)), ClusterSettings()],
)
@pytest.mark.parametrize("each", [0, 10])
def test_a_codebook_round_trips(output, settings, each):
    written = codebook(settings, each=each)
    assert write_codebook(output, written)
    assert commit_codebook(output, written)
    loaded = load_codebook(output)
    rows = fit_sample().embeddings
    for a, b in zip(_values(written.assign(rows)), _values(loaded.assign(rows)), strict=True):
        assert np.array_equal(a, b, equal_nan=True)
    for name in ("version", "parent", "eps", "settings", "notes", "curve", "embedding"):
        assert getattr(loaded, name) == getattr(written, name)
    assert [_facts(c) for c in loaded.classes] == [_facts(c) for c in written.classes]
    assert (loaded.node_classes == written.node_classes).all()


def _facts(c):
    return c.class_id, c.medoid_mask_id, c.size, c.radius, c.node, c.neighbours, c.parents


def _values(assigned):
    cells = np.zeros(0) if assigned.cells is None else assigned.cells
    return assigned.class_ids, assigned.distances, assigned.margins, assigned.valid, cells


def test_a_codebook_without_manifest_is_not_found(output):
    write_codebook(output, codebook())
    with pytest.raises(CodebookError, match=r"no codebook.*samseg cluster"):
        load_codebook(output)


def test_rewriting_is_idempotent_and_another_codebook_at_the_version_is_refused(output):
    write_codebook(output, codebook())
    assert write_codebook(output, codebook())
    assert not write_codebook(output, codebook(seed=1))
    assert commit_codebook(output, codebook())
    assert commit_codebook(output, codebook())


def test_a_missing_version_is_refused(output):
    write_codebook(output, codebook())
    commit_codebook(output, codebook())
    with pytest.raises(CodebookError, match="no codebook v4"):
        load_codebook(output, 4)


@pytest.mark.parametrize("dimension", [128, 384])
def test_embeddings_of_any_length_round_trip(output, dimension):
    masks = fit_sample()
    rows = np.tile(masks.embeddings, 2)[:, :dimension]
    masks = replace(masks, embeddings=rows)
    found = fitted(find(masks, ClusterSettings(), len(masks)))
    written = build(found, ClusterSettings(), None, 1, "recipe", {"masks": 50})
    assert write_codebook(output, written)
    assert commit_codebook(output, written)
    assert written.active
    assert (load_codebook(output).assign(rows).class_ids == written.assign(rows).class_ids).all()


def test_the_tree_is_a_table(output):
    written = codebook(ClusterSettings())
    write_codebook(output, written)
    tree = output.read("classes/v000001/tree.parquet").to_pylist()
    cells = output.read("classes/v000001/cells.parquet").to_pylist()
    assert [row["node"] for row in tree] == list(range(2 * len(cells) - 1))
    assert sum(row["parent"] is None for row in tree) == 1
    classes = output.read("classes/v000001/classes.parquet").to_pylist()
    assert len(classes) > 1
    for c in classes:
        own = [row for row in tree if row["class_id"] == c["class_id"]]
        assert max(row["node"] for row in own) == c["node"]
        assert max(row["height"] for row in own) == c["height"] <= 0.8
        assert set(c["neighbours"]) == {o["class_id"] for o in classes} - {c["class_id"]}
    above = [row for row in tree if row["class_id"] is None]
    assert min(row["height"] for row in above) > 0.8


def test_the_manifest_is_plain_json(output):
    written = codebook(ClusterSettings(fit=DBSCAN()))
    write_codebook(output, written)
    commit_codebook(output, written)
    manifest = json.loads(output.storage.get("classes/v000001/codebook.json"))
    assert manifest["classes"] == 3
    assert manifest["settings"]["fit"] == {"kind": "dbscan", "eps": "auto", "min_samples": 5}
    assert len(manifest["curve"]) > 10


OBJECTS = ["codebook.json", "transform.npz"] + [
    f"{name}.parquet" for name in ("core", "classes", "tree", "cells")
]


def of_another_kind(name):
    """Return a valid object of the same format with other contents."""
    sink = io.BytesIO()
    if name.endswith(".json"):
        return b'{"version": 1}'
    if name.endswith(".npz"):
        np.savez(sink, other=np.zeros(3))
    else:
        pq.write_table(pa.table({"other": [1, 2]}), sink)
    return sink.getvalue()


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("damage", ["empty", "cut", "garbage", "another"])
def test_a_damaged_object_is_named_with_what_to_do(output, name, damage):
    written = codebook(ClusterSettings())
    write_codebook(output, written)
    commit_codebook(output, written)
    path = Path(output.uri.removeprefix("file://")) / "classes" / "v000001" / name
    whole = path.read_bytes()
    contents = {
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "garbage": b"\x80\x04" + whole[::-1],
        "another": of_another_kind(name),
    }
    path.write_bytes(contents[damage])
    with pytest.raises(StorageError) as caught:
        load_codebook(output)
    message = str(caught.value)
    assert f"classes/v000001/{name} is damaged" in message
    assert "delete classes/v000001 and the classes/*/next.json of version 1, and run" in message
    assert "\n" not in message
