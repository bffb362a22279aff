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


def codebook(settings=EPS, **world) -> Codebook:
    notes = {"masks": 50, "masks_bytes": 5000}
    return build(fit_sample(**world), settings, None, 1, "recipe", notes)


@pytest.fixture
def output(tmp_path) -> Output:
    return Output(str(tmp_path / "out"))


@pytest.mark.parametrize(
    "settings", [EPS, ClusterSettings(fit=KMeans(classes=4)), ClusterSettings()]
)
@pytest.mark.parametrize("each", [0, 10])
def test_what_is_written_is_what_is_loaded(output, settings, each):
    wrote = codebook(settings, each=each)
    assert write_codebook(output, wrote)
    assert commit_codebook(output, wrote)
    read = load_codebook(output, "recipe")
    rows = fit_sample().embeddings
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
    write_codebook(output, codebook())
    with pytest.raises(CodebookError, match=r"no codebook.*samseg cluster"):
        load_codebook(output, "recipe")


def test_writing_again_is_fine_and_another_one_at_its_version_is_not(output):
    write_codebook(output, codebook())
    assert write_codebook(output, codebook())
    assert not write_codebook(output, codebook(seed=1))
    assert commit_codebook(output, codebook())
    assert commit_codebook(output, codebook())


@pytest.mark.parametrize(
    ("recipe", "version", "message"),
    [("other", None, "recipe recipe, these are of recipe other"), ("recipe", 4, "no codebook v4")],
)
def test_one_of_another_recipe_or_version_is_refused(output, recipe, version, message):
    wrote = codebook()
    write_codebook(output, wrote)
    commit_codebook(output, wrote)
    with pytest.raises(CodebookError, match=message):
        load_codebook(output, recipe, version)


def test_the_manifest_is_plain_json(output):
    wrote = codebook(ClusterSettings())
    write_codebook(output, wrote)
    commit_codebook(output, wrote)
    manifest = json.loads(output.storage.get("classes/v000001/codebook.json"))
    assert manifest["classes"] == 3
    assert manifest["settings"]["fit"] == {"kind": "dbscan", "eps": "auto", "min_samples": 5}
    assert len(manifest["curve"]) > 10
