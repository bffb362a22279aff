"""The masks of one image, and what a segmenter returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from samseg.types.arrays import Bool, Float32, Int32, Int64

_MASK_ARRAYS = (
    "boxes",
    "areas",
    "predicted_iou",
    "stability_score",
    "points",
    "crops",
    "prompt_ids",
)


@dataclass(frozen=True, slots=True, eq=False)
class Masks:
    """All masks of one image as a struct of arrays of length n.

    Attributes:
        size: (h, w) of the image in px.
        boxes: (n, 4) int32, xyxy, px of the original image; both corners lie inside the mask
            (the convention of `segment_anything.utils.amg.batched_mask_to_box`).
        areas: (n,) int64, px.
        predicted_iou: (n,) float32, the decoder's estimate.
        stability_score: (n,) float32, in [0, 1].
        points: (n, 2) float32, xy, px of the original image: the prompt of the mask
            (the box centre for box prompts).
        crops: (n, 4) int32, xyxy, px of the original image: the crop that was segmented.
        rles: n COCO compressed RLEs, `{"size": [h, w], "counts": bytes}`.
        prompt_kind: `grid`, `points`, `boxes` or `masks`.
        prompt_ids: (n,) int32, index of the prompt.
    """

    size: tuple[int, int]
    boxes: Int32
    areas: Int64
    predicted_iou: Float32
    stability_score: Float32
    points: Float32
    crops: Int32
    rles: tuple[Mapping[str, Any], ...]
    prompt_kind: str
    prompt_ids: Int32

    def __len__(self) -> int:
        return len(self.rles)

    def __getitem__(self, index: Sequence[int] | slice | NDArray[Any]) -> "Masks":
        """Select masks by a slice, a list of positions or a boolean array."""
        order = np.arange(len(self))[index]
        arrays: dict[str, Any] = {name: getattr(self, name)[order] for name in _MASK_ARRAYS}
        return replace(self, rles=tuple(self.rles[i] for i in order), **arrays)

    @classmethod
    def join(cls, parts: Sequence["Masks"]) -> "Masks":
        """Concatenate the masks of one image, in order; at least one part."""
        arrays: dict[str, Any] = {
            name: np.concatenate([getattr(p, name) for p in parts]) for name in _MASK_ARRAYS
        }
        return replace(parts[0], rles=tuple(rle for p in parts for rle in p.rles), **arrays)

    def to_dense(self) -> Bool:
        """Decode to (n, h, w) bool. Takes n x h x w bytes of memory."""
        from pycocotools import mask as coco

        h, w = self.size
        if not self.rles:
            return np.zeros((0, h, w), dtype=np.bool_)
        return np.ascontiguousarray(coco.decode(list(self.rles)).transpose(2, 0, 1)).astype(bool)


class Segmentation(NamedTuple):
    """The result for one image: `masks, features = segmenter.segment(image)`.

    Attributes:
        masks: the masks in the order of the reference generator: best first within a crop.
        features: (256, 64, 64) float32, SAM's image embedding over the padded 1024 x 1024 square.
    """

    masks: Masks
    features: Float32
