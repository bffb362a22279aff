"""From pixels to SAM's image features, and the geometry between the two.

Resizing is the reference's own (PIL, antialiased, on the CPU), normalisation and padding are the
model's own, so features equal `SamPredictor.set_image`'s. Resizing on a GPU would change masks.
"""

from dataclasses import dataclass

import torch
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor

from samseg.types import Pixels


@dataclass(frozen=True, slots=True)
class Geometry:
    """How an image lies in the model's square input.

    Attributes:
        original_size: (h, w) of the image in px.
        input_size: (h, w) after resizing the longer side to the model's input, before padding.
    """

    original_size: tuple[int, int]
    input_size: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class EncodedImage:
    """Features of one image or crop, on the model's device.

    Attributes:
        features: (1, 256, 64, 64) float32.
        geometry: how the image lies in the model's input.
    """

    features: Tensor
    geometry: Geometry


def encode(model: Sam, pixels: Pixels) -> EncodedImage:
    """Encode one image.

    Args:
        model: the model, on its device.
        pixels: (h, w, 3) uint8 RGB.
    """
    side = model.image_encoder.img_size
    original = (pixels.shape[0], pixels.shape[1])
    resized = ResizeLongestSide(side).apply_image(pixels)
    chw = torch.as_tensor(resized, device=model.device).permute(2, 0, 1).contiguous()
    geometry = Geometry(original, (chw.shape[1], chw.shape[2]))
    with torch.inference_mode():
        return EncodedImage(model.image_encoder(model.preprocess(chw[None])), geometry)
