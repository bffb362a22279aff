"""Named embeddings: in the same pass as the masks, or added to them later."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from samseg import schema
from samseg.engine.protocol import Attempt, Slot, Task
from samseg.errors import OutageError, StorageError
from samseg.features import EfficientNetLite0Embedding
from samseg.readers.decode import DecodePolicy
from samseg.sam.segmenter import Segmenter
from samseg.stages.describe.stage import DescribeSpec, DescribeWork, undescribed
from samseg.types import image_id_of, sample_rank_of

NAME = "efficientnet_lite0"
SECOND = EfficientNetLite0Embedding(name="again", pooling={"kind": "mask_mean"})
pytestmark = pytest.mark.usefixtures("segmenter")


def test_described_later_is_as_done_at_once(lake, folder_of, rows, monkeypatch):
    at_once, later = folder_of("at_once"), folder_of("later")
    lake.night(at_once, lake.first, SECOND)
    lake.night(later)
    assert not rows(later)
    assert undescribed(later, (NAME,)) == later.committed() and not undescribed(later, ())

    monkeypatch.setattr(Segmenter, "load", None)  # SAM must not run
    done = lake.describe(later, lake.first, SECOND)
    assert (done.shards, done.given_up, done.images) == (2, 0, 4)
    for name in (NAME, "again"):
        assert rows(later, name) == rows(at_once, name)
        assert Counter(status for status, _ in rows(later, name).values()) == {"ok": 6, "empty": 3}
    for shard in at_once.committed():
        key = at_once.embeddings_key(NAME, shard)
        assert at_once.storage.get(key) == later.storage.get(key)


def test_one_pass_decodes_and_encodes_each_image_once(lake, folder_of, calls):
    lake.night(folder_of("out"), lake.first)
    assert len(calls.decoded) == len(set(calls.decoded)) == 4
    assert calls.encoded == 3  # the fourth image has no masks


def test_parts_are_sorted_so_that_a_sample_is_a_prefix(lake, folder_of):
    output = folder_of("out")
    lake.night(output, lake.first)
    for shard in output.committed():
        part = output.read(output.embeddings_key(NAME, shard))
        ranks = [sample_rank_of(mask_id) for mask_id in part["mask_id"].to_pylist()]
        assert ranks == sorted(ranks)
        assert part.schema.names == schema.EMBEDDINGS.names
        assert part.schema.field("embedding").type.list_size == 3
        assert part.schema.metadata == schema.EMBEDDINGS.metadata
        masks = output.read(output.masks_key(shard), ["mask_id"])
        assert sorted(part["mask_id"].to_pylist()) == sorted(masks["mask_id"].to_pylist())


def test_only_what_lacks_is_described(lake, folder_of, calls, rows):
    output = folder_of("out")
    lake.night(output, lake.first)
    before = rows(output)
    calls.encoded = 0
    assert lake.describe(output).shards == 0
    done = lake.describe(output, lake.first, SECOND)
    assert done.shards == 2 and calls.encoded == 3
    assert rows(output) == before and len(rows(output, "again")) == len(before)


@pytest.mark.parametrize(
    ("harm", "status"),
    [
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.write_bytes(path.with_name("b.png").read_bytes()), "changed"),
        (lambda path: path.write_bytes(path.read_bytes()[:50]), "changed"),
    ],
    ids=["missing", "other", "cut"],
)
def test_an_image_that_is_not_what_it_was(lake, folder_of, rows, harm, status):
    output = folder_of("out")
    lake.night(output)
    harm(lake.folder / "a.png")
    done = lake.describe(output)
    lost = {m: s for m, (s, v) in rows(output).items() if m.startswith(image_id_of("a.png"))}
    assert set(lost.values()) == {status} and len(lost) == 3
    assert done.statuses == {"ok": 4, "empty": 2, status: 3}
    assert all((v is None) == (s != "ok") for s, v in rows(output).values())


def test_a_whole_shard_that_is_gone_is_missing(lake, folder_of, rows):
    output = folder_of("out")
    lake.night(output)
    for name in ("a.png", "b.png"):
        (lake.folder / name).unlink()
    assert lake.describe(output).statuses["missing"] == 6


@pytest.mark.parametrize("still_there", [True, False], ids=["empty", "gone"])
def test_a_lake_that_is_down_writes_nothing(lake, folder_of, rows, still_there):
    output = folder_of("out")
    lake.night(output)
    shutil.move(lake.folder, lake.folder.with_name("elsewhere"))
    if still_there:
        lake.folder.mkdir()  # as a mount point is
    with pytest.raises(OutageError):
        lake.describe(output)
    assert not rows(output)
    if still_there:
        lake.folder.rmdir()
    shutil.move(lake.folder.with_name("elsewhere"), lake.folder)
    assert lake.describe(output).given_up == 0
    assert Counter(s for s, _ in rows(output).values()) == {"ok": 6, "empty": 3}


def test_images_that_kill_are_skipped_with_a_status(lake, folder_of, rows):
    output = folder_of("out")
    lake.night(output)
    spec = DescribeSpec(output.uri, lake.reader, DecodePolicy(), (lake.first,))
    shard = next(iter(output.planned()))
    work = DescribeWork(spec, Slot("cpu", 1))
    beats = list(work(Task(shard.id, shard), Attempt(2, frozenset({1}), exact=True)))
    assert [b.index for b in beats] == [0, 1, 2, None]
    found = Counter((m[:20], s) for m, (s, _) in rows(output).items())
    assert found == {
        (image_id_of("a.png"), "ok"): 2,
        (image_id_of("a.png"), "empty"): 1,
        (image_id_of("b.png"), "crashed"): 3,
    }


def test_embeddings_are_of_the_masks_that_stand(lake, folder_of, rows, segmenter):
    """Another attempt stored other masks and died before its images part."""
    output, calm = folder_of("out"), folder_of("calm")
    lake.night(output)
    for shard in output.committed():
        Path(output.uri.removeprefix("file://"), output.images_key(shard)).unlink()
    segmenter.shift = 5
    lake.night(output, lake.first)
    segmenter.shift = 0
    lake.night(calm, lake.first)
    assert rows(output) == rows(calm)
    segmenter.shift = 5
    other = folder_of("other")
    lake.night(other, lake.first)
    assert rows(other) != rows(calm)  # the masks do differ


def test_a_second_attempt_with_the_same_masks_reads_nothing_twice(lake, folder_of, rows, calls):
    output = folder_of("out")
    lake.night(output)
    for shard in output.committed():
        Path(output.uri.removeprefix("file://"), output.images_key(shard)).unlink()
    calls.decoded.clear()
    lake.night(output, lake.first)
    assert len(calls.decoded) == 4
    assert Counter(s for s, _ in rows(output).values()) == {"ok": 6, "empty": 3}


@pytest.mark.parametrize("killed_at", range(6))
def test_a_kill_at_any_write_is_made_good(lake, folder_of, rows, monkeypatch, killed_at):
    from samseg.storage.objects import ObjectStorage

    calm, output = folder_of("calm"), folder_of("out")
    lake.night(calm, lake.first)
    put, count = ObjectStorage.put_new, 0

    def dying(self, key, payload):
        nonlocal count
        if self.uri == output.uri and not key.startswith(("plan", "quarantine")):
            count += 1
            if count > killed_at:
                raise StorageError("killed")
        return put(self, key, payload)

    with monkeypatch.context() as broken:
        broken.setattr(ObjectStorage, "put_new", dying)
        lake.night(output, lake.first)
    for path in Path(output.uri.removeprefix("file://")).glob("quarantine/*"):
        path.unlink()
    images = {s.key for s in output.storage.list("images/")}
    for key in images:  # the commit comes last
        assert output.storage.exists(key.replace("images/", f"embeddings/{NAME}/"))
    lake.night(output, lake.first)
    assert rows(output) == rows(calm)
    assert {s.key for s in output.storage.list("masks/")} == {
        s.key for s in calm.storage.list("masks/")
    }


def test_a_vector_is_the_pooled_colour(lake, folder_of, rows):
    """By hand, for one mask of one image."""
    from PIL import Image

    output = folder_of("out")
    lake.night(output, lake.first)
    pixels = np.array(Image.open(lake.folder / "c.png"))
    scaled = np.array(
        Image.fromarray(pixels).resize((64, 33), Image.Resampling.BICUBIC), np.float32
    )
    patches = (scaled[:32, :32] - 60).reshape(4, 8, 4, 8, 3).mean(axis=(1, 3)).reshape(-1, 3)
    last = (scaled[32:, :32] - 60).sum(0).reshape(4, 8, 3).sum(1) / 64  # 1 of 8 rows is image
    weights = np.r_[np.ones(16), np.full(4, 1 / 64)]
    mean = np.average(np.r_[patches, last], axis=0, weights=weights)
    status, vector = rows(output)[f"{image_id_of('c.png')}-0000"]
    assert status == "ok"
    np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-4)
