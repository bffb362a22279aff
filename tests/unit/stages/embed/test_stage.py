"""The embed stage on the local engine with a fake segmenter: one mask per image."""

import io
import time

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from pycocotools import mask as coco

from samseg import schema
from samseg.engine import Local
from samseg.engine.protocol import Attempt, Heartbeat, Result, Slot, Task
from samseg.errors import OutageError
from samseg.output import Output
from samseg.pooling import Coverage
from samseg.readers import Folder
from samseg.readers.decode import DecodePolicy
from samseg.sam.settings import MaskSettings, ModelSpec
from samseg.stages.embed.stage import EmbedSpec, EmbedWork, embed, pending
from samseg.stages.plan import plan
from samseg.types import Masks, Segmentation


class FakeSegmenter:
    """Returns the left half as mask, none for black, NaN features for white; fails on red."""

    def warm_up(self):
        pass

    def segment(self, pixels):
        h, w = pixels.shape[:2]
        features = np.ones((256, 64, 64), np.float32)
        if (pixels == [255, 0, 0]).all():
            raise ValueError("odd shape")
        if (pixels == 255).all():
            features[0, 0, 0] = np.nan
        n = int(pixels.any())
        dense = np.zeros((h, w), np.uint8, order="F")
        dense[:, : w // 2] = 1
        return Segmentation(
            Masks(
                size=(h, w),
                boxes=np.array([[0, 0, w // 2 - 1, h - 1]] * n, np.int32).reshape(n, 4),
                areas=np.array([h * (w // 2)] * n, np.int64),
                predicted_iou=np.ones(n, np.float32),
                stability_score=np.ones(n, np.float32),
                points=np.zeros((n, 2), np.float32),
                crops=np.array([[0, 0, w, h]] * n, np.int32).reshape(n, 4),
                rles=(coco.encode(dense),) * n,
                prompt_kind="grid",
                prompt_ids=np.zeros(n, np.int32),
            ),
            features,
        )


@pytest.fixture(autouse=True)
def fake_model(monkeypatch):
    from samseg.sam.segmenter import Segmenter

    monkeypatch.setattr(Segmenter, "load", classmethod(lambda *a, **k: FakeSegmenter()))


def png(color):
    sink = io.BytesIO()
    Pillow.new("RGB", (8, 6), color).save(sink, "PNG")
    return sink.getvalue()


@pytest.fixture
def night(tmp_path):
    """A planned lake with one image per status; returns the output and the spec of the stage."""
    files = {
        "black.png": png("black"),
        "broken.png": png("blue")[:60],
        "fine.png": png("blue"),
        "page.jpg": b"<html><body>404</body></html>",
        "white.png": png("white"),
    }
    (tmp_path / "lake").mkdir()
    for name, payload in files.items():
        (tmp_path / "lake" / name).write_bytes(payload)
    output = Output(str(tmp_path / "out"))
    reader = Folder(uri=str(tmp_path / "lake"), images_per_shard=3)
    plan(output, reader)
    specs = (DecodePolicy(), ModelSpec(), MaskSettings(), Coverage())
    return output, EmbedSpec(output.uri, reader, *specs)


def images(output):
    keys = [s.key for s in output.storage.list("images/")]
    rows = [row for key in keys for row in schema.decode(output.storage.get(key)).to_pylist()]
    return {row["key"]: row for row in rows}


def test_every_image_has_a_row_with_its_status(night):
    output, embedding = night
    todo = pending(output)
    assert (todo.shards, todo.images) == (2, 5)
    events = []
    done = embed(output, embedding, todo.read(output), Local(), events.append)
    assert {key: row["status"] for key, row in images(output).items()} == {
        "black.png": "no_masks",
        "broken.png": "undecodable",
        "fine.png": "ok",
        "page.jpg": "undecodable",
        "white.png": "nonfinite",
    }
    assert "HTML" in images(output)["page.jpg"]["error"]
    assert (done.images, done.failed, done.masks, done.shards) == (5, 3, 1, 2)
    assert sum(isinstance(e, Result) for e in events) == 2
    assert pending(output).shards == 0


def test_an_image_that_fails_in_the_segmenter_does_not_affect_others(night, tmp_path):
    output, embedding = night
    (tmp_path / "lake" / "red.png").write_bytes(png((255, 0, 0)))
    (tmp_path / "lake" / "later.png").write_bytes(png("green"))
    plan(output, embedding.reader)
    done = embed(output, embedding, pending(output).read(output), Local(backoff_s=0))
    found = images(output)
    assert (found["red.png"]["status"], found["later.png"]["status"]) == ("crashed", "ok")
    assert done.given_up == 0 and len(found) == 7


@pytest.fixture
def no_memory(monkeypatch):
    """Let the GPU have memory for no image of `red.png`'s colour."""
    segment = FakeSegmenter.segment

    def failing(self, pixels):
        if (pixels == [255, 0, 0]).all():
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return segment(self, pixels)

    monkeypatch.setattr(FakeSegmenter, "segment", failing)


def test_an_image_that_the_gpu_has_no_memory_for_is_a_row(night, tmp_path, no_memory):
    output, embedding = night
    (tmp_path / "lake" / "red.png").write_bytes(png((255, 0, 0)))
    plan(output, embedding.reader)
    done = embed(output, embedding, pending(output).read(output), Local(attempts=1))
    row = images(output)["red.png"]
    assert row["status"] == "crashed" and "no memory for this image" in row["error"]
    assert (done.images, done.given_up) == (6, 0)


def test_a_gpu_without_memory_is_no_verdict_about_images(night, tmp_path, no_memory, monkeypatch):
    output, embedding = night
    (tmp_path / "lake" / "red.png").write_bytes(png((255, 0, 0)))
    plan(output, embedding.reader)

    def full(self):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 MiB")

    monkeypatch.setattr(FakeSegmenter, "warm_up", full)
    with pytest.raises(OutageError, match="no memory for a blank image"):
        embed(output, embedding, pending(output).read(output), Local(attempts=2, backoff_s=0))
    assert "red.png" not in images(output)


def test_a_device_at_fault_fails_before_it_is_given_images(night, monkeypatch):
    _, embedding = night

    def broken(self):
        raise RuntimeError("CUDA error: uncorrectable ECC error encountered")

    monkeypatch.setattr(FakeSegmenter, "warm_up", broken)
    assert EmbedWork(embedding, Slot("cpu", 1))
    with pytest.raises(RuntimeError, match="uncorrectable"):
        EmbedWork(embedding, Slot("cuda", 1))


def test_a_heartbeat_comes_before_each_image(night):
    output, embedding = night
    shard = next(iter(output.planned()))
    messages = list(EmbedWork(embedding, Slot("cpu", 1))(Task(shard.id, shard), Attempt()))
    assert [m.index for m in messages if isinstance(m, Heartbeat)] == [0, 1, 2, 3, None]
    assert [m.counts["masks"] for m in messages] == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("attempt", [Attempt(2, exact=True), Attempt(2, frozenset({2}), True)])
def test_exact_attempts_yield_the_same_rows_except_skipped_images(night, attempt):
    output, embedding = night
    shard = next(iter(output.planned()))
    list(EmbedWork(embedding, Slot("cpu", 1))(Task(shard.id, shard), attempt))
    found = {key: row["status"] for key, row in images(output).items()}
    fine = "crashed" if attempt.skip else "ok"
    assert found == {"black.png": "no_masks", "broken.png": "undecodable", "fine.png": fine}
    assert images(output)["fine.png"]["bytes"] is None or not attempt.skip


def test_a_shard_given_up_is_quarantined_and_retried_on_request(night, monkeypatch):
    output, embedding = night

    def down(self, pixels):
        from samseg.errors import StorageError

        raise StorageError("503")

    with monkeypatch.context() as broken:
        broken.setattr(FakeSegmenter, "segment", down)
        done = embed(
            output, embedding, pending(output).read(output), Local(attempts=2, backoff_s=0)
        )
    assert done.given_up == 2 and len(output.quarantined()) == 2
    assert pending(output).shards == 0
    again = pending(output, retry_quarantined=True)
    embed(output, embedding, again.read(output), Local())
    assert output.quarantined() == set() and len(images(output)) == 5


def test_a_worker_with_one_thread_keeps_few_images_in_memory(tmp_path, monkeypatch):
    lake, output = tmp_path / "lake", Output(str(tmp_path / "out"))
    lake.mkdir()
    for i in range(12):
        (lake / f"{i}.png").write_bytes(png("blue"))
    reader = Folder(uri=str(lake))
    plan(output, reader)
    decode, segment = DecodePolicy.decode, FakeSegmenter.segment
    decoded, ahead = [], []

    def counted(self, payload):
        decoded.append(payload)
        return decode(self, payload)

    def slow(self, pixels):
        time.sleep(0.05)  # lets decoding fill the queue
        ahead.append(len(decoded) - len(ahead))
        return segment(self, pixels)

    monkeypatch.setattr(DecodePolicy, "decode", counted)
    monkeypatch.setattr(FakeSegmenter, "segment", slow)
    embedding = EmbedSpec(
        output.uri, reader, *(DecodePolicy(), ModelSpec(), MaskSettings()), Coverage()
    )
    shard = next(output.planned())
    list(EmbedWork(embedding, Slot("cpu", 1))(Task(shard.id, shard), Attempt()))
    assert len(ahead) == 12
    assert 2 <= max(ahead) <= 3  # being segmented, queued, held by the producer
