"""Existing folders: what the config leaves open keeps its stored value."""

import json

import pytest

from samseg.config import parse, recipe_of
from samseg.errors import CodebookError, ConfigError, RecipeError, StorageError
from samseg.output import Output
from samseg.recipe import fingerprint
from samseg.resume import completed, completed_embedding, resumed
from samseg.sam.weights.registry import resolve

OLD_MASKS = {
    "points_per_side": 16,
    "pred_iou_thresh": 0.3,
    "stability_score_thresh": 0.1,
    "stability_score_offset": 1.0,
    "box_nms_thresh": 0.7,
    "crop_n_layers": 0,
    "crop_nms_thresh": 0.7,
    "crop_overlap_ratio": 512 / 1500,
    "crop_n_points_downscale_factor": 1,
    "point_grids": None,
    "min_mask_region_area": 0,
}
OLD = {
    "schema": 1,
    "weights_sha256": "0" * 64,
    "decode": {"max_pixels": 1000, "max_bytes": 2000, "background": [255, 255, 255]},
    "precision": "bfloat16",
    "prompts": "grid",
    "masks": OLD_MASKS,  # before `points` was a setting
    "pooling": {"kind": "mask_mean"},
}
LITE = {
    "schema": 1,
    "kind": "efficientnet_lite0",
    "weights_sha256": "1" * 64,
    "projection_sha256": "2" * 64,
    "long_side": 1024,
    "pooling": {"kind": "coverage"},
}


@pytest.fixture
def output(tmp_path):
    return Output(str(tmp_path / "out"))


def config(output, **sections):
    return parse({"output": output.uri, "reader": {"kind": "folder", "uri": "lake"}, **sections})


def put(output, key, value):
    assert output.storage.put_new(key, json.dumps(value).encode())


def guarded(output, **sections):
    """Check a config against the folder as a night does."""
    found = resumed(config(output, **sections), output)
    recipe = recipe_of(found, "0" * 64, found.masks.resolved({"pred_iou_thresh": 0.9}))
    output.guard(recipe, completed=completed)
    return found


def test_a_new_folder_has_the_config_s_values_and_one_embedding(output):
    found = resumed(config(output), output)
    assert found == config(output, cluster={"embedding": "efficientnet_lite0"})
    assert [e.name for e in found.embeddings] == ["efficientnet_lite0"]


def test_an_old_folder_keeps_its_values_and_has_no_named_embedding(output):
    put(output, output.recipe_key, OLD)
    found = guarded(output)
    assert found.masks.points_per_side == 16 and found.masks.pred_iou_thresh == 0.3
    assert found.pooling.kind == "mask_mean" and found.model.precision == "bfloat16"
    assert found.decode.max_pixels == 1000
    assert found.embeddings == ()
    assert found.cluster.embedding == "sam"
    assert fingerprint(output.recipe()) == fingerprint(OLD)


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({"masks": {"points_per_side": 32}}, "masks.points_per_side: the folder has 16"),
        ({"masks": {"points": {"kind": "adaptive"}}}, "masks.points.kind: the folder has"),
        ({"pooling": {"kind": "coverage"}}, "pooling.kind: the folder has .mask_mean"),
        ({"model": {"precision": "float32"}}, "precision: the folder has .bfloat16"),
        ({"decode": {"max_pixels": 5}}, "decode.max_pixels: the folder has 1000"),
    ],
)
def test_only_what_is_set_can_conflict(output, sections, key):
    put(output, output.recipe_key, OLD)
    with pytest.raises(RecipeError, match=key) as caught:
        guarded(output, **sections)
    assert sum(": the folder has" in line for line in str(caught.value).splitlines()) == 1


def test_values_that_are_set_as_stored_are_fine(output):
    put(output, output.recipe_key, OLD)
    guarded(output, masks={"points_per_side": 16, "points_per_batch": 8}, decode={})


def test_a_newer_format_is_refused_by_name(output):
    put(output, output.recipe_key, OLD | {"schema": 2})
    with pytest.raises(RecipeError, match="later version of samseg"):
        guarded(output)
    other = Output(output.uri + "2")
    put(other, other.recipe_key, OLD | {"pooling": {"kind": "attention"}})
    with pytest.raises(ConfigError, match="pooling"):
        guarded(other)


def test_a_folder_keeps_its_named_embeddings(output):
    put(output, output.recipe_key, OLD)
    put(output, output.embedding_recipe_key("mine"), LITE)
    found = guarded(output)
    assert [(e.name, e.kind, e.long_side) for e in found.embeddings] == [
        ("mine", "efficientnet_lite0", 1024)
    ]
    assert found.embeddings[0].pooling.kind == "coverage"
    assert found.cluster.embedding == "mine"


def test_an_embedding_that_is_named_is_completed_from_its_recipe(output):
    put(output, output.recipe_key, OLD)
    put(output, output.embedding_recipe_key("mine"), LITE)
    found = guarded(
        output,
        embeddings=[
            {"kind": "efficientnet_lite0", "name": "mine"},
            {"kind": "efficientnet_lite0", "name": "new"},
        ],
    )
    assert [e.long_side for e in found.embeddings] == [1024, 640]
    wanted = found.embeddings[0].settings() | {"weights_sha256": "1" * 64}
    stored = completed_embedding(LITE)
    assert {k: stored[k] for k in wanted} == wanted


def test_another_recipe_of_an_embedding_is_refused_with_its_keys(output):
    put(output, output.embedding_recipe_key("mine"), LITE)
    with pytest.raises(RecipeError) as caught:
        output.guard(
            LITE | {"long_side": 640, "weights_sha256": "3" * 64},
            output.embedding_recipe_key("mine"),
            completed_embedding,
        )
    text = str(caught.value)
    assert "embeddings/mine was written with another recipe" in text
    assert "long_side: the folder has 1024, the config wants 640" in text
    assert "weights_sha256" in text and "pooling" not in text


def test_a_setting_that_a_recipe_lacks_has_its_default(output):
    put(
        output,
        output.embedding_recipe_key("mine"),
        {k: v for k, v in LITE.items() if k != "pooling"},
    )
    found = {**LITE, "pooling": {"kind": "coverage_squared"}}
    output.guard(found, output.embedding_recipe_key("mine"), completed_embedding)


DBSCAN = {
    "fit": {"kind": "dbscan", "eps": 0.1, "min_samples": 4},
    "reference": 20_000,
    "center": True,
}
"""As stored by versions that knew neither linkage nor named embeddings."""


@pytest.mark.parametrize(
    ("settings", "cluster", "kind", "name"),
    [
        (DBSCAN, {}, "dbscan", "sam"),
        (DBSCAN, {"fit": {"kind": "linkage"}}, "linkage", "sam"),
        (DBSCAN, {"embedding": "mine"}, "dbscan", "mine"),
        (DBSCAN | {"embedding": "mine"}, {}, "dbscan", "mine"),
        (DBSCAN | {"embedding": "mine"}, {"embedding": "sam"}, "dbscan", "sam"),
    ],
)
def test_classes_stay_as_in_the_newest_codebook(output, settings, cluster, kind, name):
    put(output, output.recipe_key, OLD)
    put(output, output.embedding_recipe_key("mine"), LITE)
    put(output, output.codebook_key(2, "codebook.json"), {"settings": {"fit": {"kind": "linkage"}}})
    put(output, output.codebook_key(3, "codebook.json"), {"settings": settings})
    found = resumed(config(output, cluster=cluster), output).cluster
    assert (found.fit.kind, found.embedding) == (kind, name)
    assert "kind" in cluster.get("fit", {}) or found.fit.eps == 0.1


@pytest.mark.parametrize(
    ("settings", "cluster", "message"),
    [
        (DBSCAN | {"sharpness": 3}, {}, r"codebook v3 .*sharpness"),
        (DBSCAN, {"granularity": 0.5}, r"codebook v3 .*not that of 'dbscan'"),
    ],
)
def test_settings_that_do_not_go_with_the_codebook_are_refused(output, settings, cluster, message):
    put(output, output.codebook_key(3, "codebook.json"), {"settings": settings})
    with pytest.raises(CodebookError, match=message):
        resumed(config(output, cluster=cluster), output)


LITE0 = {"kind": "efficientnet_lite0"}
NEW = {"kind": "efficientnet_lite0", "name": "new"}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"embeddings": []},
            r"classes of .* to the embedding 'mine', .* embeddings: \[\], .* to sam$",
        ),
        (
            {"embeddings": [NEW]},
            r"to the embedding 'mine', .* embeddings: \[new\], .* to sam or new$",
        ),
        (
            {"embeddings": [NEW], "cluster": {"embedding": "mine"}},
            r"cluster.embedding is 'mine', .* embeddings: \[new\], .* to sam or new$",
        ),
        (
            {"cluster": {"embedding": "dino"}},
            r"cluster.embedding is 'dino', which neither .* has; .* one of: mine, other, sam; ",
        ),
        (
            {"embeddings": [NEW], "cluster": {"embedding": "dino"}},
            r"cluster.embedding is 'dino', .* of: mine, new, other, sam; or list it",
        ),
    ],
)
def test_masks_that_would_have_no_class_are_refused(output, sections, message):
    put(output, output.recipe_key, OLD)
    for name in ("mine", "other"):
        put(output, output.embedding_recipe_key(name), LITE)
    manifest = {"settings": DBSCAN | {"embedding": "mine"}}
    put(output, output.codebook_key(1, "codebook.json"), manifest)
    with pytest.raises(ConfigError, match=message):
        resumed(config(output, **sections), output)


@pytest.mark.parametrize(
    ("sections", "name"),
    [
        ({}, "mine"),
        ({"embeddings": [], "cluster": {"embedding": "sam"}}, "sam"),
        ({"embeddings": [NEW], "cluster": {"embedding": "new"}}, "new"),
        ({"embeddings": [LITE0 | {"name": "mine"}, NEW]}, "mine"),
    ],
)
def test_classes_continue_with_an_embedding_that_new_masks_will_have(output, sections, name):
    put(output, output.recipe_key, OLD)
    put(output, output.embedding_recipe_key("mine"), LITE)
    manifest = {"settings": DBSCAN | {"embedding": "mine"}}
    put(output, output.codebook_key(1, "codebook.json"), manifest)
    assert resumed(config(output, **sections), output).cluster.embedding == name


def test_an_unknown_embedding_is_refused_in_a_new_folder(output):
    message = r"'dino', which neither .* one of: efficientnet_lite0, sam; or list it"
    with pytest.raises(ConfigError, match=message):
        resumed(config(output, cluster={"embedding": "dino"}), output)
    assert not list(output.storage.list())


@pytest.mark.parametrize("manifest", [{}, {"settings": None}, {"settings": {"fit": 3}}])
def test_a_damaged_manifest_is_named(output, manifest):
    put(output, output.codebook_key(3, "codebook.json"), manifest)
    with pytest.raises(StorageError, match=r"v000003/codebook.json is damaged"):
        resumed(config(output, cluster={"fit": {"kind": "linkage"}}), output)


@pytest.mark.parametrize(
    ("embeddings", "message"),
    [
        ([{"kind": "efficientnet_lite0", "name": "sam"}], "column `embedding` of `masks`"),
        ([{"kind": "efficientnet_lite0"}, {"kind": "efficientnet_lite0"}], "two embeddings are"),
        ([{"kind": "efficientnet_lite0", "name": "../up"}], "embeddings.0.name"),
        ([{"kind": "efficientnet_lite0", "long_side": 500}], "wanted 640 or 1024"),
        ([{"kind": "timm"}], "embeddings.0.model: missing"),
        ([{"kind": "dino"}], "embeddings.0.kind: got 'dino'"),
    ],
)
def test_mistakes_in_embeddings_are_named(output, embeddings, message):
    with pytest.raises(ConfigError, match=message):
        config(output, embeddings=embeddings)


def test_no_embedding_but_sam_s(output):
    found = config(output, embeddings=[])
    assert resumed(found, output).cluster.embedding == "sam"


@pytest.mark.parametrize("version", ["tiny-1", "tiny-2"])
@pytest.mark.parametrize("model", [{}, {"checkpoint": "tiny"}])
def test_a_folder_keeps_its_version_of_the_small_sam(output, version, model):
    sha256 = resolve(version).sha256
    put(output, output.recipe_key, OLD | {"weights_sha256": sha256})
    own = {"kind": "sam", "name": "own", "precision": "float32", "pooling": {"kind": "coverage"}}
    put(output, output.embedding_recipe_key("own"), {"weights_sha256": sha256, **own})
    found = resumed(config(output, model=model), output)
    assert found.model.checkpoint == found.embeddings[0].checkpoint == version
    named = resumed(config(output, embeddings=[own]), output)
    assert named.embeddings[0].checkpoint == version


def test_a_version_that_the_config_names_is_kept(output):
    put(output, output.recipe_key, OLD | {"weights_sha256": resolve("tiny-1").sha256})
    found = resumed(config(output, model={"checkpoint": "tiny-2"}), output)
    assert found.model.checkpoint == "tiny-2"  # which the guard of the folder refuses
