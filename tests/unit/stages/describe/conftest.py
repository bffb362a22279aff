"""A lake of pictures, its masks by a segmenter that cuts them into tiles, and a small network."""

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from pycocotools import mask as coco

from samseg.engine import Local
from samseg.features import EfficientNetLite0Embedding
from samseg.features.dense import DenseNetwork
from samseg.output import Output
from samseg.pooling import Coverage
from samseg.readers import Folder
from samseg.readers.decode import DecodePolicy
from samseg.readers.decode.process import IsolatedDecoder
from samseg.sam.settings import MaskSettings, ModelSpec
from samseg.stages.describe.stage import DescribeSpec, describe
from samseg.stages.embed.stage import EmbedSpec, embed, pending
from samseg.stages.plan import plan
from samseg.types import Masks, Segmentation

ENGINE = Local(backoff_s=0, attempts=2)


@dataclass
class TileSegmenter:
    """Three masks: left half, top half, and one of no pixel; none where the image is black."""

    shift: int = 0

    def segment(self, pixels):
        h, w = pixels.shape[:2]
        dense = np.zeros((3, h, w), np.uint8)
        dense[0, :, : w // 2 + self.shift] = dense[1, : h // 2] = 1
        n = 3 if pixels.any() else 0
        return Segmentation(
            Masks(
                size=(h, w),
                boxes=np.zeros((n, 4), np.int32),
                areas=dense[:n].sum(axis=(1, 2)).astype(np.int64),
                predicted_iou=np.ones(n, np.float32),
                stability_score=np.ones(n, np.float32),
                points=np.zeros((n, 2), np.float32),
                crops=np.zeros((n, 4), np.int32),
                rles=tuple(coco.encode(np.asfortranarray(m)) for m in dense[:n]),
                prompt_kind="grid",
                prompt_ids=np.arange(n, dtype=np.int32),
            ),
            np.ones((256, 64, 64), np.float32),
        )


@pytest.fixture
def segmenter(monkeypatch):
    from samseg.sam.segmenter import Segmenter

    made = TileSegmenter()
    monkeypatch.setattr(Segmenter, "load", classmethod(lambda *a, **k: made))
    return made


@dataclass
class Calls:
    encoded: int = 0
    decoded: list = field(default_factory=list)


@pytest.fixture(autouse=True)
def calls(monkeypatch):
    """Replace the network by one of average colours; count what is encoded and decoded."""
    seen = Calls()

    def maps(images):
        seen.encoded += 1
        return [torch.nn.functional.avg_pool2d(images, 8)]

    def load(self, device):
        return DenseNetwork(
            maps, (8,), (3,), np.full(3, 60, np.float32), np.ones(3, np.float32), 64,
            torch.device("cpu"),
        )  # fmt: skip

    monkeypatch.setattr(EfficientNetLite0Embedding, "load", load)
    decode = IsolatedDecoder.decode

    def counted(self, payload):
        seen.decoded.append(payload)
        return decode(self, payload)

    monkeypatch.setattr(IsolatedDecoder, "decode", counted)
    return seen


@dataclass
class Lake:
    """A lake of four pictures in two shards, and output folders over it."""

    folder: Path
    first: EfficientNetLite0Embedding = field(default_factory=EfficientNetLite0Embedding)

    @property
    def reader(self):
        return Folder(uri=str(self.folder), images_per_shard=2)

    def night(self, output, *embeddings, engine=ENGINE):
        """Plan and embed what is new."""
        plan(output, self.reader)
        spec = EmbedSpec(
            output.uri, self.reader, DecodePolicy(), ModelSpec(), MaskSettings(), Coverage(),
            embeddings,
        )  # fmt: skip
        return embed(output, spec, pending(output).read(output), engine)

    def describe(self, output, *embeddings, reader=None, engine=ENGINE):
        """Add embeddings to what is committed."""
        spec = DescribeSpec(
            output.uri, reader or self.reader, DecodePolicy(), embeddings or (self.first,)
        )
        return describe(output, spec, engine, "cpu")


@pytest.fixture
def lake(tmp_path):
    folder = tmp_path / "lake"
    folder.mkdir()
    rng = np.random.default_rng(3)
    for name, size in {"a": (30, 40), "b": (40, 25), "c": (33, 64), "d": (20, 20)}.items():
        sink = io.BytesIO()
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Pillow.fromarray(pixels if name != "d" else pixels * 0).save(sink, "PNG")
        (folder / f"{name}.png").write_bytes(sink.getvalue())
    return Lake(folder)


@pytest.fixture
def folder_of(tmp_path):
    return lambda name: Output(str(tmp_path / name))


@pytest.fixture
def rows():
    """Return the rows of an embedding by mask id."""

    def read(output, name="efficientnet_lite0"):
        keys = [s.key for s in output.storage.list(f"embeddings/{name}/") if "part-" in s.key]
        found = [row for key in sorted(keys) for row in output.read(key).to_pylist()]
        return {row["mask_id"]: (row["status"], row["embedding"]) for row in found}

    return read
