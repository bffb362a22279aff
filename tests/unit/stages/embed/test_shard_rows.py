import numpy as np
import pytest
from pycocotools import mask as coco

from samseg import schema
from samseg.errors import ImageError
from samseg.output import Output
from samseg.stages.embed.prefetch import DecodedImage
from samseg.stages.embed.shard_rows import ShardRows
from samseg.types import Image, Masks, Pooled, RawImage, Shard, Source

SHARD = Shard.of([Source(k, f"file:///{k}", "e", 1) for k in ("a", "b")], 2)


def ready(key, image=None):
    return DecodedImage(
        RawImage(key, f"file:///{key}", b"bytes"),
        image or Image(np.zeros((6, 8, 3), np.uint8), "PNG", "exif_rotated"),
        sha256="0" * 64,
        read_s=0.1,
        decode_s=0.2,
    )


def found(n, empty=()):
    """n masks of rising size in a 6 x 8 image, and their embeddings."""
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
    masks, pooled = found(n, empty)
    parent = np.full(n, -1, np.int32) if parent is None else np.array(parent, np.int32)
    image = Image(np.zeros((6, 8, 3), np.uint8), "PNG", "exif_rotated")
    rows.add(ready(key), image, masks, pooled, parent, (parent >= 0).astype(np.int32), 1.0, 0.5)


@pytest.fixture
def output(tmp_path):
    return Output(str(tmp_path))


def read(output, key):
    return schema.decode(output.storage.get(key)).to_pylist()


def test_a_shard_becomes_two_parts(output):
    rows = ShardRows(SHARD)
    add(rows, "a", 3, empty=[1], parent=[2, -1, -1])
    rows.add_failure(
        ready("b", ImageError("undecodable", "no\npicture")),
        ImageError("undecodable", "no\npicture"),
    )
    receipt = rows.commit(output)
    assert receipt.committed and receipt.masks == 3
    assert dict(receipt.statuses) == {"ok": 1, "undecodable": 1}

    images = read(output, output.images_key(SHARD.id))
    assert [(i["key"], i["status"], i["masks"], i["error"]) for i in images] == [
        ("a", "ok", 3, None),
        ("b", "undecodable", 0, "no picture"),
    ]
    assert (images[0]["width"], images[0]["height"], images[0]["note"]) == (8, 6, "exif_rotated")
    assert images[1]["width"] is None

    masks = read(output, output.masks_key(SHARD.id))
    assert [m["mask_id"] for m in masks] == [f"{images[0]['image_id']}-{i:04d}" for i in range(3)]
    assert [m["status"] for m in masks] == ["ok", "empty", "ok"]
    assert [m["embedding"] is None for m in masks] == [False, True, False]
    assert [m["parent_mask_id"] for m in masks] == [masks[2]["mask_id"], None, None]


def test_boxes_are_true_coco_boxes(output):
    rows = ShardRows(SHARD)
    add(rows, "a", 2)
    rows.commit(output)
    for row in read(output, output.masks_key(SHARD.id)):
        box = coco.toBbox({"size": row["rle"]["size"], "counts": row["rle"]["counts"].encode()})
        assert [row["bbox"][k] for k in "xywh"] == box.tolist()
        assert row["crop"] == {"x": 0, "y": 0, "w": 8, "h": 6}
        assert row["area"] == row["bbox"]["w"] * row["bbox"]["h"]


def test_an_image_without_masks_and_a_shard_without_any(output):
    rows = ShardRows(SHARD)
    add(rows, "a", 0)
    receipt = rows.commit(output)
    assert dict(receipt.statuses) == {"no_masks": 1}
    assert read(output, output.masks_key(SHARD.id)) == []


def test_a_second_attempt_changes_nothing_and_says_so(output):
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
    ids=["skipped here, labelled there", "none here", "more here"],
)
def test_images_agree_with_the_masks_part_that_stands(output, mine, status, masks):
    died = ShardRows(SHARD)
    add(died, "a", 2)
    died.commit(Output(output.uri))
    (path,) = [s.key for s in output.storage.list("images/")]
    masks_part = output.storage.get(output.masks_key(SHARD.id))
    fresh = Output(output.uri + "-2")  # the attempt died between its two puts
    fresh.storage.put_new(fresh.masks_key(SHARD.id), masks_part)

    again = ShardRows(SHARD)
    if mine == "crashed":
        error = ImageError("crashed", "the worker died")
        again.add_failure(ready("a", error), error)
    else:
        add(again, "a", mine)
    receipt = again.commit(fresh)
    (image,) = read(fresh, path)
    assert (image["status"], image["masks"], image["error"]) == (status, masks, None)
    assert (image["width"], image["height"]) == (8, 6)
    assert receipt.masks == 2


def test_labelled_here_but_without_masks_there(output):
    output.storage.put_new(output.masks_key(SHARD.id), schema.encode(schema.MASKS.empty_table()))
    rows = ShardRows(SHARD)
    add(rows, "a", 2)
    receipt = rows.commit(output)
    assert dict(receipt.statuses) == {"no_masks": 1} and receipt.masks == 0
