"""Encode pixels as SAM's image features, and describe the geometry between the two.

Resizing is that of the reference (PIL, antialiased, on the CPU), normalisation and padding are the
model's, so features equal those of `SamPredictor.set_image`. Resizing on a GPU would change masks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.modeling import ImageEncoderViT, Sam
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor
from torchvision.transforms import functional as transforms  # type: ignore[import-untyped]

from samseg.sam.network.compiled import compile_static
from samseg.sam.network.tf32 import float32_convolutions
from samseg.sam.network.vit_encoder import VitEncoder
from samseg.sam.tiny.encoder import TinyEncoder
from samseg.sam.tiny.fused import fused
from samseg.sam.tiny.lite0_encoder import Lite0Encoder
from samseg.types import Pixels


@dataclass(frozen=True, slots=True)
class Geometry:
    """Size of an image, and of its scaled copy in the model's square input.

    Attributes:
        original_size: (h, w) of the image in px.
        input_size: (h, w) after resizing the longer side to the model's input, before padding.
    """

    original_size: tuple[int, int]
    input_size: tuple[int, int]

    @classmethod
    def of(cls, size: tuple[int, int], side: int) -> "Geometry":
        """Fit an image of (h, w) px into a square; the shorter side gets at least one px.

        The reference fails if the shorter side rounds to 0 px (beyond 1 : 2048 at 1024 px).
        """
        h, w = ResizeLongestSide.get_preprocess_shape(*size, side)
        return cls(size, (max(1, h), max(1, w)))

    @property
    def scale(self) -> NDArray[np.float64]:
        """Return the (2,) float64 scale factors of x and y from the image to the model's input."""
        (h, w), (input_h, input_w) = self.original_size, self.input_size
        return np.array([input_w / w, input_h / h])


@dataclass(frozen=True, slots=True, eq=False)
class EncodedImage:
    """Features of one image or crop, on the model's device.

    Attributes:
        features: (1, 256, 64, 64) float32.
        geometry: sizes of the image and of its scaled copy in the model's input.
    """

    features: Tensor
    geometry: Geometry


@dataclass(frozen=True, slots=True, eq=False)
class ImageEncoder:
    """Encodes images with the weights of a model, converted once; holds no image.

    Attributes:
        model: defines input size, normalisation and device.
        backbone: maps (b, 3, 1024, 1024), normalised and padded, to (b, 256, 64, 64), float32.
    """

    model: Sam
    backbone: Callable[[Tensor], Tensor]

    @classmethod
    def of(
        cls, model: Sam, dtype: torch.dtype = torch.float32, compiled: bool = False
    ) -> "ImageEncoder":
        """Choose the optimised form of the model's encoder; an unknown encoder is used unchanged.

        Args:
            model: the model, on its device, in evaluation mode, with its final weights.
            dtype: float32 reproduces the model's features up to rounding; bfloat16 (in matrix
                products and convolutions) is faster, with an error of about 1 %. The small
                encoders compute in float32 in either case: they are cheap, and the error moves
                the masks of a small decoder.
            compiled: see `samseg.sam.network.compiled`; an unknown encoder is not compiled.
        """
        encoder = model.image_encoder
        if isinstance(encoder, ImageEncoderViT):
            return cls(model, VitEncoder(encoder, dtype, compiled))
        if isinstance(encoder, TinyEncoder | Lite0Encoder):
            dtype = torch.float32
            encoder = fused(encoder)
            encoder = compile_static(encoder) if compiled else encoder

        @torch.inference_mode()
        @float32_convolutions()
        def backbone(images: Tensor) -> Tensor:
            with torch.autocast(images.device.type, dtype, enabled=dtype != torch.float32):
                features: Tensor = encoder(images)
            return features.float()

        return cls(model, backbone)

    def encode(self, pixels: Pixels) -> EncodedImage:
        """Encode one image, (h, w, 3) uint8 RGB."""
        return self.encode_batch([pixels])[0]

    @torch.inference_mode()
    def encode_batch(self, images: Sequence[Pixels]) -> list[EncodedImage]:
        """Encode images of any sizes in one batch, each (h, w, 3) uint8 RGB."""
        inputs = [_preprocess(self.model, pixels) for pixels in images]
        features = self.backbone(torch.stack([square for square, _ in inputs]))
        return [
            EncodedImage(one, geometry)
            for one, (_, geometry) in zip(features.split(1), inputs, strict=True)
        ]


def _preprocess(model: Sam, pixels: Pixels) -> tuple[Tensor, Geometry]:
    """Resize, normalise and pad an image to (3, 1024, 1024) float32 on the model's device."""
    geometry = Geometry.of((pixels.shape[0], pixels.shape[1]), model.image_encoder.img_size)
    resized = transforms.resize(transforms.to_pil_image(pixels), list(geometry.input_size))
    chw = torch.as_tensor(np.array(resized), device=model.device).permute(2, 0, 1).contiguous()
    return model.preprocess(chw), geometry
