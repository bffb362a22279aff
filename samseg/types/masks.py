"""The masks of one image, and what a segmenter returns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from samseg.types.arrays import Bool, Float32, Int32, Int64

if TYPE_CHECKING:
    from supervision import Detections

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
        logits: (n, 256, 256) float32, the decoder's low-resolution logits over the padded square,
            which a next prompt takes as `mask_inputs`; None for automatic masks.
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
    logits: Float32 | None = None

    def __len__(self) -> int:
        return len(self.rles)

    def __iter__(self) -> Iterator["Masks"]:
        """Yield each mask as `Masks` of length 1."""
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int | Sequence[int] | slice | NDArray[Any]) -> "Masks":
        """Select masks by a position, a slice, a list of positions or a boolean array."""
        order = np.atleast_1d(np.arange(len(self))[index])
        arrays: dict[str, Any] = {name: getattr(self, name)[order] for name in _MASK_ARRAYS}
        logits = None if self.logits is None else self.logits[order]
        return replace(self, rles=tuple(self.rles[i] for i in order), logits=logits, **arrays)

    @classmethod
    def join(cls, parts: Sequence["Masks"]) -> "Masks":
        """Concatenate the masks of one image, in order; at least one part."""
        arrays: dict[str, Any] = {
            name: np.concatenate([getattr(p, name) for p in parts]) for name in _MASK_ARRAYS
        }
        logits = [p.logits for p in parts if p.logits is not None]
        return replace(
            parts[0],
            rles=tuple(rle for p in parts for rle in p.rles),
            logits=np.concatenate(logits) if logits else None,
            **arrays,
        )

    def to_dense(self) -> Bool:
        """Decode to (n, h, w) bool. Takes n x h x w bytes of memory."""
        from pycocotools import mask as coco

        h, w = self.size
        if not self.rles:
            return np.zeros((0, h, w), dtype=np.bool_)
        return np.ascontiguousarray(coco.decode(list(self.rles)).transpose(2, 0, 1)).astype(bool)

    def to_anns(
        self, output_mode: Literal["binary_mask", "coco_rle"] = "binary_mask"
    ) -> list[dict[str, Any]]:
        """Return the dicts of `SamAutomaticMaskGenerator.generate`, one per mask.

        Args:
            output_mode: `segmentation` as (h, w) bool, or as a COCO RLE with text counts.

        Returns:
            Dicts with `segmentation`, `area` (px), `bbox` (xywh, px, the distance of the corners of
            `boxes`, as in SAM), `predicted_iou`, `point_coords` ([[x, y]], px), `stability_score`
            and `crop_box` (xywh, px).

        Raises:
            ValueError: `output_mode` is unknown.
        """
        if output_mode not in ("binary_mask", "coco_rle"):
            raise ValueError(f"output_mode is {output_mode!r}, wanted 'binary_mask' or 'coco_rle'")
        text = output_mode == "coco_rle"
        segmentations = map(_with_text, self.rles) if text else self.to_dense()
        columns = (_xywh(self.boxes), _xywh(self.crops), self.points.tolist())
        return [
            {
                "segmentation": segmentation,
                "area": int(self.areas[i]),
                "bbox": box,
                "predicted_iou": float(self.predicted_iou[i]),
                "point_coords": [point],
                "stability_score": float(self.stability_score[i]),
                "crop_box": crop,
            }
            for i, (segmentation, box, crop, point) in enumerate(
                zip(segmentations, *columns, strict=True)
            )
        ]

    def to_detections(self, class_ids: Sequence[int] | NDArray[Any] | None = None) -> "Detections":
        """Return `supervision.Detections`; needs `pip install supervision`.

        Args:
            class_ids: n class ids, for example from `samseg.cluster`; None for none.

        Returns:
            Boxes (xyxy), dense masks, predicted IoU as confidence, and in `data` the stability
            scores and the ids of the prompts.

        Raises:
            ImportError: supervision is not installed.
            ValueError: `class_ids` has another length.
        """
        if class_ids is not None and len(class_ids) != len(self):
            raise ValueError(
                f"got {len(class_ids)} class_ids for {len(self)} masks, wanted one per mask"
            )
        try:
            from supervision import Detections
        except ImportError as e:
            raise ImportError(
                "to_detections needs the package supervision; install it: pip install supervision"
            ) from e
        return Detections(
            xyxy=self.boxes.astype(np.float32),
            mask=self.to_dense(),
            confidence=self.predicted_iou,
            class_id=None if class_ids is None else np.asarray(class_ids, dtype=np.int64),
            data={"stability_score": self.stability_score, "prompt_id": self.prompt_ids},
        )


def _with_text(rle: Mapping[str, Any]) -> dict[str, Any]:
    """Return an RLE that JSON can hold."""
    counts = rle["counts"]
    return {
        "size": list(rle["size"]),
        "counts": counts.decode() if isinstance(counts, bytes) else counts,
    }


def _xywh(boxes: Int32) -> list[list[int]]:
    """Convert (n, 4) xyxy to n lists xywh."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()


class Segmentation(NamedTuple):
    """The result for one image: `masks, features = segmenter.segment(image)`.

    Attributes:
        masks: the masks in the order of the reference generator: best first within a crop.
        features: (256, 64, 64) float32, SAM's image embedding over the padded 1024 x 1024 square.
    """

    masks: Masks
    features: Float32
