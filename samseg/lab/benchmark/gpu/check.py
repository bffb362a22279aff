"""Every section of the check in turn: each on its own, within a time limit, results kept at once.

An exception ends its section only, and a kill loses only what the section under way had not yet
found. Sections stand in the order of what they are worth.
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
        about_s: seconds that it takes on an H100, roughly; it does not begin with less left.
        work: yields what it finds.
    """

    name: str
    about_s: float
    work: Callable[[], Iterator[Finding]]


def sections(subject: CheckSubject) -> list[Section]:
    """Return the sections in order; on a CPU those that it can do."""
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
        subject: what is checked.
        chosen: the sections.
        seconds: how long all of them may take; a section that would take longer is skipped.
        command: how to run this again.
        keep: called with all results so far, whenever there is another.
        began: `time.monotonic()` when the time began to count; now if None.
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
    """Yield the result of a section anew with each finding, and at the end."""
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
            yield result("under way")
        gc.collect()
        torch.cuda.empty_cache()
    except Exception:  # whatever it is, the other sections are still worth running
        error = traceback.format_exc()
    yield result(error)
