"""Prompt points of one image or crop, and keep the masks that pass the filters.

Masks are filtered before they are interpolated, and of the remaining masks only the logits that
determine their pixels are kept.
"""

from dataclasses import dataclass

import numpy as np
import torch
from segment_anything.modeling import Sam
from torch import Tensor

from samseg.sam.automatic.adaptive_points import LEVELS, AdaptivePointSampler, PromptedPoints
from samseg.sam.automatic.candidates import Candidates, cut_off
from samseg.sam.automatic.point_grid import Crop
from samseg.sam.network.decoder import Decoder
from samseg.sam.network.encoder import EncodedImage
from samseg.sam.settings import MaskSettings
from samseg.sam.threads import Threads
from samseg.sam.upsample.upsampler import Upsampler
from samseg.types import Float32, Int64

_MULTIMASK = slice(1, None)
"""The three masks for ambiguous prompts; the first of the four is the single-mask output."""


@dataclass(frozen=True, slots=True, eq=False)
class DecodedPoints:
    """The result of k points.

    Attributes:
        candidates: m masks that pass the filters.
        points: (m,) int64, the prompt point of each of them.
        predicted_iou: (k, 3) float32 of all masks, in the order of the k points.
        inside: (m, points of the crop) bool, which points each mask contains; on the device.
    """

    candidates: Candidates
    points: Int64
    predicted_iou: Float32
    inside: Tensor


class CropMaskGenerator:
    """Generates masks from the points of one encoded image or crop."""

    @torch.inference_mode()
    def __init__(
        self,
        model: Sam,
        decoder: Decoder,
        upsampler: Upsampler,
        encoded: EncodedImage,
        crop: Crop,
        size: tuple[int, int],
        settings: MaskSettings,
    ):
        """Embed the points, and compute their shared image cache.

        Args:
            model: the model.
            decoder: the model's decoder.
            upsampler: from the model's logits to px of the crop.
            encoded: features of the crop.
            crop: position of the crop, and its points.
            size: (h, w) of the image in px.
            settings: filters.
        """
        self._decoder, self._upsampler, self._crop = decoder, upsampler, crop
        self._size, self._settings, self._threshold = size, settings, model.mask_threshold
        self._device = model.device
        in_input = crop.points * encoded.geometry.scale
        points = torch.as_tensor(in_input, device=self._device)[:, None]
        labels = torch.ones(points.shape[:2], dtype=torch.int, device=self._device)
        self._sparse, dense = model.prompt_encoder((points, labels), boxes=None, masks=None)
        self._image = decoder.image_cache(encoded.features, dense[:1], encoded.geometry.input_size)
        step = model.image_encoder.img_size // model.prompt_encoder.mask_input_size[0]
        self._logit_xy = torch.as_tensor(in_input // step, dtype=torch.long, device=self._device)

    def from_all_points(self, batch: int, threads: Threads) -> Candidates:
        """Prompt all points."""
        points = np.arange(len(self._crop.points))
        return Candidates.join([d.candidates for d in self._decode(points, batch, threads)])

    def from_adaptive_points(self, batch: int, threads: Threads) -> Candidates:
        """Prompt the points that adaptive sampling selects, level by level; approximate."""
        sampler = AdaptivePointSampler()
        prompted = PromptedPoints(round(len(self._crop.points) ** 0.5))
        found: list[Candidates] = []
        for level in range(LEVELS):
            selected = sampler.next_points(level, prompted)
            for points, decoded in zip(
                _batches(selected, batch), self._decode(selected, batch, threads), strict=True
            ):
                found.append(decoded.candidates)
                prompted.add(points, decoded.predicted_iou)
                areas = decoded.candidates.areas / np.prod(self._upsampler.size)
                prompted.cover(decoded.points, areas, decoded.inside.cpu().numpy())
        return Candidates.join(found)

    def _decode(self, points: Int64, batch: int, threads: Threads) -> list[DecodedPoints]:
        return threads.map(self._decode_batch, _batches(points, batch))

    @torch.inference_mode()
    def _decode_batch(self, points: Int64) -> DecodedPoints:
        settings, crop = self._settings, self._crop
        decoded = self._decoder.decode(self._image, self._sparse[self._at(points)], _MULTIMASK)
        iou = decoded.predicted_iou.cpu().numpy()  # synchronises with the GPU
        passing = iou > settings.pred_iou_thresh if settings.pred_iou_thresh > 0 else iou == iou
        prompts = np.flatnonzero(passing.any(axis=1))
        logits = self._decoder.logits(self._image, decoded, self._at(prompts)).flatten(0, 1)
        logits = logits[self._at(np.flatnonzero(passing[prompts]))]
        measured = self._upsampler.measure(  # synchronises with the GPU
            logits,
            self._threshold,
            settings.stability_score_offset,
            at_least=settings.stability_score_thresh,
        )
        keep = np.ones(len(logits), dtype=np.bool_)
        if settings.stability_score_thresh > 0:
            keep = measured.stability >= settings.stability_score_thresh
        boxes = measured.boxes + np.array([*crop.box[:2], *crop.box[:2]])
        kept = np.flatnonzero(keep & ~cut_off(boxes, crop.box, self._size))
        logits, measured = logits[self._at(kept)], measured[kept]
        prompt = points[np.nonzero(passing)[0][kept]]
        candidates = Candidates(
            boxes=boxes[kept],
            areas=measured.areas,
            predicted_iou=iou[passing][kept],
            stability_score=measured.stability,
            points=(crop.points[prompt] + crop.box[:2]).astype(np.float32),
            crops=np.tile(np.array(crop.box, dtype=np.int64), (len(prompt), 1)),
            prompt_ids=(crop.first_prompt + prompt).astype(np.int32),
            cutouts=tuple(self._upsampler.cut(logits, measured)),
        )
        inside = logits[:, self._logit_xy[:, 1], self._logit_xy[:, 0]] > self._threshold
        return DecodedPoints(candidates, prompt, iou, inside)

    def _at(self, positions: Int64) -> Tensor:
        return torch.as_tensor(positions, device=self._device)


def _batches(points: Int64, size: int) -> list[Int64]:
    return [points[start : start + size] for start in range(0, len(points), size)]
