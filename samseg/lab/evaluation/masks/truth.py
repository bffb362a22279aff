"""Ground truth of an evaluation: true segments of a photo, and their prompts."""

import zlib
from dataclasses import dataclass

import numpy as np

from samseg.lab.labelled import LabelledPhoto
from samseg.types import Bool, Float32

MIN_AREA = 0.002
"""Segments are prompted only if they cover more than this fraction of their photo."""


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """n true segments of one photo.

    Attributes:
        ids: n ids of the segments in the photo.
        masks: (n, h, w) bool.
        clicks: (n, 2) float32, xy, px of the photo: the deepest point of each segment.
        boxes: (n, 4) float32, xyxy, px of the photo; both corners lie inside the segment.
    """

    ids: tuple[int, ...]
    masks: Bool
    clicks: Float32
    boxes: Float32

    @classmethod
    def choose(cls, photo: LabelledPhoto, limit: int, seed: int) -> "Truth":
        """Choose among the segments over 0.2 % of the photo.

        Args:
            photo: the photo.
            limit: maximum number of segments; of more, a random sample is chosen.
            seed: seed of the sample, which depends only on it and on the photo's name and segments.
        """
        ids = photo.segments(MIN_AREA)
        if len(ids) > limit:
            rng = np.random.default_rng([seed, zlib.crc32(photo.stem.encode())])
            ids = sorted(rng.choice(ids, limit, replace=False).tolist())
        masks = np.zeros((len(ids), *photo.instances.shape), dtype=np.bool_)
        for mask, segment in zip(masks, ids, strict=True):
            mask[:] = photo.mask(segment)
        return cls(
            tuple(ids),
            masks,
            np.array([deepest_point(m) for m in masks], dtype=np.float32).reshape(-1, 2),
            np.array([_box(m) for m in masks], dtype=np.float32).reshape(-1, 4),
        )

    def __len__(self) -> int:
        return len(self.masks)


def deepest_point(region: Bool) -> tuple[int, int]:
    """Return x, y of the pixel farthest from the region's outside, which includes the image border.

    Ties go to the first pixel in reading order.

    Args:
        region: (h, w) bool, not empty.
    """
    import cv2

    padded = np.pad(region, 1).astype(np.uint8)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return int(x), int(y)


def _box(region: Bool) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])
