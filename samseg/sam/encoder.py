"""From pixels to SAM's image features, and the geometry between the two.

Resizing is the reference's (PIL, antialiased, on the CPU), normalisation and padding are the
model's own, so features equal `SamPredictor.set_image`'s. Resizing on a GPU would change masks.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor
from torchvision.transforms import functional as pictures  # type: ignore[import-untyped]

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

    @classmethod
    def of(cls, size: tuple[int, int], side: int) -> "Geometry":
        """Fit an image of (h, w) px into a square; the shorter side keeps at least one px.

        The reference fails where the shorter side would vanish (beyond 1 : 2048 at 1024 px).
        """
        h, w = ResizeLongestSide.get_preprocess_shape(*size, side)
        return cls(size, (max(1, h), max(1, w)))

    @property
    def scale(self) -> NDArray[np.float64]:
        """Return (2,) float64, what x and y of the image are multiplied by in the input."""
        (h, w), (input_h, input_w) = self.original_size, self.input_size
        return np.array([input_w / w, input_h / h])


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
    geometry = Geometry.of((pixels.shape[0], pixels.shape[1]), model.image_encoder.img_size)
    resized = pictures.resize(pictures.to_pil_image(pixels), list(geometry.input_size))
    chw = torch.as_tensor(np.array(resized), device=model.device).permute(2, 0, 1).contiguous()
    with torch.inference_mode():
        return EncodedImage(model.image_encoder(model.preprocess(chw[None])), geometry)
