"""Masks with `torch.compile` compared with those without, and the time of compilation."""

from collections.abc import Iterator
from functools import partial

import torch

from samseg.lab.benchmark.gpu.findings import Compilation, MaskParity
from samseg.lab.benchmark.gpu.parity import LEAST_FLOAT32, MOST_LOST
from samseg.lab.benchmark.gpu.subject import CheckSubject
from samseg.lab.benchmark.timing import timed
from samseg.sam.settings import Precision

_PHOTOS = 3
"""Photos of different sizes: only the first should take the time of compilation."""


def compilation(subject: CheckSubject, precision: Precision) -> Iterator[Compilation]:
    """Compile the shipped model, and match its masks with those of the uncompiled model."""
    torch.compiler.reset()  # PyTorch limits the recompilations of a function
    eager = subject.segmenter(subject.device, precision)
    compiled = subject.segmenter(subject.device, precision, compiled=True)
    photos = subject.photos[:_PHOTOS]
    runs = [timed(partial(compiled.segment, photo)) for photo in photos]
    wanted = [eager.segment(photo).masks.rles for photo in photos]
    found = [segmented.masks.rles for segmented, _ in runs]
    # fused operations round bfloat16 less often, so masks differ as much as from the CPU's
    least = LEAST_FLOAT32 if precision == "float32" else LEAST_FLOAT32 - 2 * MOST_LOST
    parity = MaskParity.of(
        f"tiny, {precision}, compiled against not compiled",
        zip(wanted, found, strict=True),
        least,
    )
    first, *rest = (seconds.wall for _, seconds in runs)
    yield Compilation(
        precision=precision,
        first_s=first,
        next_s=tuple(rest),
        parity=parity,
        passed=bool(parity.passed),
    )
