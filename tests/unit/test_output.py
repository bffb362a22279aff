import pyarrow.parquet as pq
import pytest

from samseg import schema
from samseg.errors import RecipeError, StorageError
from samseg.output import Output
from samseg.types import Shard, Source


def shard(*names, images=None):
    sources = [Source(n, f"file:///lake/{n}", "e", 1) for n in names]
    return Shard.of(sources, len(sources) if images is None else images)


@pytest.fixture
def output(tmp_path):
    return Output(str(tmp_path / "out"))


def test_a_new_folder_is_empty(output):
    assert output.recipe() is None
    assert list(output.planned()) == []
    assert output.committed() == output.quarantined() == set()
    assert output.codebook_versions() == output.nights() == []


def test_another_recipe_is_refused_with_the_differing_keys(output):
    recipe = {"masks": {"points_per_side": 32, "grid": None}, "pooling": {"kind": "coverage"}}
    output.guard(recipe)
    output.guard(recipe)
    other = {"masks": {"points_per_side": 16, "grid": None}, "pooling": {"kind": "mask_mean"}}
    with pytest.raises(RecipeError) as caught:
        output.guard(other)
    message = str(caught.value)
    assert "masks.points_per_side: the folder has 32, the config wants 16" in message
    assert 'pooling.kind: the folder has "coverage", the config wants "mask_mean"' in message
    assert "masks.grid" not in message
    assert caught.value.exit_code == 2


def test_plans_are_appended_and_read_in_order(output):
    first, second, third = shard("a", "b"), shard("c"), shard("d", "e")
    assert output.add_plan(output.next_plan(), [first, second], 1)
    assert output.add_plan(output.next_plan(), [third], 1)
    assert list(output.planned()) == [first, second, third]
    assert output.plan_table(["key"])["key"].to_pylist() == list("abcde")


def test_the_number_of_images_of_a_tar_is_unknown(output):
    output.add_plan(0, [shard("x.tar")], None)
    assert [s.images for s in output.planned()] == [None]


def test_two_drivers_cannot_append_the_same_plan_number(output, tmp_path):
    late = Output(str(tmp_path / "out"))
    number = late.next_plan()  # before the other one writes
    assert output.add_plan(output.next_plan(), [shard("a")], 1)
    assert not late.add_plan(number, [shard("b")], 1)
    assert late.next_plan() == 1


def test_a_plan_without_a_column_is_damaged(output):
    table = schema.PLAN.empty_table().drop_columns(["shard_id", "members"])
    output.storage.put_new("plan/000000.parquet", schema.encode(table))
    for columns in (None, ["shard_id", "retry_of"]):
        with pytest.raises(StorageError, match=r"plan/000000\.parquet is damaged .*'shard_id'"):
            output.plan(0, columns)


def test_a_shard_given_up_and_committed_later_is_not_quarantined(output):
    a, b = shard("a"), shard("b")
    for _ in range(2):  # given up twice: both records are kept
        output.quarantine(a, ("attempt 1: boom",))
    output.quarantine(b, ("attempt 1: boom",))
    assert output.quarantined() == {a.id, b.id}
    output.storage.put_new(output.images_key(a.id), b"")
    assert output.quarantined() == {b.id}
    assert len(list(output.storage.list("quarantine/"))) == 3


def test_a_codebook_is_committed_by_its_manifest(output):
    output.storage.put_new(output.codebook_key(1, "classes.parquet"), b"")
    assert output.codebook_versions() == []
    output.storage.put_new(output.codebook_key(1, "codebook.json"), b"{}")
    output.storage.put_new(output.codebook_key(2, "core.parquet"), b"")
    assert output.codebook_versions() == [1]


@pytest.mark.parametrize(
    ("key", "read"),
    [
        ("recipe.json", lambda o: o.recipe()),
        ("recipe.json", lambda o: o.guard({"schema": 1})),
        ("embeddings/lite/recipe.json", lambda o: o.recipe("lite")),
        ("plan/000000.parquet", lambda o: list(o.planned())),
        ("plan/000000.parquet", lambda o: o.plan_table(["key"])),
        ("masks/part-a.parquet", lambda o: o.read(o.masks_key("a"))),
        ("masks/part-a.parquet", lambda o: o.read(o.masks_key("a"), ["mask_id"])),
        ("classes/v000002/codebook.json", lambda o: o.codebook_manifest(2)),
    ],
)
@pytest.mark.parametrize("payload", [b"", b"[1, 2]", b"PAR1 and more \xff\xfe"])
def test_a_damaged_object_is_named(output, key, read, payload):
    output.storage.put_new(key, payload)
    with pytest.raises(StorageError, match=rf"/{key} is damaged \(.*restore it from a copy"):
        read(output)


def test_planned_shards_are_streamed_by_row_group(output, monkeypatch):
    """A shard may lie in two row groups, and one that was planned twice is one."""
    encode = schema.encode
    monkeypatch.setattr(schema, "encode", lambda table: encode(table, 3))
    shards = [shard(*names) for names in ("ab", "cdef", "g", "hi")]
    output.add_plan(0, shards, 1)
    output.add_plan(1, [shards[3], shard("j")], 1)
    whole, groups = list(output.planned()), []
    assert whole == [*shards, shard("j")]
    read = pq.ParquetFile.read_row_group

    def counted(self, number, **options):
        groups.append(number)
        return read(self, number, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    next(output.planned())
    assert groups == [0], "the rest is not read"
