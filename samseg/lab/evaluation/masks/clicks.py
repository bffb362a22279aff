"""IoU of masks predicted from prompts: one click, one box, and corrective clicks.

Each corrective click is placed in the largest error of the previous mask (as in Sofiiuk, Petrov,
Konushin, "Reviving iterative training with mask guidance for interactive segmentation", 2021), and
the logits of that mask are an additional prompt, as in the training of SAM (Kirillov et al.,
"Segment Anything", 2023, appendix A).
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samseg.lab.evaluation.masks.truth import Truth, deepest_point
from samseg.sam.network.encoder import EncodedImage
from samseg.sam.network.tf32 import float32_convolutions
from samseg.sam.segmenter import Segmenter
from samseg.types import Bool, Float32, Pixels

Float64 = NDArray[np.float64]

NO_POINT = -1
"""Label of a padding click."""


class ClickScores(NamedTuple):
    """Results of one click on each of n segments.

    Attributes:
        true_iou: (n, 3) float64, IoU of the three masks of each click with the segment.
        predicted_iou: (n, 3) float32, IoU predicted by the model.
        stability: (n, 3) float32, stability scores.
        boundary: (n,) float64, boundary IoU of the mask with the highest true IoU.
        features: (256, 64, 64) float32, SAM's image embedding of the photo.
    """

    true_iou: Float64
    predicted_iou: Float32
    stability: Float32
    boundary: Float64
    features: Float32


def one_click(segmenter: Segmenter, pixels: Pixels, truth: Truth) -> ClickScores:
    """Predict three masks from a click at the deepest point of each segment."""
    masks, features = segmenter.prompt(
        pixels, points=truth.clicks, multimask_output=True, logits=False
    )
    overlap = np.zeros((len(truth), 3))
    boundary = np.zeros(len(truth))
    for i, true in enumerate(truth.masks):
        found = masks[3 * i : 3 * i + 3].to_dense()
        overlap[i] = [iou(mask, true) for mask in found]
        boundary[i] = boundary_iou(found[overlap[i].argmax()], true)
    predicted, stability = masks.predicted_iou, masks.stability_score
    return ClickScores(
        overlap, predicted.reshape(-1, 3), stability.reshape(-1, 3), boundary, features
    )


def boxes(segmenter: Segmenter, pixels: Pixels, truth: Truth) -> Float64:
    """Predict one mask from the box of each segment; return (n,) float64 IoU."""
    masks, _ = segmenter.prompt(pixels, boxes=truth.boxes, logits=False)
    found = (masks[i : i + 1].to_dense()[0] for i in range(len(masks)))
    return np.array([iou(*pair) for pair in zip(found, truth.masks, strict=True)])


def corrected(segmenter: Segmenter, pixels: Pixels, truth: Truth, clicks: int = 3) -> Float64:
    """Click on each segment, then correct the mask with further clicks.

    The first click predicts three masks, of which the one with the highest predicted IoU is
    corrected; each further click predicts one mask. Masks equal those of `SamPredictor` with the
    previous logits as `mask_input`.

    Args:
        segmenter: the model.
        pixels: (h, w, 3) uint8 RGB.
        truth: n segments.
        clicks: number of clicks on each segment.

    Returns:
        (clicks, n) float64, IoU after each click.
    """
    encoded = segmenter.runtime.encoder.encode(pixels)
    batches = [
        slice(at, at + segmenter.runtime.batch)
        for at in range(0, len(truth), segmenter.runtime.batch)
    ]
    ious = [
        _corrected(segmenter, encoded, truth.masks[batch], truth.clicks[batch], clicks)
        for batch in batches
    ]
    return np.concatenate([np.zeros((clicks, 0)), *ious], axis=1)


def correction(found: Bool, wanted: Bool) -> tuple[int, int, int]:
    """Return x, y and label of the click that corrects a mask.

    The click is the deepest point of the larger error region, with label 1 if that is a missing
    region, 0 if it is a false positive. A perfect mask needs no click (label -1).

    Args:
        found: (h, w) bool, the predicted mask.
        wanted: (h, w) bool, the true mask.
    """
    missing, excess = wanted & ~found, found & ~wanted
    if not missing.any() and not excess.any():
        return 0, 0, NO_POINT
    inside = missing.sum() >= excess.sum()
    return *deepest_point(missing if inside else excess), int(inside)


def iou(found: Bool, wanted: Bool) -> float:
    """Return the intersection over union of two masks, not both empty."""
    return float(np.count_nonzero(found & wanted) / np.count_nonzero(found | wanted))


def boundary_iou(found: Bool, wanted: Bool) -> float:
    """Return the IoU of the boundary bands of two masks, not both empty.

    The band of a mask contains its pixels within 2 % of the image's diagonal from its outside,
    which includes the image border (Cheng et al., "Boundary IoU", 2021).
    """
    width = 0.02 * float(np.hypot(*found.shape))
    return iou(_band(found, width), _band(wanted, width))


def _band(mask: Bool, width: float) -> Bool:
    import cv2

    padded = np.pad(mask, 1).astype(np.uint8)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    return mask & (depth <= width)


def _corrected(
    segmenter: Segmenter, encoded: EncodedImage, wanted: Bool, first: Float32, clicks: int
) -> Float64:
    points, labels = first[:, None], np.ones((len(first), 1), dtype=np.float32)
    ious: list[list[float]] = []
    logits: Tensor | None = None
    for _ in range(clicks):
        found, logits = _predict(segmenter, encoded, points, labels, logits)
        ious.append([iou(*pair) for pair in zip(found, wanted, strict=True)])
        corrections = [correction(*pair) for pair in zip(found, wanted, strict=True)]
        click = np.array(corrections, dtype=np.float32)
        points = np.concatenate([points, click[:, None, :2]], axis=1)
        labels = np.concatenate([labels, click[:, 2:]], axis=1)
    return np.array(ious)


@torch.inference_mode()
@float32_convolutions()
def _predict(
    segmenter: Segmenter,
    encoded: EncodedImage,
    points: Float32,
    labels: Float32,
    logits: Tensor | None,
) -> tuple[Bool, Tensor]:
    """Return (b, h, w) bool masks of b prompts and their (b, 1, 256, 256) float32 logits.

    Args:
        segmenter: the model.
        encoded: the photo's features.
        points: (b, k, 2) xy, px of the photo.
        labels: (b, k), 1 inside, 0 outside, -1 no point.
        logits: logits of the masks to correct; None for the best of three by predicted IoU.
    """
    model, decoder = segmenter.model, segmenter.runtime.decoder
    sparse, dense = model.prompt_encoder(
        points=(
            torch.as_tensor(points * encoded.geometry.scale).to(encoded.features),
            torch.as_tensor(labels, device=segmenter.device),
        ),
        boxes=None,
        masks=logits,
    )
    if logits is None:
        outputs, groups = slice(1, None), [(dense[:1], sparse)]
    else:  # the mask prompt is added to the features, so each prompt has its own image cache
        outputs, groups = slice(0, 1), list(zip(dense.split(1), sparse.split(1), strict=True))
    found: list[Tensor] = []
    for mask_prompt, tokens in groups:
        # uncropped: the logits of the padding are part of the next mask prompt
        cache = decoder.image_cache(encoded.features, mask_prompt)
        decoded = decoder.decode(cache, tokens, outputs)
        each = torch.arange(len(tokens), device=tokens.device)
        best = decoded.predicted_iou.argmax(dim=1)
        found.append(decoder.logits(cache, decoded, each)[each, best][:, None])
    joined = torch.cat(found)
    geometry = encoded.geometry
    masks = model.postprocess_masks(joined, geometry.input_size, geometry.original_size)
    return (masks[:, 0] > model.mask_threshold).cpu().numpy(), joined
