"""Masks and their time against the reference, on the same photos in one run.

Sides take turns photo by photo and repeat by repeat, and so does who begins. Before the first
photo counts, samseg has done it once, and the reference has answered one batch of points.
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
from samseg.lab.benchmark.tasks import BenchmarkTask, Rles, Task
from samseg.lab.benchmark.timing import Seconds, Speed, timed
from samseg.progress import Progress
from samseg.sam.settings import Architecture, MaskSettings
from samseg.spec import Spec


class Match(Spec):
    """How well masks agree with the reference's; see `samseg.lab.benchmark.matching.Agreement`.

    Attributes:
        wanted: masks of the reference.
        found: masks of the other.
        recall_90: fraction of the wanted ones that are found with IoU at least 0.9.
        recall_99: the same with 0.99.
        precision_90: fraction of the found ones that are wanted with IoU at least 0.9.
        precision_99: the same with 0.99.
        mean_iou: of matched pairs.
        count_difference: sum over photos of the difference in the number of masks, absolute.
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
        """Work out the rates."""
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
    """Peak memory of both sides on the largest photo, each in a process of its own."""

    reference: Peak
    samseg: Peak


class Comparison(Record):
    """One run of `amg` or `prompts`.

    Attributes:
        task: what both sides did.
        subject: the model, and the settings as used; with random weights the thresholds differ from
            photo to photo and are not these.
        photos: names.
        matches: samseg, and the reference's own noise where it was asked for, by name.
        speed: times.
        memory: if it was asked for.
        gpu: ms per image, where a GPU did the work.
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
    """Let both sides do a task.

    Args:
        task: what to do with each photo.
        subject: model and settings.
        photos: files.
        repeats: how often each side does each photo.
        noise: also compare the reference with itself where only rounding differs.
        memory: also measure peak memory.
        command: how to take these figures again.
        progress: where to show progress.
    """
    runs = count(1)
    progress.start(task.kind, len(photos) * 2 * (repeats + noise), "runs")
    sides = Sides.of(subject)
    task.warm_up(sides.model, sides.segmenter.settings, photo(photos[0]))
    task.samseg(sides.segmenter, photo(photos[0]))
    rounds: list[_TimedRun] = []
    for path in photos:
        here = sides.on(subject, photo(path)) if task.kind == "amg" else sides
        ran = partial(lambda name: progress.update(next(runs), name), path.name)
        rounds.append(_round(task, here, path, repeats, noise, ran))
    speed = Speed.of([r.reference for r in rounds], [r.samseg for r in rounds])
    progress.finish(f"{speed.wall.ratio:.1f} times as fast as the reference")
    machine = Machine.here(sides.segmenter.device)
    return Comparison(
        task=task,
        command=command,
        machine=machine,
        subject=subject.model_copy(update={"settings": sides.segmenter.settings}),
        photos=tuple(path.name for path in photos),
        matches={
            name: Match.of(sum((r.matches[name] for r in rounds), Agreement()))
            for name in rounds[0].matches
        },
        speed=speed,
        memory=_peaks(task, subject, max(rounds, key=lambda r: r.area)) if memory else None,
        gpu=_gpu_figures(machine, sides.arch, rounds, speed),
    )


@dataclass(frozen=True, slots=True)
class _TimedRun:
    """What came of one photo."""

    path: Path
    area: int
    settings: MaskSettings
    asked: BenchmarkTask
    reference: list[Seconds]
    samseg: list[Seconds]
    matches: dict[str, Agreement]


def _round(
    task: Task, sides: Sides, path: Path, repeats: int, noise: bool, ran: Callable[[], None]
) -> _TimedRun:
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
            ran()
    matches = {"samseg": agreement(masks["reference"], masks["samseg"])}
    if noise:
        for name, other in task.noise(sides.model, settings, pixels):
            matches[name] = agreement(masks["reference"], other)
            ran()
    return _TimedRun(
        path=path,
        area=pixels.shape[0] * pixels.shape[1],
        settings=settings,
        asked=task.asked(settings, pixels),
        matches=matches,
        **times,
    )


def _gpu_figures(
    machine: Machine, arch: Architecture, rounds: Sequence[_TimedRun], speed: Speed
) -> GpuFigures | None:
    if machine.gpu is None:
        return None
    encodings, prompts = (fmean(counts) for counts in zip(*(r.asked for r in rounds), strict=True))
    return GpuFigures(
        gpu=machine.gpu,
        ms_per_image=1e3 * speed.wall.samseg_s / len(rounds),
        floor_ms=floor_ms(machine.gpu, arch, encodings, prompts),
    )


def _peaks(task: Task, subject: Subject, largest: _TimedRun) -> Peaks:
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
