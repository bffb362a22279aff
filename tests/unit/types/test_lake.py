import pytest
from hypothesis import given
from hypothesis import strategies as st

from samseg.types import Shard, Source, image_id_of, mask_id_of

SOURCES = [Source(f"a/{i}.jpg", f"file:///lake/a/{i}.jpg", f"e{i}", 10 + i) for i in range(3)]


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
