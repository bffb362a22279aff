"""Masks with less GPU memory than a full batch of prompts needs."""

import gc
from collections.abc import Iterator

import torch

from samseg.lab.benchmark.gpu.findings import MaskParity, Recovery
from samseg.lab.benchmark.gpu.parity import LEAST_FLOAT32
from samseg.lab.benchmark.gpu.subject import CheckSubject

_SMALL_BATCH = 8
"""Batch size of prompts that fits into the limit."""


def recovery(subject: CheckSubject) -> Iterator[Recovery]:
    """Limit PyTorch's memory to less than a full batch needs and more than a small one does.

    Raises:
        RuntimeError: a small batch needs as much as a full one, so there is no such limit.
    """
    photo, device = subject.photos[0], subject.device
    segmenter = subject.segmenter(device)
    batch = segmenter.runtime.batch
    wanted = segmenter.segment(photo).masks.rles
    needed, _ = _peak(subject, batch)
    _, enough = _peak(subject, _SMALL_BATCH)
    if enough >= needed:
        raise RuntimeError(
            f"a batch of {_SMALL_BATCH} prompts reserves {enough} bytes, and one of {batch} "
            f"allocates {needed}: no limit lies between the two"
        )
    limit = (enough + needed) // 2
    _release()
    before = torch.cuda.memory_stats(device).get("num_ooms", 0)
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(limit / total, device)
    try:
        found = segmenter.segment(photo).masks.rles
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
    times = torch.cuda.memory_stats(device).get("num_ooms", 0) - before
    after = segmenter.runtime.batch
    parity = MaskParity.of("with and without the limit", [(wanted, found)], LEAST_FLOAT32)
    yield Recovery(
        limit_bytes=limit,
        needed_bytes=needed,
        times=times,
        batch=batch,
        batch_after=after,
        parity=parity,
        passed=bool(parity.passed) and times > 0 and after < batch,
    )


def _peak(subject: CheckSubject, batch: int) -> tuple[int, int]:
    """Return peak allocated and peak reserved bytes for an image with `batch` prompts at once."""
    segmenter = subject.segmenter(subject.device)
    while segmenter.runtime.batch > batch:
        segmenter.runtime = segmenter.runtime.halved()
    _release()
    torch.cuda.reset_peak_memory_stats(subject.device)
    segmenter.segment(subject.photos[0])
    return (
        torch.cuda.max_memory_allocated(subject.device),
        torch.cuda.max_memory_reserved(subject.device),
    )


def _release() -> None:
    gc.collect()
    torch.cuda.empty_cache()
