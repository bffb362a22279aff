"""Distillation: train on the masks and features of a larger model, the teacher.

The teacher labels the images of a lake once, before training, and writes one file per image, so an
interrupted run resumes. Use it to train a small model for your own photos.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from samseg.errors import ConfigError, ImageError
from samseg.lab.pretraining.examples import INPUT, PATCH
from samseg.lab.pretraining.settings import Teacher
from samseg.lab.pretraining.training_image import GREY, Region, TrainingImage
from samseg.progress import Progress
from samseg.sam.segmenter import Segmenter
from samseg.types import Bool, Float32, Pixels, RawImage

_HALF = INPUT // 2
_STEP = PATCH // 2
"""Side of a patch in px of a halved image."""


def teach(teacher: Teacher, folder: Path, progress: Progress) -> None:
    """Label the images of a lake with a teacher; labelled and unreadable images are skipped.

    Writes `{image id}.npz`, 1 to 6 MB: pixels, masks and features at half the model's input
    resolution.

    Args:
        teacher: the model and its lake.
        folder: folder for the files; created if missing.
        progress: receives the number of images done.

    Raises:
        ConfigError: no image could be used.
        LakeError: the lake cannot be listed, or is empty.
        CheckpointError: the teacher's checkpoint cannot be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    segmenter = None
    progress.start("teach", None, "images")
    done = 0
    for encoded in _images(teacher):
        path = folder / f"{encoded.image_id}.npz"
        if not path.exists():
            if not isinstance(encoded.payload, bytes):
                progress.note(f"{encoded.key}: {encoded.payload}")
                continue
            try:
                pixels = teacher.decode.decode(encoded.payload).pixels
            except ImageError as e:
                progress.note(f"{encoded.key}: {e}")
                continue
            if segmenter is None:
                segmenter = Segmenter.load(teacher.model, teacher.masks)
            masks, features = segmenter.segment(pixels)
            _write(path, pixels, masks.to_dense(), features)
        done += 1
        progress.update(done)
    progress.finish(f"{done} images in {folder}")
    if not done:
        raise ConfigError("the teacher's lake has no image that could be read; see the notes above")


class TeacherPhotos:
    """Photos with a teacher's masks and features, as training images."""

    def __init__(self, folder: Path):
        """List the files in `folder`; each is read when it is drawn."""
        self._files = sorted(folder.glob("*.npz"))

    def draw(self, rng: np.random.Generator, side: int) -> TrainingImage:
        """Cut a window of side x side px, aligned with the patches of the teacher's features."""
        with np.load(self._files[rng.integers(len(self._files))]) as file:
            pixels, packed, features = file["pixels"], file["masks"], file["features"]
        h, w = pixels.shape[:2]
        masks = np.unpackbits(packed, axis=2, count=w).astype(np.bool_)
        top, left = (int(rng.integers(0, max(0, n - side) // _STEP + 1)) for n in (h, w))
        rows, columns = (slice(at * _STEP, at * _STEP + side) for at in (top, left))
        cut = pixels[rows, columns]
        padding = ((0, side - cut.shape[0]), (0, side - cut.shape[1]))
        padded = np.full((side, side, 3), GREY, dtype=np.uint8)
        padded[: cut.shape[0], : cut.shape[1]] = cut
        regions = tuple(
            Region(np.pad(mask[rows, columns], padding))
            for mask in masks
            if mask[rows, columns].any()
        )
        patches = side // _STEP
        return TrainingImage(
            padded, regions, features[:, top : top + patches, left : left + patches]
        )


def _images(teacher: Teacher) -> Iterator[RawImage]:
    """Read at most `images` images, evenly spread where the reader plans by single images."""
    shards = teacher.reader.plan({}).shards
    known = sum(shard.images or 0 for shard in shards)
    wanted = min(teacher.images, known) or teacher.images
    lake = max(known, wanted)
    of_all = (e for shard in shards for e in teacher.reader.read(shard, teacher.decode.max_bytes))
    spread = (e for i, e in enumerate(of_all) if (i + 1) * wanted // lake > i * wanted // lake)
    return islice(spread, wanted)


def _write(path: Path, pixels: Pixels, masks: Bool, features: Float32) -> None:
    """Write one image at half the model's input resolution; features include the padding."""
    scale = _HALF / max(pixels.shape[:2])
    h, w = (max(1, round(n * scale)) for n in pixels.shape[:2])
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(pixels, (w, h), interpolation=interpolation)
    low = np.zeros((len(masks), h, w), dtype=np.bool_)
    for i, mask in enumerate(masks):
        low[i] = cv2.resize(mask.astype(np.uint8) * 255, (w, h), interpolation=interpolation) > 127
    partial = path.with_name(f".{path.name}")
    with partial.open("wb") as f:
        np.savez(
            f, pixels=small, masks=np.packbits(low, axis=2), features=features.astype(np.float16)
        )
    partial.replace(path)
