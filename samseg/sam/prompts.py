"""Masks from prompts: boxes, points and low-resolution masks, thousands at a time.

The masks are those of `segment_anything.SamPredictor.predict_torch` for the same prompts in the
coordinates of the model's input.
"""

from dataclasses import dataclass

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
    ) -> "Prompts":
        """Validate shapes; (n, 2) points are one point per prompt, labelled inside by default.

        Raises:
            ConfigError: there is no prompt, or shapes do not match.
        """
        box = _shaped("boxes", boxes, (-1, 4))
        if points is not None and np.ndim(points) == 2:
            points = np.asarray(points)[:, None]
            point_labels = None if point_labels is None else np.reshape(point_labels, (-1, 1))
        point = _shaped("points", points, (-1, -1, 2))
        labels = _shaped("point_labels", point_labels, (-1, -1))
        mask = _shaped("mask_inputs", mask_inputs, (-1, 1, -1, -1))
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
) -> Segmentation:
    """Encode an image and decode all prompts on it; see `Segmenter.prompt`.

    Args:
        runtime: the model on its device.
        pixels: (h, w, 3) uint8 RGB.
        prompts: n prompts.
        multimask_output: return three masks per prompt instead of one.
        stability_score_offset: see `MaskSettings`.
    """
    encoded = runtime.encoder.encode(pixels)
    decoder = _PromptDecoder(runtime, prompts, encoded, multimask_output, stability_score_offset)
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
    ):
        self._runtime, self._prompts, self._encoded = runtime, prompts, encoded
        self._stability_score_offset = stability_score_offset
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
        return self.encode(candidates)

    def encode(self, candidates: Candidates) -> Masks:
        """Rasterise and encode the masks of some prompts."""
        h, w = size = self._encoded.geometry.original_size
        threshold, kind = self._runtime.model.mask_threshold, self._prompts.kind
        return to_masks(candidates, self._upsampler, (0, 0, w, h), size, threshold, kind)

    def _cache(self, dense: Tensor) -> ImageCache:
        encoded = self._encoded
        return self._runtime.decoder.image_cache(
            encoded.features, dense, encoded.geometry.input_size
        )

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


def _shaped(name: str, given: ArrayLike | None, wanted: tuple[int, ...]) -> Float32 | None:
    if given is None:
        return None
    array = np.asarray(given, dtype=np.float32)
    fits = array.ndim == len(wanted) and all(
        w in (-1, n) for n, w in zip(array.shape, wanted, strict=True)
    )
    if not fits or not np.isfinite(array).all():
        shape = ", ".join("n" if w == -1 else str(w) for w in wanted)
        raise ConfigError(f"{name} must be finite and of shape ({shape}), got {array.shape}")
    return array
