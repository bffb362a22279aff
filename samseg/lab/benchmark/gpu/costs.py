"""The most expensive kernels and operators of one image, and GPU idle time."""

from collections.abc import Callable, Iterable, Iterator
from statistics import median
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from samseg.lab.benchmark.gpu.findings import Cost, Costs
from samseg.lab.benchmark.gpu.subject import CheckSubject
from samseg.lab.benchmark.timing import timed
from samseg.sam.segmenter import Segmenter
from samseg.sam.settings import Architecture, Precision

_SHOWN = 10
_NAME_LENGTH = 120


def costs(subject: CheckSubject, arch: Architecture, precision: Precision) -> Iterator[Costs]:
    """Profile one image after a warm-up, and time it without the profiler.

    On a CPU operators take the place of kernels.
    """
    model, settings = subject.random(arch)
    segmenter = Segmenter(model, settings, subject.device, "", precision)
    photo = subject.photos[0]
    segmenter.segment(photo)
    image_s = median(timed(lambda: segmenter.segment(photo))[1].wall for _ in range(3))
    on_gpu = subject.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities, acc_events=True) as profiled:
        timed(lambda: segmenter.segment(photo))
    yield summary(profiled, arch, precision, 1e3 * image_s, on_gpu)


def summary(
    profiled: profile, arch: Architecture, precision: Precision, image_ms: float, on_gpu: bool
) -> Costs:
    """Summarise a profile.

    Args:
        profiled: profile of one image.
        arch: of the model.
        precision: of the model.
        image_ms: time of an image without the profiler.
        on_gpu: count kernels on the GPU, else operators on the CPU.
    """
    device = DeviceType.CUDA if on_gpu else DeviceType.CPU
    ran = [e for e in profiled.events() or [] if e.device_type == device]
    busy_ms = _covered((e.time_range.start, e.time_range.end) for e in ran) / 1e3
    averages = profiled.key_averages()

    def on_device(row: Any) -> float:
        return float(row.self_device_time_total if on_gpu else row.self_cpu_time_total)

    kernels = [row for row in averages if row.device_type == device]
    operators = [row for row in averages if row.device_type == DeviceType.CPU]
    return Costs(
        arch=arch,
        precision=precision,
        kernels=_dearest(kernels, on_device),
        operators=_dearest(operators, on_device),
        busy_ms=busy_ms,
        image_ms=image_ms,
        idle=max(0.0, 1 - busy_ms / image_ms),
        launches=len(ran),
    )


def _dearest(rows: list[Any], us: Callable[[Any], float]) -> tuple[Cost, ...]:
    """Return the rows with the longest times; `us` returns the microseconds of a row."""
    total = sum(map(us, rows)) or 1.0
    ranked = sorted(rows, key=us, reverse=True)[:_SHOWN]
    return tuple(
        Cost(name=row.key[:_NAME_LENGTH], ms=us(row) / 1e3, share=us(row) / total, calls=row.count)
        for row in ranked
        if us(row) > 0
    )


def _covered(intervals: Iterable[tuple[float, float]]) -> float:
    """Return the length of the union of (start, end) intervals."""
    covered, reached = 0.0, -torch.inf
    for start, end in sorted(intervals):
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return covered
