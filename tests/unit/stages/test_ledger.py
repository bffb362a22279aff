"""Ledgers: what they count, that they count once, and that they are only a cache."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samseg import ledger, schema
from samseg.cli import main
from samseg.engine import Local
from samseg.output import Output
from samseg.stages.class_tally import class_counts
from samseg.stages.recount import recount
from samseg.stages.tally import tally

FAILED = ("x.jpg", "undecodable", "broken")


def folder_of(output: Output) -> Path:
    return Path(output.uri.removeprefix("file://"))


def counted(output: Output, write: bool = True) -> ledger.ImageCounts:
    return ledger.image_counts(tally(output, Local(attempts=1), write=write).rows)


@pytest.fixture
def made(small_output):
    return small_output(failures=(FAILED,))


def test_the_counts_are_those_of_the_tables(made):
    counts = counted(made.output)
    rows = [made.output.read(made.output.images_key(s)) for s in made.shards]
    images = pa.concat_tables(rows)
    assert counts.statuses == Counter(images["status"].to_pylist())
    assert (counts.images, counts.labelled) == (images.num_rows, images.num_rows - 1)
    assert counts.masks == len(made.class_of)
    assert counts.failed_in == [made.shards[0]]
    tallied = tally(made.output, Local(), write=False)
    classes = class_counts(made.output, 1, Local(), tallied.rows)
    assert classes.masks_of == Counter(made.class_of.values())
    assert classes.masks == len(made.class_of) and classes.noise == classes.masks_of[-1]


def test_readers_write_nothing_and_a_night_writes_once(made):
    before = {s.key for s in made.output.storage.list()}
    first = counted(made.output, write=False)
    assert {s.key for s in made.output.storage.list()} == before
    assert counted(made.output) == first
    assert made.output.ledger_numbers() == [0]
    assert counted(made.output) == first
    assert made.output.ledger_numbers() == [0]


def test_counted_shards_are_not_read_again(made, monkeypatch):
    counts = counted(made.output)
    read = []
    monkeypatch.setattr(
        Output, "read", lambda self, key, *more, of=Output.read: read.append(key) or of(self, key)
    )
    assert counted(made.output) == counts
    assert read == ["ledger/000000.parquet"]


def test_a_part_of_another_size_is_counted_again(made):
    counts = counted(made.output)
    key = made.output.images_key(made.shards[1])
    rows = made.output.read(key)
    (folder_of(made.output) / key).write_bytes(schema.encode(rows, row_group=1))
    assert counted(made.output) == counts and made.output.ledger_numbers() == [0, 1]
    assert ledger.read(made.output, made.output.sizes("images")).num_rows == 2


def test_the_same_shard_in_two_ledgers_counts_once(made):
    counts = counted(made.output)
    shutil.copy(*(folder_of(made.output) / made.output.ledger_key(n) for n in (0, 1)))
    assert counted(made.output) == counts


def test_a_part_that_cannot_be_read_is_a_problem_and_not_counted(made):
    (folder_of(made.output) / made.output.masks_key(made.shards[1])).write_bytes(b"")
    found = tally(made.output, Local(attempts=1), write=True)
    assert len(found.problems) == 1 and made.shards[1] in found.problems[0]
    assert found.rows["shard_id"].to_pylist() == [made.shards[0]]


def test_a_recount_finds_and_mends_wrong_counts(made):
    counts = counted(made.output)
    key = folder_of(made.output) / made.output.ledger_key(0)
    rows = schema.decode(key.read_bytes())
    wrong = rows.set_column(
        rows.schema.get_field_index("masks"),
        rows.schema.field("masks"),
        pc.add(rows["masks"], pa.scalar(5, pa.int64())),
    )
    key.write_bytes(schema.encode(wrong))
    assert counted(made.output).masks == counts.masks + 10
    assert recount(made.output, Local()) == 2
    assert counted(made.output) == counts
    assert made.output.ledger_numbers() == [0, 1]
    assert recount(made.output, Local()) == 0
    assert made.output.ledger_numbers() == [0, 1]


def test_status_recounts(made, capsys):
    counted(made.output)
    with pytest.raises(SystemExit):
        main(["status", str(folder_of(made.output)), "--recount"])
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["recounted"] == 0


@given(
    nights=st.lists(
        st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=4), max_size=5
    )
)
@settings(max_examples=60, deadline=None)
def test_whatever_nights_append_a_shard_counts_once_at_its_size(tmp_path_factory, nights):
    output = Output(str(tmp_path_factory.mktemp("ledger")))
    for night in nights:
        rows = [
            {
                "shard_id": f"{shard:x}",
                "bytes": size,
                "images": 1 + size,
                "masks": 10 * size,
                "statuses": [{"status": "ok", "images": 1 + size}],
                "seconds": dict.fromkeys(schema.SECONDS, 1.0),
            }
            for shard, size in night
        ]
        ledger.append(output, ledger.table_of(rows))
    for sizes in ({f"{s:x}": 2 for s in range(6)}, {f"{s:x}": s % 3 for s in range(4)}):
        stored = {pair for night in nights for pair in night}
        wanted = {s: size for s, size in sizes.items() if (int(s, 16), size) in stored}
        rows = ledger.read(output, sizes)
        assert sorted(rows["shard_id"].to_pylist()) == sorted(wanted)
        counts = ledger.image_counts(rows)
        assert counts.masks == sum(10 * size for size in wanted.values())
        assert counts.images == counts.labelled == sum(1 + size for size in wanted.values())
