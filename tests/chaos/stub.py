"""Work of the embed stage without a model: real rows, whose masks follow from the image alone.

Everything but the segmenter is samseg's. The first pixel of an image says what it does to its
worker.
"""

import io
import os
import signal
import sys
import time
from dataclasses import dataclass, fields
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image
from pycocotools import mask as coco

from samseg.engine.protocol import Slot
from samseg.stages.embed.stage import EmbedSpec, EmbedWork
from samseg.types import Masks, Segmentation

SEGMENTER = "samseg.sam.segmenter"
"""Not imported here: PyTorch takes longer to import than most of these nights."""

SIZE = 32
STRIPS = 4
HURTS = ("", "segfault", "exit", "exception", "hang")


def photo(seed: int, hurt: str = "") -> bytes:
    """Return a PNG of noise; a worker that segments it gets hurt."""
    pixels = np.random.default_rng(seed).integers(0, 255, (SIZE, SIZE, 3), np.uint8)
    pixels[0, 0] = HURTS.index(hurt)
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


@dataclass(frozen=True)
class StubSegmenter:
    """Finds strips across the image; their number and features follow from its pixels."""

    nap_s: float
    faulty: bool = False
    broken: bool = False

    def warm_up(self) -> None:
        """Fail on a broken GPU."""
        if self.broken:
            raise RuntimeError("CUDA error: uncorrectable ECC error encountered")

    def segment(self, pixels: np.ndarray) -> Segmentation:
        """Return the masks, or do to this process what the image says."""
        if self.faulty:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        time.sleep(self.nap_s)
        _hurt(HURTS[pixels[0, 0, 0]])
        g = np.random.default_rng(pixels.ravel().tolist())
        n, step = int(g.integers(2, STRIPS + 1)), SIZE // STRIPS
        features = g.normal(size=(256, 64, 64)).astype(np.float32)
        dense = np.zeros((n, SIZE, SIZE), np.uint8)
        for i in range(n):
            kind = np.random.default_rng(i).normal(size=(256, 1, 1))
            rows = slice(i * 64 // STRIPS, (i + 1) * 64 // STRIPS)
            features[:, rows] += 20 * kind.astype(np.float32)
            dense[i, i * step : (i + 1) * step, : int(g.integers(4, SIZE))] = 1
        rles = tuple(coco.encode(np.asfortranarray(one)) for one in dense)
        boxes = np.array([coco.toBbox(rle) for rle in rles], np.int32)
        boxes[:, 2:] += boxes[:, :2] - 1
        masks = Masks(
            size=(SIZE, SIZE),
            boxes=boxes,
            areas=dense.sum(axis=(1, 2)).astype(np.int64),
            predicted_iou=np.ones(n, np.float32),
            stability_score=np.ones(n, np.float32),
            points=np.zeros((n, 2), np.float32),
            crops=np.tile(np.array([0, 0, SIZE, SIZE], np.int32), (n, 1)),
            rles=rles,
            prompt_kind="grid",
            prompt_ids=np.arange(n, dtype=np.int32),
        )
        return Segmentation(masks, features)


@dataclass(frozen=True, slots=True)
class StubSpec(EmbedSpec):
    """The settings of the stage, with a stub for the model.

    Attributes:
        nap_s: time that one image takes.
        faulty_gpu: CUDA_VISIBLE_DEVICES of the workers that fail at every image.
        broken_gpus: those that fail at a blank image, too.
    """

    nap_s: float = 0.0
    faulty_gpu: str = ""
    broken_gpus: tuple[str, ...] = ()

    @classmethod
    def of(cls, spec: EmbedSpec, **more: object) -> "StubSpec":
        """Return the same settings with a stub."""
        return cls(**{f.name: getattr(spec, f.name) for f in fields(spec)}, **more)

    def build(self, slot: Slot) -> EmbedWork:
        """Build the real work around the stub, in the worker."""
        here = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        faulty = bool(self.faulty_gpu) and here == self.faulty_gpu
        stub = StubSegmenter(self.nap_s, faulty, broken=here in self.broken_gpus)
        stand_in: Any = ModuleType(SEGMENTER)
        stand_in.Segmenter = SimpleNamespace(load=lambda *arguments, **named: stub)
        with patch.dict(sys.modules, {SEGMENTER: stand_in}):
            return EmbedWork(self, slot)


def _hurt(how: str) -> None:
    if how == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "exit":
        os._exit(1)
    if how == "exception":
        raise ValueError("an image that no code expects")
    if how == "hang":
        time.sleep(3600)
