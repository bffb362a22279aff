import json

import numpy as np
import pytest

from samseg.clustering import DBSCAN, KMeans
from samseg.clustering.build import FitSample, build
from samseg.clustering.codebook import Codebook
from samseg.clustering.settings import ClusterSettings
from samseg.errors import CodebookError
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
    notes = {"masks": 50, "masks_bytes": 5000}
    return build(fit_sample(**sample), settings, None, 1, "recipe", notes)


@pytest.fixture
def output(tmp_path) -> Output:
    return Output(str(tmp_path / "out"))


@pytest.mark.parametrize(
    "settings", [EPS, ClusterSettings(fit=KMeans(classes=4)), ClusterSettings()]
)
@pytest.mark.parametrize("each", [0, 10])
def test_a_codebook_round_trips(output, settings, each):
    written = codebook(settings, each=each)
    assert write_codebook(output, written)
    assert commit_codebook(output, written)
    loaded = load_codebook(output, "recipe")
    rows = fit_sample().embeddings
    for a, b in zip(_values(written.assign(rows)), _values(loaded.assign(rows)), strict=True):
        assert np.array_equal(a, b, equal_nan=True)
    for name in ("version", "parent", "eps", "settings", "notes", "curve", "next_id"):
        assert getattr(loaded, name) == getattr(written, name)
    assert [(c.class_id, c.medoid_mask_id, c.size) for c in loaded.classes] == [
        (c.class_id, c.medoid_mask_id, c.size) for c in written.classes
    ]


def _values(assigned):
    return assigned.class_ids, assigned.distances, assigned.margins, assigned.valid


def test_a_codebook_without_manifest_is_not_found(output):
    write_codebook(output, codebook())
    with pytest.raises(CodebookError, match=r"no codebook.*samseg cluster"):
        load_codebook(output, "recipe")


def test_rewriting_is_idempotent_and_another_codebook_at_the_version_is_refused(output):
    write_codebook(output, codebook())
    assert write_codebook(output, codebook())
    assert not write_codebook(output, codebook(seed=1))
    assert commit_codebook(output, codebook())
    assert commit_codebook(output, codebook())


@pytest.mark.parametrize(
    ("recipe", "version", "message"),
    [
        ("other", None, "recipe recipe, but the config has recipe other"),
        ("recipe", 4, "no codebook v4"),
    ],
)
def test_another_recipe_or_a_missing_version_is_refused(output, recipe, version, message):
    written = codebook()
    write_codebook(output, written)
    commit_codebook(output, written)
    with pytest.raises(CodebookError, match=message):
        load_codebook(output, recipe, version)


def test_the_manifest_is_plain_json(output):
    written = codebook(ClusterSettings())
    write_codebook(output, written)
    commit_codebook(output, written)
    manifest = json.loads(output.storage.get("classes/v000001/codebook.json"))
    assert manifest["classes"] == 3
    assert manifest["settings"]["fit"] == {"kind": "dbscan", "eps": "auto", "min_samples": 5}
    assert len(manifest["curve"]) > 10
