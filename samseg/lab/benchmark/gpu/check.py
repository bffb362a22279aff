"""Run the sections of the check within a time limit; every finding is kept at once.

An exception ends its section only; a kill loses only the findings that are not yet made. The most
important sections come first.
"""

import gc
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from samseg.lab.benchmark.gpu.compiling import compilation
from samseg.lab.benchmark.gpu.costs import costs
from samseg.lab.benchmark.gpu.findings import Finding, GpuCheck, SectionResult
from samseg.lab.benchmark.gpu.parity import mask_parity, tensor_parity
from samseg.lab.benchmark.gpu.recovery import recovery
from samseg.lab.benchmark.gpu.speed import compiled_speed, speeds
from samseg.lab.benchmark.gpu.subject import PRECISIONS, CheckSubject
from samseg.lab.benchmark.machine import Machine


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the check.

    Attributes:
        name: its name.
        about_s: approximate seconds on an H100; with less time left the section is skipped.
        work: yields its findings.
    """

    name: str
    about_s: float
    work: Callable[[], Iterator[Finding]]


def sections(subject: CheckSubject) -> list[Section]:
    """Return the sections in order; on a CPU without those that need a GPU."""
    largest, *others = subject.archs
    found = [
        Section("masks", 45, partial(mask_parity, subject)),
        Section("tensors", 20, partial(tensor_parity, subject)),
    ]
    if subject.device.type == "cuda":
        found.append(Section("recovery", 15, partial(recovery, subject)))
    found += [
        Section(f"speed {largest}", 30, partial(speeds, subject, largest)),
        Section(f"costs {largest}", 20, partial(costs, subject, largest, "bfloat16")),
        *(Section(f"speed {arch}", 20, partial(speeds, subject, arch)) for arch in others),
    ]
    if subject.device.type == "cuda":
        for precision in reversed(PRECISIONS):
            found.append(
                Section(f"compile {precision}", 60, partial(compilation, subject, precision))
            )
            found += [
                Section(
                    f"compiled {arch} {precision}",
                    30,
                    partial(compiled_speed, subject, arch, precision),
                )
                for arch in subject.archs
            ]
    return found


def run_check(
    subject: CheckSubject,
    chosen: Sequence[Section],
    *,
    seconds: float,
    command: str,
    keep: Callable[[GpuCheck], None],
    began: float | None = None,
) -> GpuCheck:
    """Run sections one after another.

    Args:
        subject: device, photos and models.
        chosen: the sections.
        seconds: time limit for all sections; one that would exceed it is skipped.
        command: arguments that reproduce the run.
        keep: called with all results so far after each finding.
        began: `time.monotonic()` from which the limit counts; now if None.
    """
    end = (time.monotonic() if began is None else began) + seconds
    on_gpu = subject.device.type == "cuda"
    memory = torch.cuda.get_device_properties(subject.device).total_memory if on_gpu else 0
    check = GpuCheck(
        command=command,
        machine=Machine.here(subject.device),
        cuda=torch.version.cuda,
        gpu_bytes=memory,
        sections=(),
    )
    for section in chosen:
        before = check.sections
        for result in _run(section, end - time.monotonic()):
            check = check.model_copy(update={"sections": (*before, result)})
            keep(check)
    return check


def _run(section: Section, left_s: float) -> Iterator[SectionResult]:
    """Yield the result of a section after each finding and at the end."""
    if section.about_s > left_s:
        reason = f"takes about {section.about_s:.0f} s, and {max(0.0, left_s):.0f} s are left"
        yield SectionResult(name=section.name, status="skipped", reason=reason)
        return
    began = time.monotonic()
    findings: list[Finding] = []

    def result(error: str = "") -> SectionResult:
        failed = any(getattr(finding, "passed", None) is False for finding in findings)
        return SectionResult(
            name=section.name,
            status="error" if error else "failed" if failed else "passed",
            seconds=time.monotonic() - began,
            findings=tuple(findings),
            reason=error,
        )

    error = ""
    try:
        for finding in section.work():
            findings.append(finding)
            yield result("not finished")
        gc.collect()
        torch.cuda.empty_cache()
    except Exception:  # of any kind: the other sections are still worth running
        error = traceback.format_exc()
    yield result(error)
