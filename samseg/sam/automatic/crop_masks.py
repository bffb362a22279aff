"""Ask points of one image or crop, and keep the masks that pass the filters.

Filters come before interpolation, and only what passes them is kept, as few logits as draw it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from segment_anything.modeling import Sam
from torch import Tensor

from samseg.sam.automatic.adaptive_points import LEVELS, AdaptivePointSampler, AskedPoints
from samseg.sam.automatic.candidates import Candidates, cut_off
from samseg.sam.automatic.point_grid import Crop
from samseg.sam.network.decoder import Decoder
from samseg.sam.network.encoder import EncodedImage
from samseg.sam.settings import MaskSettings
from samseg.sam.threads import Threads
from samseg.sam.upsample.upsampler import Upsampler
from samseg.types import Float32, Int64

_MULTIMASK = slice(1, None)
"""Three masks per point; the first of the four is for prompts that are not ambiguous."""


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """What k points gave.

    Attributes:
        candidates: m masks that pass the filters.
        points: (m,) int64, which points they came from.
        predicted_iou: (k, 3) float32 of all masks, in the order in which points were asked.
        inside: (m, points of the crop) bool, which points lie in which mask; on the device.
    """

    candidates: Candidates
    points: Int64
    predicted_iou: Float32
    inside: Tensor


class Search:
    """Asks the points of one encoded image or crop."""

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
        """Embed the points, and compute what they share.

        Args:
            model: the model.
            decoder: its decoder.
            upsampler: from its logits to px of the crop.
            encoded: the crop.
            crop: where the crop lies, and its points.
            size: (h, w) of the image in px.
            settings: batches and filters.
        """
        self._decoder, self._upsampler, self._crop = decoder, upsampler, crop
        self._size, self._settings, self._threshold = size, settings, model.mask_threshold
        self._device = model.device
        in_input = crop.points * encoded.geometry.scale
        asked = torch.as_tensor(in_input, device=self._device)[:, None]
        ones = torch.ones(asked.shape[:2], dtype=torch.int, device=self._device)
        self._sparse, dense = model.prompt_encoder((asked, ones), boxes=None, masks=None)
        self._image = decoder.image_cache(encoded.features, dense[:1], encoded.geometry.input_size)
        step = model.image_encoder.img_size // model.prompt_encoder.mask_input_size[0]
        self._places = torch.as_tensor(in_input // step, dtype=torch.long, device=self._device)

    def everywhere(self, batch: int, threads: Threads) -> Candidates:
        """Ask all points."""
        points = np.arange(len(self._crop.points))
        return Candidates.join([a.candidates for a in self._ask(points, batch, threads)])

    def adaptively(self, batch: int, threads: Threads) -> Candidates:
        """Ask the points that the adaptive schedule wants, level by level; approximate."""
        schedule, answers = (
            AdaptivePointSampler(),
            AskedPoints(round(len(self._crop.points) ** 0.5)),
        )
        found: list[Candidates] = []
        for level in range(LEVELS):
            wanted = schedule.wanted(level, answers)
            for points, answered in zip(
                _batches(wanted, batch), self._ask(wanted, batch, threads), strict=True
            ):
                found.append(answered.candidates)
                answers.add(points, answered.predicted_iou)
                areas = answered.candidates.areas / np.prod(self._upsampler.size)
                answers.cover(answered.points, areas, answered.inside.cpu().numpy())
        return Candidates.join(found)

    def _ask(self, points: Int64, batch: int, threads: Threads) -> list[Answered]:
        return threads.map(self._ask_batch, _batches(points, batch))

    @torch.inference_mode()
    def _ask_batch(self, points: Int64) -> Answered:
        settings, crop = self._settings, self._crop
        decoded = self._decoder.decode(self._image, self._sparse[self._at(points)], _MULTIMASK)
        iou = decoded.predicted_iou.cpu().numpy()  # a GPU is waited for here
        wanted = iou > settings.pred_iou_thresh if settings.pred_iou_thresh > 0 else iou == iou
        prompts = np.flatnonzero(wanted.any(axis=1))
        logits = self._decoder.logits(self._image, decoded, self._at(prompts)).flatten(0, 1)
        logits = logits[self._at(np.flatnonzero(wanted[prompts]))]
        measured = self._upsampler.measure(  # and here
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
        asked = points[np.nonzero(wanted)[0][kept]]
        candidates = Candidates(
            boxes=boxes[kept],
            areas=measured.areas,
            predicted_iou=iou[wanted][kept],
            stability_score=measured.stability,
            points=(crop.points[asked] + crop.box[:2]).astype(np.float32),
            crops=np.tile(np.array(crop.box, dtype=np.int64), (len(asked), 1)),
            prompt_ids=(crop.first_prompt + asked).astype(np.int32),
            cutouts=tuple(
                (self._upsampler, cutout) for cutout in self._upsampler.cut(logits, measured)
            ),
        )
        inside = logits[:, self._places[:, 1], self._places[:, 0]] > self._threshold
        return Answered(candidates, asked, iou, inside)

    def _at(self, positions: Int64) -> Tensor:
        return torch.as_tensor(positions, device=self._device)


def _batches(points: Int64, size: int) -> list[Int64]:
    return [points[start : start + size] for start in range(0, len(points), size)]
