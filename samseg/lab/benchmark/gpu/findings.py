"""Findings of a GPU check: results that pass or fail, and measurements."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from samseg.lab.benchmark.comparison import Match
from samseg.lab.benchmark.matching import Agreement, agreement
from samseg.lab.benchmark.record import Record
from samseg.lab.benchmark.tasks import Rles
from samseg.sam.settings import Architecture, Precision
from samseg.spec import Spec


class MaskParity(Spec):
    """Agreement of two sets of masks of the same photos.

    Attributes:
        name: the sets compared.
        match: recall and precision.
        least: lowest recall and precision at IoU 0.9 that pass; None for a measurement.
        passed: whether both do; None for a measurement.
    """

    kind: Literal["masks"] = "masks"
    name: str
    match: Match
    least: float | None = None
    passed: bool | None = None

    @classmethod
    def of(
        cls, name: str, pairs: Iterable[tuple[Rles, Rles]], least: float | None = None
    ) -> "MaskParity":
        """Match (wanted, found) masks photo by photo."""
        match = Match.of(sum((agreement(*pair) for pair in pairs), Agreement()))
        passed = None if least is None else min(match.recall_90, match.precision_90) >= least
        return cls(name=name, match=match, least=least, passed=passed)


class TensorParity(Spec):
    """A tensor compared with the CPU's in float32.

    Attributes:
        name: the tensor.
        error: norm of the difference over the norm of the CPU's.
        most: largest error that passes.
        passed: whether the error is at most that.
    """

    kind: Literal["tensor"] = "tensor"
    name: str
    error: float
    most: float
    passed: bool


class Recovery(Spec):
    """A run with less memory than its batch of prompts needs.

    Attributes:
        limit_bytes: limit of the memory that PyTorch reserves.
        needed_bytes: allocated at the peak of a run without a limit.
        times: allocations that failed.
        batch: batch size of prompts before.
        batch_after: batch size that fitted.
        parity: masks with and without the limit.
        passed: memory ran out, the batch shrank and the masks agree.
    """

    kind: Literal["recovery"] = "recovery"
    limit_bytes: int
    needed_bytes: int
    times: int
    batch: int
    batch_after: int
    parity: MaskParity
    passed: bool


class Compilation(Spec):
    """Time and masks of a compiled segmenter.

    Attributes:
        precision: of the encoder and the mask head.
        first_s: seconds of the first image, compilation included.
        next_s: seconds of the following images, in order; their sizes differ.
        parity: masks with and without `torch.compile`.
        passed: whether `parity` passed.
    """

    kind: Literal["compilation"] = "compilation"
    precision: Precision
    first_s: float
    next_s: tuple[float, ...]
    parity: MaskParity
    passed: bool


class SideSpeed(Spec):
    """Speed of one implementation on one photo, from image to run-length encodings.

    Attributes:
        arch: of the model, with random weights.
        side: `samseg` or `segment_anything`.
        precision: of samseg; the reference always runs in float32.
        compiled: with `torch.compile`.
        ms: per image, the median of the repeats.
        images_per_s: its inverse; one image at a time.
        repeats: number of timed images.
        first_s: seconds of the first image, which is not timed in `ms`.
        stages_ms: per image; the GPU is synchronised before and after each stage, so that the sum
            exceeds `ms`.
        masks: number of masks.
        peak_allocated_bytes: GPU memory in use at the peak; 0 without a GPU.
        peak_reserved_bytes: GPU memory taken from the driver at the peak; 0 without a GPU.
        floor_ms: lower bound, see `samseg.lab.benchmark.floor`; None where it is not known.
    """

    kind: Literal["speed"] = "speed"
    arch: Architecture
    side: Literal["samseg", "segment_anything"]
    precision: Precision
    compiled: bool
    ms: float
    images_per_s: float
    repeats: int
    first_s: float
    stages_ms: dict[str, float]
    masks: int
    peak_allocated_bytes: int
    peak_reserved_bytes: int
    floor_ms: float | None


class Cost(Spec):
    """Time of one kernel or operator per image.

    Attributes:
        name: its name, shortened.
        ms: on the device, all calls.
        share: of the time of all kernels, or of all operators.
        calls: number of calls.
    """

    name: str
    ms: float
    share: float
    calls: int


class Costs(Spec):
    """Profile of one image.

    Attributes:
        arch: of the model, with random weights.
        precision: of samseg.
        kernels: the most expensive first.
        operators: likewise, by PyTorch's names.
        busy_ms: time in which a kernel or copy ran.
        image_ms: time of an image without the profiler.
        idle: share of `image_ms` in which none ran.
        launches: number of kernels and copies.
    """

    kind: Literal["costs"] = "costs"
    arch: Architecture
    precision: Precision
    kernels: tuple[Cost, ...]
    operators: tuple[Cost, ...]
    busy_ms: float
    image_ms: float
    idle: float
    launches: int


Finding = Annotated[
    MaskParity | TensorParity | Recovery | Compilation | SideSpeed | Costs,
    Field(discriminator="kind"),
]
"""Any finding; `kind` is the discriminator."""


class SectionResult(Spec):
    """One section of the check.

    Attributes:
        name: its name.
        status: `failed` if a finding did not pass, `error` if an exception ended it, `skipped` if
            it did not start.
        seconds: wall time.
        findings: in order; after an error those made before it.
        reason: traceback of an error, or why it was skipped.
    """

    name: str
    status: Literal["passed", "failed", "error", "skipped"]
    seconds: float = 0.0
    findings: tuple[Finding, ...] = ()
    reason: str = ""


class GpuCheck(Record):
    """One run of the check.

    Attributes:
        cuda: version that PyTorch was built for; None for a CPU build.
        gpu_bytes: memory of the GPU; 0 without one.
        sections: in order.
    """

    cuda: str | None
    gpu_bytes: int
    sections: tuple[SectionResult, ...]

    @property
    def passed(self) -> bool:
        """Whether no section failed or raised; a skipped section passes."""
        return all(section.status in ("passed", "skipped") for section in self.sections)
