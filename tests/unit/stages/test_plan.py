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


@pytest.fixture
def lake(tmp_path, monkeypatch):
    """A folder of eleven photos, three to a shard, and plans of at most four photos."""
    for i in range(11):
        path = tmp_path / "lake" / f"{i:02}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    monkeypatch.setattr("samseg.stages.plan._ROWS", 4)
    return Folder(uri=str(tmp_path / "lake"), images_per_shard=3)


def keys_in(output):
    return [s.key for shard in output.planned() for s in shard.sources]


def test_a_large_plan_is_several_objects(lake, tmp_path):
    output = Output(str(tmp_path / "output"))
    found = plan(output, lake)
    assert (found.shards, found.sources, found.known) == (4, 11, 0)
    sizes = [output.plan(n).num_rows for n in output.plan_numbers()]
    assert sizes == [3, 3, 3, 2]
    assert keys_in(output) == [f"{i:02}.jpg" for i in range(11)]
    assert plan(output, lake).sources == 0 and output.next_plan() == 4


@pytest.mark.parametrize("before", range(5))
def test_another_run_plans_between_the_objects_of_a_plan(lake, tmp_path, monkeypatch, before):
    """Every photo is planned once, by this run or the other, and counted by the one that did."""
    output, add_plan, calls = Output(str(tmp_path / "output")), Output.add_plan, []
    others = []

    def add_after_others(self, number, shards, images_per_source):
        if len(calls) == before:
            calls.append(number)
            others.append(plan(Output(output.uri), lake))
        calls.append(number)
        return add_plan(self, number, shards, images_per_source)

    monkeypatch.setattr(Output, "add_plan", add_after_others)
    found = plan(output, lake)
    assert keys_in(output) == [f"{i:02}.jpg" for i in range(11)]
    planned = [found, *others]
    assert sum(f.sources for f in planned) == 11 and sum(f.shards for f in planned) == 4
    assert found.sources + found.known == 11
