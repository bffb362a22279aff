import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from samseg.types import Masks, Shard, Source, image_id_of, mask_id_of

SOURCES = [Source(f"a/{i}.jpg", f"file:///lake/a/{i}.jpg", f"e{i}", 10 + i) for i in range(3)]


def masks_of(dense):
    n, h, w = dense.shape
    return Masks(
        size=(h, w),
        boxes=np.zeros((n, 4), np.int32),
        areas=dense.sum((1, 2)).astype(np.int64),
        predicted_iou=np.linspace(0, 1, n, dtype=np.float32),
        stability_score=np.ones(n, np.float32),
        points=np.zeros((n, 2), np.float32),
        crops=np.zeros((n, 4), np.int32),
        rles=tuple(coco.encode(np.asfortranarray(m.astype(np.uint8))) for m in dense),
        prompt_kind="grid",
        prompt_ids=np.arange(n, dtype=np.int32),
    )


def test_shard_id_depends_on_content_not_on_where_the_lake_is_mounted():
    moved = [Source(s.key, s.uri.replace("lake", "mnt"), s.etag, s.bytes) for s in SOURCES]
    assert Shard.of(SOURCES, 3).id == Shard.of(moved, 3).id


@pytest.mark.parametrize(
    "other",
    [
        SOURCES[:2],
        list(reversed(SOURCES)),
        [Source(SOURCES[0].key, SOURCES[0].uri, "new", SOURCES[0].bytes), *SOURCES[1:]],
        [Source("b/0.jpg", SOURCES[0].uri, SOURCES[0].etag, SOURCES[0].bytes), *SOURCES[1:]],
    ],
    ids=["fewer", "order", "etag", "key"],
)
def test_shard_id_changes_with_its_content_list(other):
    assert Shard.of(SOURCES, 3).id != Shard.of(other, 3).id


@given(st.text(), st.text())
def test_image_ids_follow_keys(a, b):
    assert (image_id_of(a) == image_id_of(b)) == (a == b)
    assert len(image_id_of(a)) == 20


def test_mask_id_sorts_by_position():
    assert mask_id_of("ab", 7) == "ab-0007"


def test_masks_select_and_decode():
    dense = np.random.default_rng(0).random((4, 5, 7)) > 0.5
    masks = masks_of(dense)
    assert np.array_equal(masks.to_dense(), dense)
    assert np.array_equal(masks[[2, 0]].to_dense(), dense[[2, 0]])
    assert np.array_equal(masks[masks.predicted_iou > 0.5].to_dense(), dense[2:])
    assert masks[1:3].prompt_ids.tolist() == [1, 2]
    assert masks[[]].to_dense().shape == (0, 5, 7)
