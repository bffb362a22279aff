"""The arithmetic floor: the minimum time per image at a GPU's peak FLOP/s.

FLOP are counted for the reference's form of the model (1 multiply-accumulate is 2 FLOP, 1024 x 1024
input) and do not depend on the precision. An equivalent form with fewer operations, or adaptive
point sampling with fewer prompts, can be faster than this floor.
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
"""Dense bfloat16 peak from the vendor's data sheet, by the GPU's full CUDA name."""


class GpuFigures(Spec):
    """Measured time per image and its arithmetic floor.

    Attributes:
        gpu: name of the GPU.
        ms_per_image: measured milliseconds per image.
        floor_ms: the floor; None if the GPU's peak or the model's FLOP are not known.
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
    """Return the milliseconds per image at the GPU's peak, or None if that is not known.

    Args:
        gpu: name of the GPU.
        arch: architecture of the model.
        encodings: encoded images and crops per image.
        prompts: decoded prompts per image.
    """
    peak, encoder = PEAK_TFLOPS.get(gpu), ENCODER_TFLOP.get(arch)
    if peak is None or encoder is None:
        return None
    return 1e3 * (encodings * encoder + prompts * DECODER_TFLOP) / peak
