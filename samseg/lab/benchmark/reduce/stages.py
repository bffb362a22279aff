"""Measures the stages after `embed` over synthetic output folders.

For each size a folder is made once and kept. Each number of workers gets a copy by hard links and a
process of its own, the driver, with a Ray of as many CPUs as there are workers, or without Ray for
0 workers.
"""

import multiprocessing
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from samseg.lab.benchmark.machine import Machine
from samseg.lab.benchmark.record import Record
from samseg.lab.benchmark.reduce.folder import Measurement, make_folder, measure_folder
from samseg.progress import Progress

R = TypeVar("R")


class ReduceRecord(Record):
    """One run of `reduce`."""

    rows: tuple[Measurement, ...]


def measure_reduce(
    folder: Path,
    *,
    masks: Sequence[int],
    samples: Sequence[int],
    workers: Sequence[int],
    exports: bool,
    command: str,
    progress: Progress,
) -> ReduceRecord:
    """Measure refits, assign-only nights, status, report and exports.

    Args:
        folder: where the synthetic folders are, and copies are made.
        masks: sizes of the folders.
        samples: sizes of the fit sample.
        workers: numbers of CPU workers; 0 for the driver alone.
        exports: measure an export to COCO, too.
        command: the command that reproduces the figures.
        progress: where progress is shown.
    """
    import torch

    rows: list[Measurement] = []
    for size in masks:
        made = folder / f"masks-{size}"
        progress.start("synthesize", None, "masks")
        _in_new_process(make_folder, str(made), size, max(workers))
        progress.finish(f"{size} masks in {made}")
        for count in workers:
            progress.start("measure", None, "stages")
            with TemporaryDirectory(dir=folder) as scratch:
                copy = Path(scratch) / "output"
                shutil.copytree(made, copy, copy_function=os.link)
                found = _in_new_process(
                    measure_folder, str(copy), size, count, tuple(samples), exports
                )
            rows += found
            for row in found:
                progress.note(f"{row.what}: {row.result}")
            progress.finish(f"{size} masks, {count} workers")
    machine = Machine.here(torch.device("cpu"), 1)
    return ReduceRecord(command=command, machine=machine, rows=tuple(rows))


def _in_new_process(work: Callable[..., R], *arguments: object) -> R:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *arguments).result()
