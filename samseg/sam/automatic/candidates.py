"""Candidate masks: filter, suppress and encode.

Applies the filters of `SamAutomaticMaskGenerator` and keeps its order of masks, but stores only the
logits that a candidate needs, and encodes only the masks that remain.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torchvision.extension  # type: ignore[import-untyped]  # noqa: F401  has `nms`
from numpy.typing import NDArray

from samseg.masks.rle import MaskWindow, Rle, areas_of, boxes_of, encode, window_flips
from samseg.sam.upsample.upsampler import LogitCrop, Upsampler
from samseg.types import Bool, Float32, Int32, Int64, Masks

_EDGE_PX = 20
"""A box within this distance of the edge of its crop, but not of the image, is cut off."""

_AT_ONCE = 64
"""Masks encoded at once, so that their runs fit into the CPU cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """m masks before suppression; the columns are those of `samseg.types.Masks`.

    Attributes:
        cutouts: m logit crops; None for an empty mask.
    """

    boxes: Int64
    areas: Int64
    predicted_iou: Float32
    stability_score: Float32
    points: Float32
    crops: Int64
    prompt_ids: Int32
    cutouts: tuple[LogitCrop | None, ...]

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: NDArray[Any]) -> "Candidates":
        """Select by positions or by a boolean array."""
        order = np.arange(len(self))[index]
        return Candidates(
            self.boxes[order],
            self.areas[order],
            self.predicted_iou[order],
            self.stability_score[order],
            self.points[order],
            self.crops[order],
            self.prompt_ids[order],
            tuple(self.cutouts[i] for i in order),
        )

    @classmethod
    def join(cls, parts: Sequence["Candidates"]) -> "Candidates":
        """Concatenate, in order."""
        if not parts:
            return cls(
                np.zeros((0, 4), np.int64),
                np.zeros(0, np.int64),
                np.zeros(0, np.float32),
                np.zeros(0, np.float32),
                np.zeros((0, 2), np.float32),
                np.zeros((0, 4), np.int64),
                np.zeros(0, np.int32),
                (),
            )
        return cls(
            np.concatenate([p.boxes for p in parts]),
            np.concatenate([p.areas for p in parts]),
            np.concatenate([p.predicted_iou for p in parts]),
            np.concatenate([p.stability_score for p in parts]),
            np.concatenate([p.points for p in parts]),
            np.concatenate([p.crops for p in parts]),
            np.concatenate([p.prompt_ids for p in parts]),
            tuple(c for p in parts for c in p.cutouts),
        )


def cut_off(boxes: Int64, crop: tuple[int, int, int, int], size: tuple[int, int]) -> Bool:
    """Return which masks are cut off by an edge of their crop inside the image.

    Args:
        boxes: (m, 4) xyxy, px of the image.
        crop: xyxy, px of the image.
        size: (h, w) of the image.

    Returns:
        (m,) bool.
    """
    whole = np.array([0, 0, size[1], size[0]])
    near_crop = np.abs(boxes - np.array(crop)) <= _EDGE_PX
    near_image = np.abs(boxes - whole) <= _EDGE_PX
    return (near_crop & ~near_image).any(axis=1)


def suppress(boxes: NDArray[Any], scores: NDArray[Any], threshold: float) -> NDArray[np.int64]:
    """Apply non-maximum suppression to boxes.

    Args:
        boxes: (m, 4) xyxy, px.
        scores: (m,), of two overlapping boxes the one with the higher score is kept.
        threshold: box IoU above which the other one is dropped.

    Returns:
        (k,) int64 positions of the boxes that are kept, best first.
    """
    # `torchvision.ops.nms` without what else that module imports
    nms = torch.ops.torchvision.nms
    kept = nms(torch.as_tensor(boxes).float(), torch.as_tensor(scores), threshold)
    return np.asarray(kept.numpy(), dtype=np.int64)


def to_masks(
    candidates: Candidates,
    upsampler: Upsampler,
    crop: tuple[int, int, int, int],
    size: tuple[int, int],
    threshold: float,
    prompt_kind: str,
) -> Masks:
    """Rasterise and encode the masks.

    Args:
        candidates: m masks of one crop of an image.
        upsampler: that of the crop.
        crop: xyxy, px of the image.
        size: (h, w) of the image.
        threshold: logit above which a px belongs to the mask.
        prompt_kind: see `samseg.types.Masks`.
    """
    boxes = np.zeros((len(candidates), 4), dtype=np.int32)
    areas = np.zeros(len(candidates), dtype=np.int64)
    rles: list[Rle] = []
    for flips in upsampler.draw(candidates.cutouts, threshold, crop[:2], size[0]).split(_AT_ONCE):
        part = slice(len(rles), len(rles) + len(flips))
        boxes[part], areas[part] = boxes_of(flips, size[0]), areas_of(flips)
        rles += encode(flips, size)
    return Masks(
        size=size,
        boxes=boxes,
        areas=areas,
        predicted_iou=candidates.predicted_iou,
        stability_score=candidates.stability_score,
        points=candidates.points,
        crops=candidates.crops.astype(np.int32),
        rles=tuple(rles),
        prompt_kind=prompt_kind,
        prompt_ids=candidates.prompt_ids,
    )


def distinct(masks: Masks) -> Masks:
    """Drop the masks that equal an earlier one of the same image.

    Suppression drops them by the IoU of their boxes, but the boxes of one row or column have no
    area in SAM's convention, and so no IoU: of a picture of one row, dozens of equal masks remain.

    Args:
        masks: n masks of one image, the better one first.
    """
    first = {rle["counts"]: i for i, rle in reversed(list(enumerate(masks.rles)))}
    if len(first) == len(masks):
        return masks
    return masks[np.array(sorted(first.values()), dtype=np.int64)]


def without_small_regions(masks: Masks, min_area: int, nms_threshold: float) -> Masks:
    """Fill small holes, remove small islands, and suppress the resulting duplicates.

    As in `SamAutomaticMaskGenerator.postprocess_small_regions`, unchanged masks are preferred to
    changed ones, and predicted IoU and stability are not updated.

    Args:
        masks: n masks of one image.
        min_area: holes and islands of fewer px are removed.
        nms_threshold: box IoU above which one of two masks is dropped.
    """
    if not len(masks):
        return masks
    cleaned = {
        i: window
        for i, (rle, box) in enumerate(zip(masks.rles, masks.boxes.tolist(), strict=True))
        if (window := _cleaned(_decode_around(rle, box, min_area), min_area)) is not None
    }
    changed, flips = list(cleaned), window_flips(cleaned.values(), masks.size[0])
    boxes, areas, rles = masks.boxes.copy(), masks.areas.copy(), list(masks.rles)
    boxes[changed], areas[changed] = boxes_of(flips, masks.size[0]), areas_of(flips)
    for i, rle in zip(changed, encode(flips, masks.size), strict=True):
        rles[i] = rle
    unchanged = np.ones(len(masks), dtype=np.float32)
    unchanged[changed] = 0.0
    kept = suppress(boxes, unchanged, nms_threshold)
    result = Masks(
        size=masks.size,
        boxes=boxes,
        areas=areas,
        predicted_iou=masks.predicted_iou,
        stability_score=masks.stability_score,
        points=masks.points,
        crops=masks.crops,
        rles=tuple(rles),
        prompt_kind=masks.prompt_kind,
        prompt_ids=masks.prompt_ids,
    )
    return result[kept]


def _decode_around(rle: Rle, box: list[int], min_area: int) -> MaskWindow:
    """Decode a window that determines which holes and islands of a mask are small.

    On each side of the box, up to the edge of the image, the window contains at least `min_area` px
    of background. So a background component that the window cuts is not small in the window either,
    and all other components lie inside it. Both corners are even, because OpenCV numbers components
    in blocks of 2 x 2 px, and of several largest islands the first is kept.
    """
    from pycocotools import mask as coco

    x0, y0, x1, y1 = box
    across, down = -(-min_area // (y1 + 1 - y0)), -(-min_area // (x1 + 1 - x0))
    left, top = (max(0, x0 - across) & ~1), (max(0, y0 - down) & ~1)
    dense = coco.decode(dict(rle))[top : y1 + 1 + down, left : x1 + 1 + across]
    return MaskWindow(dense.T.astype(np.bool_), left, top)


def _cleaned(window: MaskWindow, min_area: int) -> MaskWindow | None:
    """Fill small holes, then remove small islands; None if there are none."""
    dense = window.columns.T
    filled = _without_small_components(~dense, min_area)
    dense = dense if filled is None else ~filled
    islands = _without_small_components(dense, min_area, keep_largest=True)
    dense = dense if islands is None else islands
    return None if filled is None and islands is None else MaskWindow(dense.T, window.x, window.y)


def _without_small_components(
    flags: Bool, min_area: int, keep_largest: bool = False
) -> Bool | None:
    """Unset all 8-connected components of fewer than `min_area` px; None if there are none.

    Equivalent to `segment_anything.utils.amg.remove_small_regions`, but looks labels up in a table
    instead of a list. `keep_largest` keeps the largest component if all are small.
    """
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats(flags.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    kept = areas >= min_area
    if kept.all():
        return None
    if keep_largest and not kept.any():
        kept[areas.argmax()] = True
    return np.append(False, kept)[labels]
