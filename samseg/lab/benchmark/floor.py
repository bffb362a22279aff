"""The least time that a GPU's arithmetic allows, and how near a measurement comes to it.

Counts are those of the reference's form of the model (1 multiply-accumulate is 2 FLOP, 1024 x 1024
input), whatever the precision, so a rearrangement that needs fewer operations, or a search that
asks fewer points, may come below the floor.
"""

from collections.abc import Mapping

from samseg.sam.settings import Architecture
from samseg.spec import Spec

ENCODER_TFLOP: Mapping[Architecture, float] = {"vit_b": 0.97, "vit_l": 2.99, "vit_h": 5.96}
"""Per image or crop."""

DECODER_TFLOP = 3.62e-3
"""Per prompt."""

PEAK_TFLOPS: Mapping[str, float] = {
    "NVIDIA H200": 989,
    "NVIDIA H100 80GB HBM3": 989,
    "NVIDIA H100 PCIe": 756,
    "NVIDIA A100-SXM4-80GB": 312,
    "NVIDIA A100-SXM4-40GB": 312,
    "NVIDIA A100 80GB PCIe": 312,
    "NVIDIA A100-PCIE-40GB": 312,
    "NVIDIA L40S": 362,
    "NVIDIA L4": 121,
}
"""Dense bfloat16 as the maker's data sheets state it, by the whole name that CUDA gives the GPU."""


class GpuFigures(Spec):
    """Time per image next to the floor.

    Attributes:
        gpu: its name.
        ms_per_image: measured.
        floor_ms: by arithmetic; None where the GPU's peak or the model's count is not known.
    """

    gpu: str
    ms_per_image: float
    floor_ms: float | None

    def __str__(self) -> str:
        text = f"{self.ms_per_image:.1f} ms per image on {self.gpu}"
        if self.floor_ms is None:
            return f"{text}; no arithmetic floor is known for this GPU and model"
        fraction = self.floor_ms / self.ms_per_image
        return f"{text}, {fraction:.0%} of the arithmetic floor of {self.floor_ms:.1f} ms"


def floor_ms(gpu: str, arch: Architecture, encodings: float, prompts: float) -> float | None:
    """Return milliseconds per image at the GPU's peak; None where that is not known.

    Args:
        gpu: its name.
        arch: of the model.
        encodings: images and crops encoded, per image.
        prompts: prompts decoded, per image.
    """
    peak, encoder = PEAK_TFLOPS.get(gpu), ENCODER_TFLOP.get(arch)
    if peak is None or encoder is None:
        return None
    return 1e3 * (encodings * encoder + prompts * DECODER_TFLOP) / peak
