"""Masks and tensors on the device compared with the CPU's in float32.

Two processors round differently, and thresholds and suppression turn that into a few masks more or
fewer. Masks are therefore matched by IoU, and the reference's own noise is measured for comparison.
"""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor

from samseg.lab.benchmark import reference
from samseg.lab.benchmark.gpu.findings import MaskParity, TensorParity
from samseg.lab.benchmark.gpu.subject import PRECISIONS, CheckSubject
from samseg.lab.benchmark.random_weights import random_model
from samseg.sam.network.encoder import EncodedImage
from samseg.sam.runtime import SamRuntime
from samseg.sam.settings import Precision

LEAST_FLOAT32 = 0.99
"""Least recall and precision at IoU 0.9 in float32; between CPUs of two vendors they are 1."""

MOST_LOST = 0.01
"""Largest loss of recall and precision at IoU 0.9 from float32 to bfloat16."""

_MOST_ERROR: dict[Precision, float] = {"float32": 1e-4, "bfloat16": 3e-2}
_NOISY_PHOTOS = 2
_DRAWN = 16
"""Most prompts whose logits are compared."""


def mask_parity(subject: CheckSubject) -> Iterator[MaskParity]:
    """Compare the shipped model's masks in both precisions, and the reference with itself."""
    device = subject.device.type
    least = LEAST_FLOAT32
    for precision in PRECISIONS:
        segmenter = subject.segmenter(subject.device, precision)
        found = MaskParity.of(
            f"tiny, {precision} on {device} against float32 on cpu",
            subject.pairs(segmenter),
            least,
        )
        yield found
        least = min(found.match.recall_90, found.match.precision_90) - MOST_LOST
    segmenter = subject.segmenter(subject.device)
    photos = subject.photos[:_NOISY_PHOTOS]
    theirs, perturbed = (
        [reference.automatic_masks(segmenter.model, segmenter.settings, p, noise) for p in photos]
        for noise in (0.0, 1e-6)
    )
    ours = [segmenter.segment(photo).masks.rles for photo in photos]
    for name, other in (
        (f"tiny, float32 on {device} against segment_anything there", ours),
        (f"noise: segment_anything on {device}, its input moved by 1e-6", perturbed),
    ):
        yield MaskParity.of(name, zip(theirs, other, strict=True))


@torch.inference_mode()
def tensor_parity(subject: CheckSubject) -> Iterator[TensorParity]:
    """Compare features, predicted IoU, logits and mask measures of random weights, step by step.

    The input of each step is the CPU's output of the step before.
    """
    arch = subject.exact_arch
    model = random_model(arch)
    n = subject.exact_prompts
    cpu = SamRuntime.of(copy.deepcopy(model), torch.device("cpu"), n)
    photo = subject.photos[0]
    wanted = cpu.encoder.encode(photo)
    points = cpu.model.image_encoder.img_size * torch.rand(
        n, 1, 2, generator=torch.Generator().manual_seed(0)
    )
    given = (points, torch.ones(n, 1)), wanted.features
    ious, logits = _decoded(cpu, *given)
    measures = _measured(cpu, wanted, logits)
    for precision in PRECISIONS:
        runtime = SamRuntime.of(copy.deepcopy(model), subject.device, n, precision=precision)
        name, most = f"{arch}, {precision}", _MOST_ERROR[precision]
        yield _compared(
            f"{name}: features", runtime.encoder.encode(photo).features, wanted.features, most
        )
        found = _decoded(runtime, *given)
        yield _compared(f"{name}: predicted IoU", found[0], ious, most)
        yield _compared(f"{name}: logits", found[1], logits, most)
        if precision == "float32":  # masks are measured in float32 only
            areas = _measured(runtime, wanted, logits.to(subject.device))
            yield _compared(f"{name}: areas and boxes", areas, measures, most)
        del runtime


def _decoded(
    runtime: SamRuntime, points: tuple[Tensor, Tensor], features: Tensor
) -> tuple[Tensor, Tensor]:
    """Decode prompts; return (b, 3) predicted IoU and (n, 3, 256, 256) logits of the first n."""
    placed = (points[0].to(runtime.device), points[1].to(runtime.device))
    sparse, dense = runtime.model.prompt_encoder(placed, None, None)
    image = runtime.decoder.image_cache(features.to(runtime.device), dense[:1])
    decoded = runtime.decoder.decode(image, sparse, slice(1, None))
    some = torch.arange(min(_DRAWN, len(sparse)), device=runtime.device)
    return decoded.predicted_iou, runtime.decoder.logits(image, decoded, some)


def _measured(runtime: SamRuntime, encoded: EncodedImage, logits: Tensor) -> Tensor:
    """Return (m, 5) float64, areas and boxes of logits on the photo."""
    measured = runtime.upsampler(encoded).measure(logits.flatten(0, 1), 0.0, 1.0)
    areas, boxes = torch.from_numpy(measured.areas), torch.from_numpy(measured.boxes)
    return torch.cat([areas[:, None], boxes], dim=1).double()


def _compared(name: str, found: Tensor, wanted: Tensor, most: float) -> TensorParity:
    found, wanted = found.double().cpu(), wanted.double().cpu()
    error = float((found - wanted).norm() / wanted.norm())
    return TensorParity(name=name, error=error, most=most, passed=error <= most)
