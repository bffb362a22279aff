"""Masks from prompts: boxes, points and low-resolution masks, thousands at a time.

The masks are those of `segment_anything.SamPredictor.predict_torch` for the same prompts in the
coordinates of the model's input.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from samseg.errors import ConfigError
from samseg.sam.automatic.candidates import Candidates, to_masks
from samseg.sam.network.encoder import EncodedImage, Geometry
from samseg.sam.network.image_cache import ImageCache
from samseg.sam.network.tf32 import float32_convolutions
from samseg.sam.runtime import SamRuntime
from samseg.types import Float32, Int32, Masks, Pixels, Segmentation

_LOGITS = 256
"""Side of SAM's low-resolution masks."""


@dataclass(frozen=True, slots=True, eq=False)
class Prompts:
    """n prompts on one image; boxes, points and masks of the same index form one prompt.

    Attributes:
        boxes: (n, 4) float32, xyxy, px of the image, or None.
        points: (n, k, 2) float32, xy, px of the image, or None.
        point_labels: (n, k) float32: 1 inside, 0 outside, -1 no point (padding); None if there
            are no points.
        mask_inputs: (n, 1, 256, 256) float32 logits of an earlier prediction, or None.
    """

    boxes: Float32 | None
    points: Float32 | None
    point_labels: Float32 | None
    mask_inputs: Float32 | None

    @classmethod
    def of(
        cls,
        boxes: ArrayLike | None = None,
        points: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        mask_inputs: ArrayLike | None = None,
        point_coords: ArrayLike | None = None,
    ) -> "Prompts":
        """Validate prompts; a single prompt may be given without the axis n.

        Args:
            boxes: (n, 4) or (4,) xyxy, px.
            points: (n, k, 2) xy, px; (n, 2) or (2,) are one point per prompt.
            point_labels: (n, k); (n,) where there is one point per prompt, (k,) with
                `point_coords`. Inside if None.
            mask_inputs: (n, 1, 256, 256), (n, 256, 256) or (256, 256) logits, such as
                `Masks.logits`.
            point_coords: points in the shape that `SamPredictor.predict` takes: all of (k, 2)
                belong to one prompt. In place of `points`.

        Raises:
            ConfigError: there is no prompt, or shapes do not match.
        """
        if points is not None and point_coords is not None:
            raise ConfigError(
                "got points and point_coords, wanted one of them: (n, 2) points are one point of "
                "each prompt, (k, 2) point_coords are all points of one prompt"
            )
        box = _shaped("boxes", _numbers("boxes", boxes, 2), (-1, 4))
        labels = _numbers("point_labels", point_labels, 1)
        if point_coords is not None:
            name, point = "point_coords", _numbers("point_coords", point_coords, 3)
            labels = labels[None] if labels is not None and labels.ndim == 1 else labels
        else:
            name, point = "points", _numbers("points", points, 2)
            if point is not None and point.ndim == 2:
                point, labels = point[:, None], None if labels is None else labels.reshape(-1, 1)
        point = _shaped(name, point, (-1, -1, 2))
        labels = _shaped("point_labels", labels, (-1, -1))
        mask = _numbers("mask_inputs", mask_inputs, 3)
        if mask is not None and mask.ndim == 3:
            mask = mask[:, None]
        mask = _shaped("mask_inputs", mask, (-1, 1, _LOGITS, _LOGITS))
        if point is not None and labels is None:
            labels = np.ones(point.shape[:2], dtype=np.float32)
        if labels is not None and (point is None or labels.shape != point.shape[:2]):
            raise ConfigError(
                f"point_labels must be (n, k) like points, got {labels.shape} with points "
                f"{None if point is None else point.shape}"
            )
        lengths = {len(x) for x in (box, point, mask) if x is not None}
        if len(lengths) != 1:
            raise ConfigError(
                "boxes, points and mask_inputs must have the same length, and at least one of them "
                f"must be given; got lengths {sorted(lengths) if lengths else 'none'}"
            )
        return cls(box, point, labels, mask)

    def __len__(self) -> int:
        return next(len(x) for x in (self.boxes, self.points, self.mask_inputs) if x is not None)

    @property
    def kind(self) -> str:
        """The first of `boxes`, `points` and `masks` that is given."""
        if self.boxes is not None:
            return "boxes"
        return "points" if self.points is not None else "masks"


def segment_prompts(
    runtime: SamRuntime,
    pixels: Pixels,
    prompts: Prompts,
    multimask_output: bool,
    stability_score_offset: float,
    logits: bool,
) -> Segmentation:
    """Encode an image and decode all prompts on it; see `Segmenter.prompt`.

    Args:
        runtime: the model on its device.
        pixels: (h, w, 3) uint8 RGB.
        prompts: n prompts.
        multimask_output: return three masks per prompt instead of one.
        stability_score_offset: see `MaskSettings`.
        logits: also return the logits of the masks.
    """
    encoded = runtime.encoder.encode(pixels)
    decoder = _PromptDecoder(
        runtime, prompts, encoded, multimask_output, stability_score_offset, logits
    )
    starts = range(0, len(prompts), runtime.batch)
    batches = [slice(start, min(start + runtime.batch, len(prompts))) for start in starts]
    found = runtime.threads.map(decoder.decode, batches)
    masks = Masks.join(found or [decoder.encode(Candidates.join([]))])
    return Segmentation(masks, encoded.features[0].cpu().numpy())


class _PromptDecoder:
    """Decodes batches of the prompts on an encoded image, in any order."""

    @torch.inference_mode()
    def __init__(
        self,
        runtime: SamRuntime,
        prompts: Prompts,
        encoded: EncodedImage,
        multimask_output: bool,
        stability_score_offset: float,
        logits: bool,
    ):
        self._runtime, self._prompts, self._encoded = runtime, prompts, encoded
        self._stability_score_offset, self._keep_logits = stability_score_offset, logits
        self._masks = slice(1, None) if multimask_output else slice(0, 1)
        self._upsampler = runtime.upsampler(encoded)
        no_mask = runtime.model.prompt_encoder.no_mask_embed.weight
        self._without_mask = self._cache(no_mask.view(1, -1, 1, 1).expand_as(encoded.features))

    @torch.inference_mode()
    def decode(self, batch: slice) -> Masks:
        """Decode, measure and encode a range of the prompts."""
        runtime, prompts = self._runtime, self._prompts
        sparse, dense = _embed(runtime, prompts, batch, self._encoded.geometry)
        if prompts.mask_inputs is None:
            iou, logits = self._predict(self._without_mask, sparse)
        else:  # the mask input is part of the image cache, so each prompt needs its own
            predictions = [
                self._predict(self._cache(mask), tokens)
                for mask, tokens in zip(dense.split(1), sparse.split(1), strict=True)
            ]
            iou, logits = (torch.cat(parts) for parts in zip(*predictions, strict=True))
        ids = np.repeat(np.arange(batch.start, batch.stop, dtype=np.int32), logits.shape[1])
        logits = logits.flatten(0, 1)
        threshold = runtime.model.mask_threshold
        measured = self._upsampler.measure(logits, threshold, self._stability_score_offset)
        h, w = self._encoded.geometry.original_size
        candidates = Candidates(
            boxes=measured.boxes,
            areas=measured.areas,
            predicted_iou=iou.flatten().cpu().numpy(),
            stability_score=measured.stability,
            points=_prompt_points(prompts, ids, measured.boxes.astype(np.float32)),
            crops=np.tile(np.array([0, 0, w, h], dtype=np.int64), (len(ids), 1)),
            prompt_ids=ids,
            cutouts=tuple(self._upsampler.cut(logits, measured)),
        )
        masks = self.encode(candidates)
        return replace(masks, logits=logits.cpu().numpy()) if self._keep_logits else masks

    def encode(self, candidates: Candidates) -> Masks:
        """Rasterise and encode the masks of some prompts."""
        h, w = size = self._encoded.geometry.original_size
        threshold, kind = self._runtime.model.mask_threshold, self._prompts.kind
        return to_masks(candidates, self._upsampler, (0, 0, w, h), size, threshold, kind)

    def _cache(self, dense: Tensor) -> ImageCache:
        """Prepare the image for its prompts; logits to keep include those in the padding."""
        seen = None if self._keep_logits else self._encoded.geometry.input_size
        return self._runtime.decoder.image_cache(self._encoded.features, dense, seen)

    def _predict(self, image: ImageCache, sparse: Tensor) -> tuple[Tensor, Tensor]:
        """Decode b prompts to (b, masks) predicted IoU and (b, masks, ...) logits."""
        decoder = self._runtime.decoder
        decoded = decoder.decode(image, sparse, self._masks)
        all_prompts = torch.arange(len(sparse), device=sparse.device)
        return decoded.predicted_iou, decoder.logits(image, decoded, all_prompts)


@float32_convolutions()
def _embed(
    runtime: SamRuntime, prompts: Prompts, batch: slice, geometry: Geometry
) -> tuple[Tensor, Tensor]:
    """Embed a range of the prompts: (b, tokens, d) sparse and (b, d, 64, 64) dense."""

    def scaled(coordinates: Float32) -> Tensor:
        x, y = geometry.scale.tolist()
        xy = torch.as_tensor(coordinates[batch], device=runtime.device).unflatten(-1, (-1, 2))
        return torch.stack([xy[..., 0] * x, xy[..., 1] * y], dim=-1).flatten(-2)

    def on_device(array: Float32) -> Tensor:
        return torch.as_tensor(array[batch], device=runtime.device)

    points = None
    if prompts.points is not None and prompts.point_labels is not None:
        points = (scaled(prompts.points), on_device(prompts.point_labels))
    sparse, dense = runtime.model.prompt_encoder(
        points=points,
        boxes=None if prompts.boxes is None else scaled(prompts.boxes),
        masks=None if prompts.mask_inputs is None else on_device(prompts.mask_inputs),
    )
    return sparse, dense


def _prompt_points(prompts: Prompts, ids: Int32, found: Float32) -> Float32:
    """Return (m, 2) xy of the prompts: box centre, first point, or centre of the mask's box."""
    if prompts.boxes is None and prompts.points is not None:
        return prompts.points[ids, 0]
    boxes = found if prompts.boxes is None else prompts.boxes[ids]
    return np.asarray((boxes[:, :2] + boxes[:, 2:]) / 2, dtype=np.float32)


def _numbers(name: str, given: ArrayLike | None, axes: int) -> Float32 | None:
    """Return an array of at least so many axes; missing ones are added in front."""
    if given is None:
        return None
    try:
        array = np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError) as e:
        raise ConfigError(f"{name} must be numbers in a regular array: {e}") from e
    return array.reshape((1,) * (axes - array.ndim) + array.shape)


def _shaped(name: str, array: Float32 | None, wanted: tuple[int, ...]) -> Float32 | None:
    if array is None:
        return None
    fits = array.ndim == len(wanted) and all(
        w in (-1, n) for n, w in zip(array.shape, wanted, strict=True)
    )
    if not fits or not np.isfinite(array).all():
        shape = ", ".join("n" if w == -1 else str(w) for w in wanted)
        raise ConfigError(f"{name} must be finite and of shape ({shape}), got {array.shape}")
    return array
