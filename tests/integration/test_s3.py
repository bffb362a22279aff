"""Against a real S3 server: the commit protocol, and a night whose lake and output are buckets."""

import samseg
from samseg.config import parse
from samseg.demo.lake import write_demo_lake
from samseg.doctor.examination import examine
from samseg.doctor.probe import probe
from samseg.doctor.repair import repair
from samseg.engine import Local
from samseg.nightly import Night
from samseg.output import Output
from samseg.readers import WebDataset
from samseg.stages.forget import forget, traces
from samseg.stages.prune import prunable, prune
from samseg.stages.status import status_of
from samseg.storage import filesystem, open_lake, open_output, open_uri
from tests.unit.readers.test_webdataset import tar_of


def test_one_of_many_racing_creates_wins(s3, race):
    storage = open_output("s3://lake/race")
    assert len(race(storage, "images/part-a.parquet")) == 1
    assert storage.put_new("images/part-a.parquet", b"late") is False


def test_lists_streams_and_opens_by_uri(s3):
    storage = open_output("s3://lake/photos")
    names = [f"a/{i:03d}.jpg" for i in range(30)] + ["b ü/1.jpg"]
    for name in names:
        storage.put_new(name, name.encode() * 100)
    lake = open_lake("s3://lake/photos")
    found = {s.key: s for s in lake.list()}
    assert sorted(found) == sorted(names)
    with lake.stream("a/003.jpg") as stream:
        stream.seek(9)
        assert stream.read(9) == b"a/003.jpg"
    with open_uri(found["b ü/1.jpg"].uri) as opened:
        assert opened.read(9) == "b ü/1.jpg".encode()[:9]
    assert filesystem("s3://lake/photos").glob("lake/photos/a/00*.jpg")


def test_a_night_whose_lake_and_output_are_buckets(s3, tmp_path):
    lake = open_output("s3://lake/night")
    for path in write_demo_lake(tmp_path, photos=False, scenes=2):
        lake.put_new(path.relative_to(tmp_path).as_posix(), path.read_bytes())
    config = parse(
        {
            "output": "s3://lake/labels",
            "reader": {"kind": "folder", "uri": "s3://lake/night", "images_per_shard": 1},
            "masks": {"points_per_side": 4},
            "exports": [{"kind": "coco"}, {"kind": "png"}],
            "engine": {"kind": "local"},
        }
    )
    summary = Night(config).run()
    assert (summary.exit, summary.counts["embed"]["images"]) == (0, 2)
    assert status_of(Output("s3://lake/labels")).complete
    rows = samseg.open("s3://lake/labels").query("select key, count(*) as n from labels group by 1")
    assert len(rows) == 2
    with open_uri(summary.page) as page:
        assert b"data:image" in page.read()
    assert sum(w["images"] for w in summary.counts["export"].values()) == 4

    again = Night(config).run()
    assert again.counts["plan"]["sources"] == again.counts["embed"]["images"] == 0

    examined, _ = examine(Output("s3://lake/labels"), Local(), probed=True)
    assert (examined.findings, examined.foreign) == ((), ())
    damaged = "s3://lake/labels/" + Output.masks_key(min(Output("s3://lake/labels").committed()))
    probe(Output("s3://lake/labels"))
    with filesystem(damaged).open(damaged, "wb") as file:
        file.write(b"PAR1")
    output = Output("s3://lake/labels")
    examined, present = examine(output, Local(), probed=True)
    assert [f"s3://lake/labels/{f.key}" for f in examined.findings] == [damaged]
    assert len(repair(output, examined.findings, present.bytes)) == 4
    assert Night(config).run().counts["embed"]["images"] == 1
    assert status_of(output).complete


def test_an_image_is_forgotten_and_what_is_old_deleted(s3, tmp_path):
    lake = open_output("s3://lake/two")
    for path in write_demo_lake(tmp_path, photos=False, scenes=2):
        lake.put_new(path.relative_to(tmp_path).as_posix(), path.read_bytes())
    config = parse(
        {
            "output": "s3://lake/two-labels",
            "reader": {"kind": "folder", "uri": "s3://lake/two", "images_per_shard": 2},
            "masks": {"points_per_side": 4},
            "exports": [{"kind": "png"}],
            "engine": {"kind": "local"},
        }
    )
    Night(config).run()
    Night(config).run(refit=True)
    output = Output("s3://lake/two-labels")
    kept, key = sorted(s.key for s in lake.list())
    forget(output, traces(output, key))
    prune(output, prunable(output, 1))
    left = [s.key for s in output.storage.list()]
    assert not any(k.startswith(("exports/", "classes/v000001/assignments/")) for k in left)
    assert (Night(config).run().exit, status_of(output).complete) == (0, True)
    assert samseg.open(output).query("select key from images").to_pylist() == [{"key": kept}]
    examined, _ = examine(output, Local(), probed=False)
    assert examined.findings == ()


def test_a_tar_in_a_bucket_is_read_by_ranges(s3):
    whole = tar_of([(f"{i}.jpg", bytes([i]) * 3000) for i in range(20)])
    open_output("s3://lake/tars").put_new("t.tar", whole)
    reader = WebDataset(uri="s3://lake/tars", bytes_per_shard=9000)
    shards = list(reader.plan({}).shards)
    images = [raw.payload[0] for shard in shards for raw in reader.read(shard)]
    assert len(shards) > 4 and images == list(range(20))
