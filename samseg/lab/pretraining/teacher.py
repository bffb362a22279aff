"""Learn from a larger model: its masks and its features become training pictures.

A teacher labels a lake's images once, before training; what it said of each lies in one file, so a
killed run goes on where it was. For a small model of one's own kind of photos.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from samseg.errors import ConfigError, ImageError
from samseg.lab.pretraining.examples import INPUT, PATCH
from samseg.lab.pretraining.picture import GREY, Region, TrainingPicture
from samseg.lab.pretraining.settings import Teacher
from samseg.progress import Progress
from samseg.sam.segmenter import Segmenter
from samseg.types import Bool, Float32, Pixels, RawImage

_HALF = INPUT // 2
_STEP = PATCH // 2
"""Px of a halved picture per patch."""


def teach(teacher: Teacher, folder: Path, progress: Progress) -> None:
    """Let a teacher look at its lake; images that it has seen, or cannot see, are passed over.

    Writes `{image id}.npz` with pixels, masks and features, at half the model's input: 1 to 6 MB.

    Args:
        teacher: who looks at what.
        folder: where to write; made if missing.
        progress: where to say how far it is.

    Raises:
        ConfigError: no image could be used.
        LakeError: the lake cannot be listed, or is empty.
        CheckpointError: the teacher's checkpoint cannot be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    segmenter = None
    progress.start("teach", None, "images")
    seen = 0
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
        seen += 1
        progress.update(seen)
    progress.finish(f"{seen} images in {folder}")
    if not seen:
        raise ConfigError("the teacher could use no image of its lake; see the lines above")


class TaughtPhotos:
    """Pictures that a teacher has looked at."""

    def __init__(self, folder: Path):
        """List them; they are read when they are drawn."""
        self._files = sorted(folder.glob("*.npz"))

    def draw(self, rng: np.random.Generator, side: int) -> TrainingPicture:
        """Cut a window of side x side px, on the patches of the teacher's features."""
        with np.load(self._files[rng.integers(len(self._files))]) as file:
            pixels, packed, features = file["pixels"], file["masks"], file["features"]
        h, w = pixels.shape[:2]
        masks = np.unpackbits(packed, axis=2, count=w).astype(np.bool_)
        top, left = (int(rng.integers(0, max(0, n - side) // _STEP + 1)) for n in (h, w))
        rows, columns = (slice(at * _STEP, at * _STEP + side) for at in (top, left))
        seen = pixels[rows, columns]
        padding = ((0, side - seen.shape[0]), (0, side - seen.shape[1]))
        padded = np.full((side, side, 3), GREY, dtype=np.uint8)
        padded[: seen.shape[0], : seen.shape[1]] = seen
        regions = tuple(
            Region(np.pad(mask[rows, columns], padding))
            for mask in masks
            if mask[rows, columns].any()
        )
        patches = side // _STEP
        return TrainingPicture(
            padded, regions, features[:, top : top + patches, left : left + patches]
        )


def _images(teacher: Teacher) -> Iterator[RawImage]:
    """Read the lake, at most `images` of it, evenly spread where single images can be chosen."""
    shards = teacher.reader.plan({}).shards
    every = max(1, sum(shard.images or 0 for shard in shards) // teacher.images)
    of_all = (e for shard in shards for e in teacher.reader.read(shard, teacher.decode.max_bytes))
    return islice(of_all, 0, every * teacher.images, every)


def _write(path: Path, pixels: Pixels, masks: Bool, features: Float32) -> None:
    """Keep one image at half the model's input; features stay whole, padding included."""
    scale = _HALF / max(pixels.shape[:2])
    h, w = (max(1, round(n * scale)) for n in pixels.shape[:2])
    shrunk = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(pixels, (w, h), interpolation=shrunk)
    low = np.zeros((len(masks), h, w), dtype=np.bool_)
    for i, mask in enumerate(masks):
        low[i] = cv2.resize(mask.astype(np.uint8) * 255, (w, h), interpolation=shrunk) > 127
    beside = path.with_name(f".{path.name}")
    with beside.open("wb") as f:
        np.savez(
            f, pixels=small, masks=np.packbits(low, axis=2), features=features.astype(np.float16)
        )
    beside.replace(path)
