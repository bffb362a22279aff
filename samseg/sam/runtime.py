"""A SAM on its device, prepared for inference; shared by automatic and prompted masks."""

import logging
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from segment_anything.modeling import Sam

from samseg.sam.network.decoder import Decoder
from samseg.sam.network.encoder import EncodedImage, ImageEncoder
from samseg.sam.precision import has_bfloat16
from samseg.sam.settings import Precision
from samseg.sam.threads import Threads
from samseg.sam.upsample.upsampler import Upsampler

_log = logging.getLogger(__name__)

_CPU_BATCH = 16
"""Maximum batch of prompts on a CPU: larger batches use more memory and are not faster."""

_SIZES = 32
"""Sizes of images and crops whose upsamplers are kept; each takes up to about 1 MB."""

_GPU_CROPS = 4
"""Crops of an image per encoder call on a GPU."""


@dataclass(frozen=True, slots=True, eq=False)
class SamRuntime:
    """A model with its optimised encoder and decoder, which share its weights.

    Attributes:
        model: the model, on its device, in evaluation mode.
        encoder: pixels to features.
        decoder: prompts to logits.
        precision: of the encoder and the mask head.
        batch: prompts per decoder call.
        crops: crops of an image per encoder call.
        threads: CPU threads that decode batches in parallel; one on a GPU.
        compiled: whether `torch.compile` is used.
    """

    model: Sam
    encoder: ImageEncoder
    decoder: Decoder
    precision: torch.dtype
    batch: int
    crops: int
    threads: Threads
    compiled: bool

    @classmethod
    def of(
        cls,
        model: Sam,
        device: torch.device,
        points_per_batch: int,
        precision: Precision = "float32",
        compiled: bool = False,
    ) -> "SamRuntime":
        """Move `model` to the device and prepare it.

        Args:
            model: any `segment_anything` model, with its final weights.
            device: device to run on.
            points_per_batch: prompts per decoder call; at most 16 on a CPU.
            precision: see `ModelSpec`; float32 on a device without bfloat16.
            compiled: see `ModelSpec.compile`.
        """
        model = model.to(device).eval()
        on_cpu = device.type == "cpu"
        batch = min(points_per_batch, _CPU_BATCH) if on_cpu else points_per_batch
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        if dtype == torch.bfloat16 and not has_bfloat16(device):
            _log.warning(
                "this %s has no bfloat16 instructions: float32 is used", device.type.upper()
            )
            dtype = torch.float32
        return cls(
            model=model,
            encoder=ImageEncoder.of(model, dtype, compiled),
            decoder=Decoder(model, dtype, compiled_for=batch if compiled else None),
            precision=dtype,
            batch=batch,
            crops=1 if on_cpu else _GPU_CROPS,
            threads=Threads(torch.get_num_threads() if on_cpu else 1),
            compiled=compiled,
        )

    @property
    def device(self) -> torch.device:
        """The model's device."""
        return self.model.device

    def halved(self) -> "SamRuntime":
        """Return a runtime with half the batch sizes, for a GPU with too little memory."""
        batch, decoder = max(1, self.batch // 2), self.decoder
        if self.compiled:  # its CUDA graphs hold memory for the larger batch
            torch.compiler.reset()
            decoder = Decoder(self.model, self.precision, compiled_for=batch)
        return replace(self, decoder=decoder, batch=batch, crops=max(1, self.crops // 2))

    def upsampler(self, encoded: EncodedImage) -> Upsampler:
        """Return the upsampler of this model's logits to the pixels of an encoded image."""
        low = self.model.prompt_encoder.mask_input_size[0]
        side = self.model.image_encoder.img_size
        return _upsampler(encoded.geometry, low, side, self.device, self.compiled)


_upsampler = lru_cache(maxsize=_SIZES)(Upsampler)
"""An upsampler depends only on sizes, which repeat: crops of an image, images of a camera."""
