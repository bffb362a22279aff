"""Milliseconds per image and stage, and peak memory, of samseg and of `segment_anything`.

One photo, one image at a time, random weights: see `samseg.lab.benchmark.random_weights`. The
reference runs with its defaults: float32, and PyTorch's own settings.
"""

from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import TypeVar

import torch
from segment_anything import automatic_mask_generator
from segment_anything.modeling import Sam

from samseg.lab.benchmark import reference
from samseg.lab.benchmark.breakdown import (
    ENCODER,
    FILTERS,
    HEAD,
    REST,
    RLE,
    TRANSFORMER,
    reference_sites,
    samseg_sites,
)
from samseg.lab.benchmark.floor import floor_ms
from samseg.lab.benchmark.gpu.findings import MaskParity, SideSpeed
from samseg.lab.benchmark.gpu.subject import PRECISIONS, CheckSubject
from samseg.lab.benchmark.stopwatch import Site, Stopwatch
from samseg.lab.benchmark.tasks import Rles
from samseg.lab.benchmark.timing import timed
from samseg.pooling import pool
from samseg.sam import segmenter as segmenter_module
from samseg.sam.segmenter import Segmenter
from samseg.sam.settings import Architecture, MaskSettings, Precision
from samseg.types import Segmentation

NMS = "suppression"
POOL = "pooling"

T = TypeVar("T")

STAGES = (ENCODER, TRANSFORMER, HEAD, FILTERS, NMS, RLE, REST, POOL)
"""Stages in the order in which they run."""


def speeds(subject: CheckSubject, arch: Architecture) -> Iterator[SideSpeed | MaskParity]:
    """Time samseg in both precisions and the reference, and match their masks."""
    model, settings = subject.random(arch)
    found: dict[Precision, Rles] = {}
    for precision in PRECISIONS:
        row, found[precision] = _samseg(subject, arch, model, settings, precision, False)
        yield row
    row, theirs = _reference(subject, arch, model, settings)
    yield row
    for precision, masks in found.items():
        name = f"{arch}, random weights: samseg in {precision} against segment_anything"
        yield MaskParity.of(name, [(theirs, masks)])


def compiled_speed(
    subject: CheckSubject, arch: Architecture, precision: Precision
) -> Iterator[SideSpeed]:
    """Time samseg with `torch.compile`; compilation happens on the first image."""
    torch.compiler.reset()  # PyTorch limits the recompilations of a function
    model, settings = subject.random(arch)
    yield _samseg(subject, arch, model, settings, precision, True)[0]


def _samseg(
    subject: CheckSubject,
    arch: Architecture,
    model: Sam,
    settings: MaskSettings,
    precision: Precision,
    compiled: bool,
) -> tuple[SideSpeed, Rles]:
    photo = subject.photos[0]
    segmenter = Segmenter(model, settings, subject.device, "", precision, compiled)

    def segment() -> (
        Segmentation
    ):  # looked up at each call, because the stopwatch replaces the method
        return segmenter.segment(photo)

    _, first = timed(segment)
    _reset_peaks()
    runs = [timed(segment) for _ in range(subject.repeats)]
    memory = _peaks()
    sites: list[Site] = [*samseg_sites(), (segmenter_module, "suppress", NMS)]
    stages, (masks, features) = _timed_stages(sites, segment)
    stages[POOL] = 1e3 * timed(lambda: pool(features, masks))[1].wall
    seconds = [took.wall for _, took in runs]
    row = _row(subject, arch, settings, seconds, first.wall, stages, len(masks), memory)
    return row.model_copy(update={"precision": precision, "compiled": compiled}), masks.rles


def _reference(
    subject: CheckSubject, arch: Architecture, model: Sam, settings: MaskSettings
) -> tuple[SideSpeed, Rles]:
    """Time the reference, once because it is slow."""
    generate = partial(reference.automatic_masks, model, settings, subject.photos[0])
    few = MaskSettings(points_per_side=min(8, subject.points_per_side))
    _, first = timed(lambda: reference.automatic_masks(model, few, subject.photos[0]))
    _reset_peaks()
    masks, took = timed(generate)
    memory = _peaks()
    sites: list[Site] = [*reference_sites(model), (automatic_mask_generator, "batched_nms", NMS)]
    stages, _ = _timed_stages(sites, generate)
    row = _row(subject, arch, settings, [took.wall], first.wall, stages, len(masks), memory)
    return row.model_copy(update={"side": "segment_anything"}), masks


def _row(
    subject: CheckSubject,
    arch: Architecture,
    settings: MaskSettings,
    seconds: list[float],
    first_s: float,
    stages: dict[str, float],
    masks: int,
    memory: tuple[int, int],
) -> SideSpeed:
    on_gpu = subject.device.type == "cuda"
    gpu = torch.cuda.get_device_name(subject.device) if on_gpu else ""
    points = (settings.points_per_side or 0) ** 2
    return SideSpeed(
        arch=arch,
        side="samseg",
        precision="float32",
        compiled=False,
        ms=1e3 * median(seconds),
        images_per_s=1 / median(seconds),
        repeats=len(seconds),
        first_s=first_s,
        stages_ms={stage: stages[stage] for stage in STAGES if stage in stages},
        masks=masks,
        peak_allocated_bytes=memory[0],
        peak_reserved_bytes=memory[1],
        floor_ms=floor_ms(gpu, arch, 1, points),
    )


def _timed_stages(sites: list[Site], work: Callable[[], T]) -> tuple[dict[str, float], T]:
    """Return milliseconds by stage of one call, and its result."""
    watch = Stopwatch()
    with watch.watching(sites):
        result = work()
    return {stage: 1e3 * seconds for stage, seconds in watch.seconds.items()}, result


def _reset_peaks() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peaks() -> tuple[int, int]:
    """Return peak allocated and peak reserved bytes since `_reset_peaks`."""
    if not torch.cuda.is_available():
        return 0, 0
    return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
