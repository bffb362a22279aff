"""The reference: `segment_anything`'s generator and predictor with the same settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from segment_anything import SamAutomaticMaskGenerator, SamPredictor
from segment_anything.modeling import Sam

from samseg.sam.settings import MaskSettings
from samseg.types import Float32, Pixels

Rle = dict[str, Any]


def automatic_masks(
    model: Sam, settings: MaskSettings, pixels: Pixels, noise: float = 0.0
) -> list[Rle]:
    """Return the COCO RLEs of `SamAutomaticMaskGenerator`.

    Args:
        model: the model, on its device.
        settings: mask settings; the whole point grid is prompted, whatever `points` is.
        pixels: (h, w, 3) uint8 RGB.
        noise: standard deviation of Gaussian noise added to the model's normalised input.
    """
    generator = SamAutomaticMaskGenerator(
        model, **settings.reference_arguments(), output_mode="coco_rle"
    )
    with _perturbed(model, noise):
        return [mask["segmentation"] for mask in generator.generate(pixels)]


def box_masks(
    model: Sam, pixels: Pixels, boxes: Float32, batch: int, noise: float = 0.0
) -> list[Rle]:
    """Return the COCO RLEs of `SamPredictor.predict_torch`, one mask per box.

    Args:
        model: the model, on its device.
        pixels: (h, w, 3) uint8 RGB.
        boxes: (n, 4) float32, xyxy, px.
        batch: boxes per call.
        noise: as in `automatic_masks`.
    """
    from pycocotools import mask as coco

    predictor = SamPredictor(model)
    with _perturbed(model, noise):
        predictor.set_image(pixels)
    found: list[Rle] = []
    for part in torch.as_tensor(boxes, device=model.device).split(batch):
        scaled = predictor.transform.apply_boxes_torch(part, pixels.shape[:2])
        masks, _, _ = predictor.predict_torch(None, None, scaled, multimask_output=False)
        found += [coco.encode(np.asfortranarray(m[0].cpu().numpy(), np.uint8)) for m in masks]
    return found


@contextmanager
def _perturbed(model: Sam, noise: float) -> Iterator[None]:
    """Add Gaussian noise to the image encoder's input; padding stays 0, by which it is known."""
    generator = torch.Generator().manual_seed(0)

    def perturb(module: torch.nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        x = inputs[0]
        drawn = torch.randn(x.shape, generator=generator).to(x.device)
        return (x + noise * drawn * (x != 0),)

    hook = model.image_encoder.register_forward_pre_hook(perturb) if noise else None
    try:
        yield
    finally:
        if hook is not None:
            hook.remove()
