"""Segment one image: automatic masks as in `SamAutomaticMaskGenerator`, or masks from prompts.

    segmenter = load_segmenter("tiny", points_per_side=16)
    masks, features = segmenter.segment(image)

A segmenter holds a model and settings but no image: calls are independent. After running out of GPU
memory it decodes and encodes smaller batches.
"""

import logging
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from segment_anything.modeling import Sam

from samseg.errors import ConfigError
from samseg.mistakes import explained
from samseg.sam.automatic.candidates import distinct, suppress, to_masks, without_small_regions
from samseg.sam.automatic.crop_masks import CropMaskGenerator
from samseg.sam.automatic.point_grid import Crop, crops
from samseg.sam.network.encoder import EncodedImage
from samseg.sam.prompts import Prompts, segment_prompts
from samseg.sam.runtime import SamRuntime
from samseg.sam.settings import MaskSettings, ModelSpec, Precision
from samseg.sam.weights.load import read_model, resolve_device
from samseg.sam.weights.registry import resolve
from samseg.types import Masks, Pixels, Segmentation

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Segmenter:
    """A model on its device, with mask settings.

    Attributes:
        runtime: the model, prepared for inference.
        settings: the mask settings in use.
        weights_sha256: digest of the checkpoint; empty if the model was not loaded from one.
    """

    def __init__(
        self,
        model: Sam,
        settings: MaskSettings | None = None,
        device: str | torch.device = "auto",
        weights_sha256: str = "",
        precision: Precision = "float32",
        compiled: bool = False,
    ):
        """Move `model` to the device; `settings` are used unchanged.

        Args:
            model: any `segment_anything` model, with its final weights.
            settings: mask settings.
            device: `auto`, `cpu` or `cuda`, or a device.
            weights_sha256: digest of the checkpoint.
            precision: see `ModelSpec`.
            compiled: see `ModelSpec.compile`.

        Raises:
            DeviceError: the device is not available.
        """
        self.settings = MaskSettings() if settings is None else settings
        self.weights_sha256 = weights_sha256
        self.runtime = SamRuntime.of(
            model,
            resolve_device(device) if isinstance(device, str) else device,
            self.settings.points_per_batch,
            precision,
            compiled,
        )

    @classmethod
    def load(
        cls,
        spec: ModelSpec,
        settings: MaskSettings | None = None,
        *,
        device: str | None = None,
        threads: int | None = None,
    ) -> "Segmenter":
        """Load a checkpoint; settings not given explicitly take its recommended values.

        Args:
            spec: the checkpoint.
            settings: mask settings.
            device: overrides `spec.device`.
            threads: PyTorch's CPU threads, set for the whole process; None leaves them unchanged.

        Raises:
            CheckpointError: the weights cannot be found, verified or loaded.
            DeviceError: the device is not available.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        target = resolve_device(device or spec.device)
        found = resolve(spec.checkpoint, sha256=spec.sha256, cache=spec.cache)
        resolved = (MaskSettings() if settings is None else settings).resolved(found.recommended)
        model = read_model(found.path, spec.arch)
        return cls(model, resolved, target, found.sha256, spec.precision, spec.compile)

    @property
    def model(self) -> Sam:
        """The model, in evaluation mode."""
        return self.runtime.model

    @property
    def device(self) -> torch.device:
        """The model's device."""
        return self.runtime.device

    def warm_up(self) -> None:
        """Encode a blank image, so that a device at fault fails before it is given images.

        Raises:
            RuntimeError: the device's error; `torch.OutOfMemoryError` is one.
        """
        blank = np.zeros((64, 64, 3), np.uint8)
        self.runtime.encoder.encode(blank).features.cpu()

    def segment(self, image: Pixels | str | os.PathLike[str]) -> Segmentation:
        """Find all masks of an image.

        Args:
            image: (h, w, 3) uint8 RGB, or the path or URL of an image file.

        Returns:
            The masks in the reference's order, each once unless `box_nms_thresh` is 1, and the
            features of the whole image.

        Raises:
            ConfigError: `image` is not (h, w, 3) uint8.
            ImageError: the file cannot be read or decoded.
            torch.OutOfMemoryError: the GPU has no memory for a single prompt.
        """
        pixels = pixels_of(image)
        size = (pixels.shape[0], pixels.shape[1])
        looked_at = crops(size, self.settings)
        parts: list[Masks] = []
        for crop, encoded in self._encoded(pixels, looked_at):
            if not parts:  # the whole image comes first
                features = encoded.features[0]
            parts.append(self._within_memory(partial(self._in_crop, encoded, crop, size)))
        masks = Masks.join(parts)
        if len(looked_at) > 1:
            sides = masks.crops[:, 2:] - masks.crops[:, :2]
            smaller_first = 1 / torch.as_tensor(sides.prod(axis=1))  # float32, as the reference
            kept = suppress(masks.boxes, smaller_first.numpy(), self.settings.crop_nms_thresh)
            masks = masks[kept]
        if self.settings.min_mask_region_area > 0:
            threshold = max(self.settings.box_nms_thresh, self.settings.crop_nms_thresh)
            masks = without_small_regions(masks, self.settings.min_mask_region_area, threshold)
        if self.settings.box_nms_thresh < 1:
            masks = distinct(masks)
        return Segmentation(masks, features.cpu().numpy())

    def prompt(
        self,
        image: Pixels | str | os.PathLike[str],
        boxes: ArrayLike | None = None,
        points: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        mask_inputs: ArrayLike | None = None,
        multimask_output: bool = False,
        *,
        point_coords: ArrayLike | None = None,
        logits: bool = True,
    ) -> Segmentation:
        """Segment the prompted objects.

        Masks are not filtered: each prompt yields one mask, or three with `multimask_output`.

        Args:
            image: (h, w, 3) uint8 RGB, or the path or URL of an image file.
            boxes: see `samseg.sam.prompts.Prompts.of`, as for the other prompts.
            points: xy, px.
            point_labels: 1 inside, 0 outside.
            mask_inputs: logits of an earlier prediction.
            multimask_output: return three masks per prompt.
            point_coords: all points of one prompt.
            logits: keep the logits in `Masks.logits`, 262 kB per mask; False for many prompts.

        Raises:
            ConfigError: the image or the prompts have the wrong shape.
            ImageError: the file cannot be read or decoded.
            torch.OutOfMemoryError: the GPU has no memory for a single prompt.
        """
        prompts = Prompts.of(boxes, points, point_labels, mask_inputs, point_coords)
        pixels = pixels_of(image)
        offset = self.settings.stability_score_offset
        return self._within_memory(
            lambda runtime: segment_prompts(
                runtime, pixels, prompts, multimask_output, offset, logits
            )
        )

    def _within_memory(self, work: Callable[[SamRuntime], T]) -> T:
        """Call `work`, and again with half the batch sizes while the GPU runs out of memory."""
        while True:
            runtime = self.runtime
            try:
                return work(runtime)
            except torch.OutOfMemoryError:
                if runtime.batch == runtime.crops == 1:
                    raise
            # outside the handler, because the traceback keeps tensors alive
            torch.cuda.empty_cache()
            self.runtime = runtime.halved()
            _log.warning(
                "out of GPU memory with batches of %d prompts; continuing with %d",
                runtime.batch,
                self.runtime.batch,
            )

    def _encoded(
        self, pixels: Pixels, looked_at: list[Crop]
    ) -> Iterator[tuple[Crop, EncodedImage]]:
        def encode(rest: list[Crop], runtime: SamRuntime) -> list[EncodedImage]:
            boxes = [crop.box for crop in rest[: runtime.crops]]
            return runtime.encoder.encode_batch([pixels[y0:y1, x0:x1] for x0, y0, x1, y1 in boxes])

        done = 0
        while done < len(looked_at):
            rest = looked_at[done:]
            encoded = self._within_memory(partial(encode, rest))
            yield from zip(rest, encoded, strict=False)
            done += len(encoded)

    def _in_crop(
        self, encoded: EncodedImage, crop: Crop, size: tuple[int, int], runtime: SamRuntime
    ) -> Masks:
        """Decode the points of one crop, filter the masks, suppress duplicates, and encode."""
        upsampler = runtime.upsampler(encoded)
        generator = CropMaskGenerator(
            runtime.model,
            runtime.decoder,
            upsampler,
            encoded,
            crop,
            size,
            self.settings,
        )
        adaptive = self.settings.points.kind == "adaptive"
        generate = generator.from_adaptive_points if adaptive else generator.from_all_points
        found = generate(runtime.batch, runtime.threads)
        kept = found[suppress(found.boxes, found.predicted_iou, self.settings.box_nms_thresh)]
        return to_masks(kept, upsampler, crop.box, size, self.model.mask_threshold, "grid")


def load_segmenter(
    name_or_path: str | os.PathLike[str], device: str = "auto", **mask_settings: Any
) -> Segmenter:
    """Load a checkpoint as a segmenter.

    Args:
        name_or_path: `tiny`, `vit_b`, `vit_l`, `vit_h`, a path, or a URL.
        device: `auto`, `cpu` or `cuda`.
        mask_settings: fields of `MaskSettings`; those not given take the checkpoint's
            recommended values.

    Raises:
        CheckpointError: the weights cannot be found, verified or loaded.
        ConfigError: a mask setting is unknown or out of range.
        DeviceError: the device is not available.
    """
    from pydantic import ValidationError

    try:
        settings = MaskSettings(**mask_settings)
    except ValidationError as e:
        raise ConfigError(explained(e, MaskSettings, "load_segmenter")) from e
    spec = ModelSpec(checkpoint=os.fspath(name_or_path))
    return Segmenter.load(spec, settings, device=device)


def pixels_of(image: Pixels | str | os.PathLike[str]) -> Pixels:
    """Return an array if it is (h, w, 3) uint8 and not empty, or read an image file.

    Raises:
        ConfigError: `image` has another shape or dtype.
        ImageError: the file cannot be read or decoded.
    """
    if isinstance(image, str | os.PathLike):
        from samseg.readers.photo import read_photo

        return read_photo(image).pixels
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise ConfigError(
            f"an image must be (h, w, 3) uint8 RGB, got {pixels.shape} {pixels.dtype}; "
            "give the path of a file, or use samseg.readers.decode to decode bytes"
        )
    return pixels
