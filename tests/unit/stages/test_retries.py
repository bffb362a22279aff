"""Failed images are planned again, and the newest rows count everywhere."""

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from PIL import Image as Pillow

import samseg
from samseg import schema
from samseg.doctor.examination import examine
from samseg.engine import Local
from samseg.errors import ImageError
from samseg.output import Output
from samseg.plan_rows import plan_of
from samseg.readers import Folder, WebDataset
from samseg.readers.decode import DecodePolicy
from samseg.stages.embed.prefetch import decode_one
from samseg.stages.embed.remaining import RemainingReader
from samseg.stages.embed.shard_rows import ShardRows
from samseg.stages.embed.stage import pending
from samseg.stages.labelled_images import LabelledImages
from samseg.stages.plan import plan
from samseg.stages.status import status_of
from samseg.types import Image, Masks, Pooled, Shard
from samseg.views_sql import views_sql

Verdict = Callable[[str], str | None]


def png(number: int) -> bytes:
    sink = io.BytesIO()
    Pillow.new("RGB", (12, 8), (number % 250, 90, 90)).save(sink, "PNG")
    return sink.getvalue()


def one_mask(image: Image) -> Masks:
    h, w = image.pixels.shape[:2]
    none = np.zeros((1, 4), np.int32)
    rle = {"size": [h, w], "counts": b"0a0"}
    ones = np.ones(1, np.float32)
    return Masks(
        (h, w),
        none,
        np.ones(1, np.int64),
        ones,
        ones,
        np.zeros((1, 2), np.float32),
        none,
        (rle,),
        "grid",
        np.zeros(1, np.int32),
    )


class Lake:
    """A lake and its output, labelled with one mask per image."""

    def __init__(self, folder: Path, tars: bool):
        self.folder, self.output = folder / "lake", Output(str(folder / "labels"))
        self.folder.mkdir()
        self.output.guard({"schema": schema.VERSION})
        uri = str(self.folder)
        self.reader: Any = WebDataset(uri=uri) if tars else Folder(uri=uri, images_per_shard=2)

    def write(self, key: str, payload: bytes) -> None:
        (self.folder / key).write_bytes(payload)

    def night(self, fails: Mapping[str, str] = {}, retried: tuple[str, ...] = ()) -> int:
        """Plan and label; the images in `fails` get that status. Return the images read."""
        plan(self.output, self.reader, retried=retried)
        return self.label(fails)

    def label(self, fails: Mapping[str, str] = {}) -> int:
        reader, policy, read = RemainingReader(self.reader, self.output), DecodePolicy(), 0
        for shard in pending(self.output).read(self.output):
            rows = ShardRows(shard)
            for raw in reader.read(shard, 1 << 20):
                read += 1
                decoded = decode_one(policy, raw, 0.0)
                image = decoded.image
                if raw.key in fails:
                    image = ImageError(fails[raw.key], "as the test wants")
                if isinstance(image, Image):
                    masks = one_mask(image)
                    pooled = Pooled(
                        np.ones((1, 256), np.float32), np.ones(1, np.float32), np.zeros(1, bool)
                    )
                    top = np.array([-1], np.int32)
                    rows.add(decoded, image, masks, pooled, top, top + 1, 0.0, 0.0)
                else:
                    rows.add_failure(decoded, image)
            rows.commit(self.output)
        return read

    def statuses(self) -> dict[str, str]:
        """Return the status of every image, as all readers of the tables see it."""
        found = samseg.open(self.output).query("select key, status from images").to_pylist()
        of_key = {row["key"]: row["status"] for row in found}
        assert len(found) == len(of_key), "an image counts twice"
        masks = samseg.open(self.output).query("select mask_id, image_id from masks").to_pylist()
        assert len({m["mask_id"] for m in masks}) == len(masks)
        connection = duckdb.connect()
        connection.execute(views_sql(self.output.uri))
        assert sorted(connection.sql("select key, status from images").fetchall()) == sorted(
            of_key.items()
        )
        assert connection.sql("select count(*) from masks").fetchall() == [(len(masks),)]
        labelled = LabelledImages(self.output)
        images = [image.key for image in labelled.images(labelled.shards)]
        assert sorted(images) == sorted(k for k, s in of_key.items() if s in ("ok", "no_masks"))
        status = status_of(self.output)
        assert status.images == len(of_key) and status.masks == len(masks)
        examined, _ = examine(self.output, Local(), probed=False)
        assert (examined.findings, examined.foreign) == ((), ())
        return of_key


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake(tmp_path, tars=False)
    for i in range(5):
        made.write(f"{i}.png", png(i))
    return made


@pytest.fixture
def tars(tmp_path: Path) -> Lake:
    return Lake(tmp_path, tars=True)


def tar_of(members: Mapping[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for name, payload in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(payload)
            tar.addfile(info, io.BytesIO(payload))
    return sink.getvalue()


@pytest.mark.parametrize("status", ["unreadable", "crashed", "timeout"])
def test_the_next_night_labels_a_failed_image_again_once(lake: Lake, status: str) -> None:
    assert lake.night({"1.png": status, "3.png": status}) == 5
    assert status_of(lake.output).exit == 1
    assert lake.night({"3.png": status}) == 2
    assert lake.statuses() == {
        "0.png": "ok",
        "1.png": "ok",
        "2.png": "ok",
        "3.png": status,
        "4.png": "ok",
    }
    assert lake.night() == 0, "an image is labelled again once"
    assert status_of(lake.output).complete and status_of(lake.output).exit == 1


def test_other_failures_are_labelled_again_on_request(lake: Lake) -> None:
    lake.night({"1.png": "undecodable", "2.png": "nonfinite"})
    assert lake.night() == 0
    assert lake.night({"1.png": "undecodable"}, retried=("undecodable",)) == 1
    assert lake.night(retried=("undecodable",)) == 1, "as often as it is asked for"
    assert lake.statuses()["1.png"] == "ok" and lake.statuses()["2.png"] == "nonfinite"
    assert lake.night(retried=("undecodable", "nonfinite")) == 1
    assert set(lake.statuses().values()) == {"ok"} and status_of(lake.output).exit == 0


def test_a_retry_that_was_not_labelled_yet_is_not_planned_again(lake: Lake) -> None:
    lake.night({"1.png": "crashed"})
    for _ in range(2):
        plan(lake.output, lake.reader, retried=("crashed",))
    assert lake.statuses()["1.png"] == "crashed", "the old row counts until there is a new one"
    assert lake.label() == 1
    assert lake.statuses()["1.png"] == "ok"


def test_a_repaired_file_is_labelled_again(lake: Lake) -> None:
    lake.write("1.png", b"\x89PNG broken")
    lake.night()
    assert lake.statuses()["1.png"] == "undecodable"
    lake.write("1.png", png(7) + b"  ")
    lake.write("2.png", png(8) + b"   ")
    assert lake.night() == 1, "labelled images keep their first version"
    assert set(lake.statuses().values()) == {"ok"}
    assert lake.night() == 0


def test_members_of_a_tar_are_labelled_again_alone(tars: Lake) -> None:
    tars.write("a.tar", tar_of({f"{i}.png": png(i) for i in range(4)}))
    tars.night({"a.tar/1.png": "crashed", "a.tar/3.png": "timeout"})
    assert tars.night({"a.tar/3.png": "timeout"}) == 2
    assert tars.statuses() == {
        "a.tar/0.png": "ok",
        "a.tar/1.png": "ok",
        "a.tar/2.png": "ok",
        "a.tar/3.png": "timeout",
    }
    tars.write("a.tar", tar_of({f"{i}.png": png(i) for i in range(2)}))
    tars.night(retried=("timeout",))
    assert tars.statuses()["a.tar/3.png"] == "unreadable", "the tar has no such image any more"


def test_of_a_repaired_tar_what_has_no_masks_is_labelled(tars: Lake) -> None:
    whole = tar_of({f"{i}.png": png(i) for i in range(6)})
    tars.write("a.tar", whole[: len(whole) // 3])
    read = tars.night({"a.tar/0.png": "undecodable"})
    before = tars.statuses()
    assert before["a.tar#truncated"] == "unreadable" and 2 <= len(before) < 6
    tars.write("a.tar", whole)
    assert tars.night() == 6 - (read - 2), "all but the labelled ones"
    assert tars.statuses() == {f"a.tar/{i}.png": "ok" for i in range(6)}
    assert tars.night() == 0 and status_of(tars.output).complete


def test_a_tar_that_came_back(tars: Lake) -> None:
    tars.write("a.tar", tar_of({"0.png": png(0)}))
    tars.write("b.tar", tar_of({"0.png": png(1), "1.png": png(2)}))
    plan(tars.output, tars.reader)
    away = (tars.folder / "b.tar").rename(tars.folder.parent / "b.tar")
    tars.label()
    assert tars.statuses() == {"a.tar/0.png": "ok", "b.tar": "unreadable"}
    away.rename(tars.folder / "b.tar")
    assert tars.night() == 2
    assert tars.statuses() == {f"{key}.png": "ok" for key in ("a.tar/0", "b.tar/0", "b.tar/1")}


def plan_twice(lake: Lake, groups: tuple[tuple[str, ...], ...]) -> None:
    """Add plans as earlier versions wrote them: without retries, and perhaps of known objects."""
    for n, keys in enumerate(groups):
        sources = {s.key: s for shard in lake.reader.plan({}).shards for s in shard.sources}
        shard = Shard.of([sources[key] for key in keys], len(keys))
        table = plan_of([shard], 1).select(schema.PLAN.names[:6]).replace_schema_metadata(None)
        assert lake.output.storage.put_new(lake.output.plan_key(n), schema.encode(table))


def test_what_two_drivers_planned_at_one_moment_counts_once(lake: Lake) -> None:
    names = tuple(f"{i}.png" for i in range(5))
    plan_twice(lake, (names, names))
    assert lake.label() == 5
    assert lake.statuses() == dict.fromkeys(names, "ok")
    assert status_of(lake.output).complete


def test_plans_that_overlap(lake: Lake) -> None:
    """The third plan has nothing for the first time, so its shard need not be labelled."""
    plan_twice(lake, (("0.png", "1.png"), ("1.png", "2.png", "3.png", "4.png"), ("0.png", "2.png")))
    assert lake.label({"1.png": "crashed"}) == 6
    assert status_of(lake.output).complete and len(lake.statuses()) == 5
    assert lake.night() == 1, "the row that counts is labelled again"
    assert set(lake.statuses().values()) == {"ok"} and status_of(lake.output).complete


def test_an_image_that_was_labelled_twice_before(lake: Lake) -> None:
    """Folders of earlier versions may have committed both shards."""
    plan_twice(lake, (("0.png", "1.png", "2.png", "3.png", "4.png"),))
    lake.label()
    sources = {s.key: s for shard in lake.reader.plan({}).shards for s in shard.sources}
    double = Shard.of([sources["1.png"], sources["3.png"]], 2)
    table = plan_of([double], 1).select(schema.PLAN.names[:6]).replace_schema_metadata(None)
    lake.output.storage.put_new(lake.output.plan_key(1), schema.encode(table))
    rows = ShardRows(double)
    for raw in lake.reader.read(double, 1 << 20):
        rows.add_failure(decode_one(DecodePolicy(), raw, 0.0), ImageError("crashed", "then"))
    rows.commit(lake.output)
    found = lake.statuses()
    assert (found["1.png"], found["0.png"], len(found)) == ("crashed", "ok", 5)
    assert status_of(lake.output).complete
