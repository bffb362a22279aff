"""IoU of the answers to prompts at true segments: one click, a box, and clicks that correct.

Each further click goes where the last mask is most wrong (in the manner of Sofiiuk, Petrov,
Konushin, "Reviving iterative training with mask guidance for interactive segmentation", 2021),
and the logits of that mask go along as a prompt, as in the training of SAM (Kirillov et al.,
"Segment Anything", 2023, appendix A).
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samseg.lab.evaluation.truth import Truth, deepest_point
from samseg.sam.network.encoder import EncodedImage
from samseg.sam.segmenter import Segmenter
from samseg.types import Bool, Float32, Pixels

Float64 = NDArray[np.float64]

NO_POINT = -1
"""The label of a click that fills up the array."""


class ClickScores(NamedTuple):
    """What one click at each of n segments gives.

    Attributes:
        true_iou: (n, 3) float64, of the three masks of each click.
        predicted_iou: (n, 3) float32, what the model thinks of them.
        features: (256, 64, 64) float32, SAM's image embedding of the photo.
    """

    true_iou: Float64
    predicted_iou: Float32
    features: Float32


def one_click(segmenter: Segmenter, pixels: Pixels, truth: Truth) -> ClickScores:
    """Click at the deepest point of each segment, and ask for three masks."""
    masks, features = segmenter.prompt(pixels, points=truth.clicks, multimask_output=True)
    asked = [truth.masks[i] for i in masks.prompt_ids]
    found = (masks[i : i + 1].to_dense()[0] for i in range(len(masks)))
    overlap = [iou(*pair) for pair in zip(found, asked, strict=True)]
    return ClickScores(
        np.array(overlap).reshape(-1, 3), masks.predicted_iou.reshape(-1, 3), features
    )


def boxes(segmenter: Segmenter, pixels: Pixels, truth: Truth) -> Float64:
    """Ask for one mask in the box of each segment: (n,) float64 IoU."""
    masks, _ = segmenter.prompt(pixels, boxes=truth.boxes)
    found = (masks[i : i + 1].to_dense()[0] for i in range(len(masks)))
    return np.array([iou(*pair) for pair in zip(found, truth.masks, strict=True)])


def corrected(segmenter: Segmenter, pixels: Pixels, truth: Truth, clicks: int = 3) -> Float64:
    """Click at each segment, and correct.

    Of the three masks of the first click the one of the highest predicted IoU goes on; each
    further click asks for one mask. The answers are `SamPredictor`'s, given the logits of the
    answer before as `mask_input`.

    Args:
        segmenter: the model.
        pixels: (h, w, 3) uint8 RGB.
        truth: n segments.
        clicks: on each of them.

    Returns:
        (clicks, n) float64, IoU after each click.
    """
    encoded = segmenter.runtime.encoder.encode(pixels)
    parts = [
        slice(at, at + segmenter.runtime.batch)
        for at in range(0, len(truth), segmenter.runtime.batch)
    ]
    after = [
        _corrected(segmenter, encoded, truth.masks[part], truth.clicks[part], clicks)
        for part in parts
    ]
    return np.concatenate([np.zeros((clicks, 0)), *after], axis=1)


def correction(found: Bool, wanted: Bool) -> tuple[int, int, int]:
    """Return x, y and label of the click that corrects a mask.

    It is the deepest point of the larger error: inside (1) where what is missing is larger,
    outside (0) where what is too much is. A perfect mask gets no click (-1).

    Args:
        found: (h, w) bool.
        wanted: (h, w) bool.
    """
    missing, too_much = wanted & ~found, found & ~wanted
    if not missing.any() and not too_much.any():
        return 0, 0, NO_POINT
    inside = missing.sum() >= too_much.sum()
    return *deepest_point(missing if inside else too_much), int(inside)


def iou(found: Bool, wanted: Bool) -> float:
    """Return intersection over union of two masks that are not both empty."""
    return float(np.count_nonzero(found & wanted) / np.count_nonzero(found | wanted))


def _corrected(
    segmenter: Segmenter, encoded: EncodedImage, wanted: Bool, first: Float32, clicks: int
) -> Float64:
    points, labels = first[:, None], np.ones((len(first), 1), dtype=np.float32)
    after: list[list[float]] = []
    logits: Tensor | None = None
    for _ in range(clicks):
        found, logits = _answer(segmenter, encoded, points, labels, logits)
        after.append([iou(*pair) for pair in zip(found, wanted, strict=True)])
        further = [correction(*pair) for pair in zip(found, wanted, strict=True)]
        click = np.array(further, dtype=np.float32)
        points = np.concatenate([points, click[:, None, :2]], axis=1)
        labels = np.concatenate([labels, click[:, 2:]], axis=1)
    return np.array(after)


@torch.inference_mode()
def _answer(
    segmenter: Segmenter,
    encoded: EncodedImage,
    points: Float32,
    labels: Float32,
    logits: Tensor | None,
) -> tuple[Bool, Tensor]:
    """Answer b prompts: (b, h, w) bool masks and their (b, 1, 256, 256) float32 logits.

    Args:
        segmenter: the model.
        encoded: the photo.
        points: (b, k, 2) xy, px of the photo.
        labels: (b, k), 1 inside, 0 outside, -1 no point.
        logits: of the masks to correct; None for the best of three by predicted IoU.
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
        asked, alike = slice(1, None), [(dense[:1], sparse)]
    else:  # each prompt sees an image of its own
        asked, alike = slice(0, 1), list(zip(dense.split(1), sparse.split(1), strict=True))
    found: list[Tensor] = []
    for own, tokens in alike:
        side = decoder.image_cache(encoded.features, own)  # with padding: its logits go along
        decoded = decoder.decode(side, tokens, asked)
        each = torch.arange(len(tokens), device=tokens.device)
        best = decoded.predicted_iou.argmax(dim=1)
        found.append(decoder.logits(side, decoded, each)[each, best][:, None])
    joined = torch.cat(found)
    geometry = encoded.geometry
    masks = model.postprocess_masks(joined, geometry.input_size, geometry.original_size)
    return (masks[:, 0] > model.mask_threshold).cpu().numpy(), joined
