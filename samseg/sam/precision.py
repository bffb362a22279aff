"""bfloat16, on the devices that have instructions for it."""

import torch


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for products of bfloat16 matrices.

    Elsewhere PyTorch emulates them: on a CPU with AVX2 at a fiftieth of the speed of float32, on a
    GPU older than Ampere below the speed of float32.

    Args:
        device: a CPU or CUDA device; others are taken to have none.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        mkldnn = torch.backends.mkldnn.is_available()
        return mkldnn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return False
