"""Comparison of masks and run time with the reference, on the same photos in one run.

The two sides alternate, per photo and repeat, and so does which side runs first. Warm-up: samseg
processes the first photo once, the reference one batch of its prompts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from statistics import fmean

from samseg.lab.benchmark.floor import GpuFigures, floor_ms
from samseg.lab.benchmark.machine import Machine
from samseg.lab.benchmark.matching import Agreement, agreement
from samseg.lab.benchmark.processes import Peak, peak_of
from samseg.lab.benchmark.record import Record
from samseg.lab.benchmark.subject import Sides, Subject, photo, segmenter_of
from samseg.lab.benchmark.tasks import Rles, Task, Workload
from samseg.lab.benchmark.timing import Seconds, Speed, timed
from samseg.progress import Progress
from samseg.sam.settings import Architecture, MaskSettings
from samseg.spec import Spec


class Match(Spec):
    """Agreement of masks with the reference's; see `samseg.lab.benchmark.matching.Agreement`.

    Attributes:
        wanted: number of masks of the reference.
        found: number of masks compared with them.
        recall_90: fraction of the reference's masks matched at IoU 0.9 or more.
        recall_99: the same at IoU 0.99.
        precision_90: fraction of the compared masks matched at IoU 0.9 or more.
        precision_99: the same at IoU 0.99.
        mean_iou: mean IoU of the matched pairs.
        count_difference: sum over photos of the absolute difference in the number of masks.
    """

    wanted: int
    found: int
    recall_90: float
    recall_99: float
    precision_90: float
    precision_99: float
    mean_iou: float
    count_difference: int

    @classmethod
    def of(cls, found: Agreement) -> "Match":
        """Compute the rates."""
        return cls(
            wanted=found.wanted,
            found=found.found,
            recall_90=found.recall(0.9),
            recall_99=found.recall(0.99),
            precision_90=found.precision(0.9),
            precision_99=found.precision(0.99),
            mean_iou=found.mean_iou,
            count_difference=found.count_difference,
        )


class Peaks(Spec):
    """Peak memory of both sides on the largest photo, each in its own process."""

    reference: Peak
    samseg: Peak


class Comparison(Record):
    """One run of `amg` or `prompts`.

    Attributes:
        task: the task of both sides.
        subject: the model, with the settings used, except that random weights have other
            thresholds for each photo.
        photos: names of the photos.
        matches: by name: samseg and, if requested, the reference's noise floor.
        speed: run times.
        memory: peak memory, if requested.
        gpu: milliseconds per image, if a GPU was used.
    """

    task: Task
    subject: Subject
    photos: tuple[str, ...]
    matches: dict[str, Match]
    speed: Speed
    memory: Peaks | None
    gpu: GpuFigures | None


def compare(
    task: Task,
    subject: Subject,
    photos: Sequence[Path],
    *,
    repeats: int,
    noise: bool,
    memory: bool,
    command: str,
    progress: Progress,
) -> Comparison:
    """Run a task on both sides.

    Args:
        task: what to compute for each photo.
        subject: model and settings.
        photos: paths of the photos.
        repeats: runs of each side on each photo.
        noise: also compare the reference with itself where only rounding differs.
        memory: also measure peak memory.
        command: the command that reproduces the figures.
        progress: where progress is shown.
    """
    done = count(1)
    progress.start(task.kind, len(photos) * 2 * (repeats + noise), "runs")
    sides = Sides.of(subject)
    task.warm_up(sides.model, sides.segmenter.settings, photo(photos[0]))
    task.samseg(sides.segmenter, photo(photos[0]))
    runs: list[_PhotoRun] = []
    for path in photos:
        own = sides.on(subject, photo(path)) if task.kind == "amg" else sides
        tick = partial(lambda name: progress.update(next(done), name), path.name)
        runs.append(_run(task, own, path, repeats, noise, tick))
    speed = Speed.of([r.reference for r in runs], [r.samseg for r in runs])
    progress.finish(f"{speed.wall.ratio:.1f} times as fast as the reference")
    machine = Machine.here(sides.segmenter.device)
    return Comparison(
        task=task,
        command=command,
        machine=machine,
        subject=subject.model_copy(update={"settings": sides.segmenter.settings}),
        photos=tuple(path.name for path in photos),
        matches={
            name: Match.of(sum((r.matches[name] for r in runs), Agreement()))
            for name in runs[0].matches
        },
        speed=speed,
        memory=_peaks(task, subject, max(runs, key=lambda r: r.area)) if memory else None,
        gpu=_gpu_figures(machine, sides.arch, runs, speed),
    )


@dataclass(frozen=True, slots=True)
class _PhotoRun:
    """Results of both sides on one photo."""

    path: Path
    area: int
    settings: MaskSettings
    workload: Workload
    reference: list[Seconds]
    samseg: list[Seconds]
    matches: dict[str, Agreement]


def _run(
    task: Task, sides: Sides, path: Path, repeats: int, noise: bool, tick: Callable[[], None]
) -> _PhotoRun:
    pixels, settings = photo(path), sides.segmenter.settings
    calls = {
        "reference": partial(task.reference, sides.model, settings, pixels),
        "samseg": partial(task.samseg, sides.segmenter, pixels),
    }
    masks: dict[str, Rles] = {}
    times: dict[str, list[Seconds]] = {side: [] for side in calls}
    for n in range(repeats):
        for side in sorted(calls, reverse=n % 2 == 1):
            masks[side], took = timed(calls[side])
            times[side].append(took)
            tick()
    matches = {"samseg": agreement(masks["reference"], masks["samseg"])}
    if noise:
        for name, other in task.noise(sides.model, settings, pixels):
            matches[name] = agreement(masks["reference"], other)
            tick()
    return _PhotoRun(
        path=path,
        area=pixels.shape[0] * pixels.shape[1],
        settings=settings,
        workload=task.workload(settings, pixels),
        matches=matches,
        **times,
    )


def _gpu_figures(
    machine: Machine, arch: Architecture, runs: Sequence[_PhotoRun], speed: Speed
) -> GpuFigures | None:
    if machine.gpu is None:
        return None
    encodings, prompts = (fmean(counts) for counts in zip(*(r.workload for r in runs), strict=True))
    return GpuFigures(
        gpu=machine.gpu,
        ms_per_image=1e3 * speed.wall.samseg_s / len(runs),
        floor_ms=floor_ms(machine.gpu, arch, encodings, prompts),
    )


def _peaks(task: Task, subject: Subject, largest: _PhotoRun) -> Peaks:
    subject = subject.model_copy(update={"settings": largest.settings})
    return Peaks(
        reference=peak_of(partial(_reference_work, task, subject, largest.path)),
        samseg=peak_of(partial(_samseg_work, task, subject, largest.path)),
    )


def _reference_work(task: Task, subject: Subject, path: Path) -> Callable[[], object]:
    model, settings = subject.load()
    return partial(task.reference, model, settings, photo(path))


def _samseg_work(task: Task, subject: Subject, path: Path) -> Callable[[], object]:
    return partial(task.samseg, segmenter_of(subject), photo(path))
