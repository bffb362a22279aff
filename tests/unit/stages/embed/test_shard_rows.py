import numpy as np
import pytest
from pycocotools import mask as coco

from samseg import schema
from samseg.errors import ImageError, ShardError
from samseg.output import Output
from samseg.stages.embed.prefetch import DecodedImage
from samseg.stages.embed.shard_rows import ShardRows
from samseg.types import Image, Masks, Pooled, RawImage, Shard, Source

SHARD = Shard.of([Source(k, f"file:///{k}", "e", 1) for k in ("a", "b")], 2)


def decoded(key, image=None):
    return DecodedImage(
        RawImage(key, f"file:///{key}", b"bytes"),
        image or Image(np.zeros((6, 8, 3), np.uint8), "PNG", "exif_rotated"),
        sha256="0" * 64,
        read_s=0.1,
        decode_s=0.2,
    )


def masks_and_embeddings(n, empty=()):
    """Return n masks of increasing size in a 6 x 8 image, and their embeddings."""
    dense = np.zeros((n, 6, 8), bool)
    for i in range(n):
        dense[i, 1 : 3 + i % 4, 2:5] = True
    masks = Masks(
        size=(6, 8),
        boxes=np.array([[2, 1, 4, 2 + i % 4] for i in range(n)], np.int32).reshape(n, 4),
        areas=dense.sum((1, 2)).astype(np.int64),
        predicted_iou=np.full(n, 0.9, np.float32),
        stability_score=np.full(n, 0.8, np.float32),
        points=np.full((n, 2), 3.5, np.float32),
        crops=np.tile(np.array([0, 0, 8, 6], np.int32), (n, 1)),
        rles=tuple(coco.encode(np.asfortranarray(m.astype(np.uint8))) for m in dense),
        prompt_kind="grid",
        prompt_ids=np.arange(n, dtype=np.int32),
    )
    vectors = np.arange(n * 256, dtype=np.float32).reshape(n, 256)
    pooled = Pooled(vectors, np.ones(n, np.float32), np.isin(np.arange(n), empty))
    return masks, pooled


def add(rows, key, n, empty=(), parent=None):
    masks, pooled = masks_and_embeddings(n, empty)
    parent = np.full(n, -1, np.int32) if parent is None else np.array(parent, np.int32)
    image = Image(np.zeros((6, 8, 3), np.uint8), "PNG", "exif_rotated")
    rows.add(decoded(key), image, masks, pooled, parent, (parent >= 0).astype(np.int32), 1.0, 0.5)


@pytest.fixture
def output(tmp_path):
    return Output(str(tmp_path))


def read(output, key):
    return schema.decode(output.storage.get(key)).to_pylist()


def test_a_shard_is_committed_as_two_parts(output):
    rows = ShardRows(SHARD)
    add(rows, "a", 3, empty=[1], parent=[2, -1, -1])
    rows.add_failure(
        decoded("b", ImageError("undecodable", "not\nan image")),
        ImageError("undecodable", "not\nan image"),
    )
    result = rows.commit(output)
    assert result.committed and result.masks == 3
    assert dict(result.statuses) == {"ok": 1, "undecodable": 1}

    images = read(output, output.images_key(SHARD.id))
    assert [(i["key"], i["status"], i["masks"], i["error"]) for i in images] == [
        ("a", "ok", 3, None),
        ("b", "undecodable", 0, "not an image"),
    ]
    assert (images[0]["width"], images[0]["height"], images[0]["note"]) == (8, 6, "exif_rotated")
    assert images[1]["width"] is None

    masks = read(output, output.masks_key(SHARD.id))
    assert [m["mask_id"] for m in masks] == [f"{images[0]['image_id']}-{i:04d}" for i in range(3)]
    assert [m["status"] for m in masks] == ["ok", "empty", "ok"]
    assert [m["embedding"] is None for m in masks] == [False, True, False]
    assert [m["parent_mask_id"] for m in masks] == [masks[2]["mask_id"], None, None]


def test_boxes_are_coco_boxes(output):
    rows = ShardRows(SHARD)
    add(rows, "a", 2)
    rows.commit(output)
    for row in read(output, output.masks_key(SHARD.id)):
        box = coco.toBbox({"size": row["rle"]["size"], "counts": row["rle"]["counts"].encode()})
        assert [row["bbox"][k] for k in "xywh"] == box.tolist()
        assert row["crop"] == {"x": 0, "y": 0, "w": 8, "h": 6}
        assert row["area"] == row["bbox"]["w"] * row["bbox"]["h"]


def test_a_shard_without_masks(output):
    rows = ShardRows(SHARD)
    add(rows, "a", 0)
    result = rows.commit(output)
    assert dict(result.statuses) == {"no_masks": 1}
    assert read(output, output.masks_key(SHARD.id)) == []


def test_a_second_commit_changes_nothing_and_reports_it(output):
    first, second = ShardRows(SHARD), ShardRows(SHARD)
    for rows in (first, second):
        add(rows, "a", 2)
    assert first.commit(output).committed is True
    before = {s.key: output.storage.get(s.key) for s in output.storage.list()}
    assert second.commit(output).committed is False
    assert {s.key: output.storage.get(s.key) for s in output.storage.list()} == before


@pytest.mark.parametrize(
    ("mine", "status", "masks"),
    [("crashed", "ok", 2), (0, "ok", 2), (5, "ok", 2)],
    ids=["skipped by this attempt", "fewer masks", "more masks"],
)
def test_the_images_part_agrees_with_a_stored_masks_part(output, mine, status, masks):
    first = ShardRows(SHARD)
    add(first, "a", 2)
    first.commit(Output(output.uri))
    (path,) = [s.key for s in output.storage.list("images/")]
    masks_part = output.storage.get(output.masks_key(SHARD.id))
    fresh = Output(output.uri + "-2")  # as if the first attempt died between its two PUTs
    fresh.storage.put_new(fresh.masks_key(SHARD.id), masks_part)

    second = ShardRows(SHARD)
    if mine == "crashed":
        error = ImageError("crashed", "the worker died")
        second.add_failure(decoded("a", error), error)
    else:
        add(second, "a", mine)
    result = second.commit(fresh)
    (image,) = read(fresh, path)
    assert (image["status"], image["masks"], image["error"]) == (status, masks, None)
    assert (image["width"], image["height"]) == (8, 6)
    assert result.masks == 2


def test_an_image_without_masks_in_the_stored_part_has_status_no_masks(output):
    output.storage.put_new(output.masks_key(SHARD.id), schema.encode(schema.MASKS.empty_table()))
    rows = ShardRows(SHARD)
    add(rows, "a", 2)
    result = rows.commit(output)
    assert dict(result.statuses) == {"no_masks": 1} and result.masks == 0


def died_after_its_masks_part(output, *, failed=(), labelled=()):
    """Return another folder with only the masks part of an attempt."""
    rows = ShardRows(SHARD)
    for key in failed:
        rows.add_failure(decoded(key), ImageError("unreadable", f"{key}: the store refused"))
    for key, masks in labelled:
        add(rows, key, masks)
    rows.put_masks(output)
    return output


@pytest.mark.parametrize("mine", [2, 0, "undecodable"])
def test_an_image_that_failed_in_the_stored_part_keeps_its_status_and_error(output, mine):
    """Its masks were never written, so no row may say that the image has none, or some."""
    stored = died_after_its_masks_part(output, failed=["a"], labelled=[("b", 1)])
    rows = ShardRows(SHARD)
    if mine == "undecodable":
        rows.add_failure(decoded("a"), ImageError("undecodable", "cut short"))
    else:
        add(rows, "a", mine)
    add(rows, "b", 3)
    result = rows.commit(stored)
    a, b = read(stored, stored.images_key(SHARD.id))
    assert (a["status"], a["masks"], a["error"]) == ("unreadable", 0, "a: the store refused")
    assert (b["status"], b["masks"], b["error"]) == ("ok", 1, None)
    assert dict(result.statuses) == {"unreadable": 1, "ok": 1} and result.masks == 1


def test_an_image_without_masks_in_the_stored_part_is_not_recorded_as_this_attempts_failure(output):
    stored = died_after_its_masks_part(output, labelled=[("a", 0), ("b", 1)])
    rows = ShardRows(SHARD)
    rows.add_failure(decoded("a"), ImageError("unreadable", "refused"))
    add(rows, "b", 1)
    rows.commit(stored)
    (a, _) = read(stored, stored.images_key(SHARD.id))
    assert (a["status"], a["error"], a["width"], a["height"]) == ("no_masks", None, 8, 6)


@pytest.mark.parametrize("kind", ["failed", "labelled"])
def test_a_stored_part_with_images_that_were_not_read_is_not_committed(output, kind):
    given = {"failed": ["b"]} if kind == "failed" else {"labelled": [("b", 2)]}
    stored = died_after_its_masks_part(output, **given)
    rows = ShardRows(SHARD)
    add(rows, "a", 1)
    with pytest.raises(ShardError, match=r"1 images that this attempt did not read.*include"):
        rows.commit(stored)
    assert not stored.committed()
