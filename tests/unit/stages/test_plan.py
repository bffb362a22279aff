import pytest
from hypothesis import given
from hypothesis import strategies as st

from samseg.errors import ConfigError
from samseg.output import Output
from samseg.readers import Folder
from samseg.stages.plan import divided, plan
from samseg.types import Shard, Source


def shards(sizes):
    names = iter(range(sum(sizes)))
    return [
        Shard.of([Source(f"{next(names):04}", "u", "e", 1) for _ in range(n)], n) for n in sizes
    ]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(0, 30))
def test_few_images_are_divided_among_the_workers(sizes, wanted):
    before = shards(sizes)
    after = divided(before, wanted)
    assert [s for shard in after for s in shard.sources] == [
        s for shard in before for s in shard.sources
    ]
    assert all(shard.images == len(shard.sources) > 0 for shard in after)
    images = sum(sizes)
    if len(before) >= min(wanted, images):
        assert after == before
    else:
        assert max(len(s.sources) for s in after) <= -(-images // wanted)
        assert len(after) <= wanted + len(before)


def test_an_output_folder_inside_the_lake_is_not_read(tmp_path):
    for name in ("a.jpg", "labels/exports/a.png", "labels[1]/b.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    output = Output(str(tmp_path / "labels"))
    found = plan(output, Folder(uri=str(tmp_path)))
    assert (found.sources, found.left_out) == (2, {})
    with pytest.raises(ConfigError, match="is the lake"):
        plan(Output(str(tmp_path)), Folder(uri=str(tmp_path)))


def test_an_output_folder_that_a_pattern_means_is_not_read(tmp_path):
    for name in ("lab-a/a.jpg", "labels/exports/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = plan(Output(str(tmp_path / "labels")), Folder(uri=str(tmp_path / "la*")))
    assert found.sources == 1
