"""Format a GPU check as Markdown."""

from collections.abc import Callable, Iterable, Sequence

from samseg.lab.benchmark.gpu.findings import (
    Compilation,
    Costs,
    Finding,
    GpuCheck,
    MaskParity,
    Recovery,
    SideSpeed,
    TensorParity,
)
from samseg.lab.benchmark.gpu.speed import STAGES

_COSTS = 3
_VERDICTS = {True: "passed", False: "FAILED", None: "-"}


def markdown(check: GpuCheck) -> str:
    """Return all findings, preceded by the machine."""
    found = [finding for section in check.sections for finding in section.findings]
    speeds = [f for f in found if isinstance(f, SideSpeed)]
    costs = [f for f in found if isinstance(f, Costs)]
    cuda = f", CUDA {check.cuda}" if check.cuda else ""
    parts = [
        f"{check.machine}{cuda}; `python jobs/gpu_check.py {check.command}`".rstrip(),
        _agreement(found),
        _table(
            ("model", "side", "ms", "images/s", "peak memory", "floor, ms"), map(_speed, speeds)
        ),
        _table(("ms per image", *STAGES), map(_stages, speeds)),
        *(_dearest(of) for of in costs),
        _table(
            ("section", "status", "s", "why"),
            [
                (s.name, s.status, f"{s.seconds:.0f}", (s.reason.splitlines() or [""])[-1])
                for s in check.sections
            ],
        ),
    ]
    return "\n\n".join(part for part in parts if part)


def line(finding: Finding) -> str:
    """Format one finding as a line."""
    if isinstance(finding, SideSpeed):
        return " ".join(_speed(finding)[:4])
    if isinstance(finding, Costs):
        first = ", ".join(f"{c.name} {c.share:.0%}" for c in finding.kernels[:_COSTS])
        return f"{finding.arch}: GPU idle {finding.idle:.0%}; {first}"
    return ": ".join(_checked(finding))


def _agreement(found: Sequence[Finding]) -> str:
    checked = [f for f in found if not isinstance(f, SideSpeed | Costs)]
    return _table(("what", "result", "verdict"), map(_checked, checked))


def _checked(finding: MaskParity | TensorParity | Recovery | Compilation) -> tuple[str, str, str]:
    verdict = _VERDICTS[finding.passed]
    if isinstance(finding, MaskParity):
        return finding.name, _match(finding), verdict
    if isinstance(finding, TensorParity):
        return (
            finding.name,
            f"relative error {finding.error:.1e}, at most {finding.most:.0e}",
            verdict,
        )
    if isinstance(finding, Recovery):
        result = (
            f"{finding.times} failed allocations with {_size(finding.limit_bytes)} of "
            f"{_size(finding.needed_bytes)}; {finding.batch} prompts at once became "
            f"{finding.batch_after}; {_match(finding.parity)}"
        )
        return "out of memory", result, verdict
    following = ", ".join(f"{s:.2f}" for s in finding.next_s)
    result = f"first image {finding.first_s:.1f} s, then {following} s; {_match(finding.parity)}"
    return finding.parity.name, result, verdict


def _match(parity: MaskParity) -> str:
    m = parity.match
    return (
        f"{m.found} / {m.wanted} masks, recall {m.recall_90:.4f} and {m.recall_99:.4f}, precision "
        f"{m.precision_90:.4f} and {m.precision_99:.4f} at IoU 0.9 and 0.99"
    )


def _side(speed: SideSpeed) -> str:
    if speed.side != "samseg":
        return f"`{speed.side}`, {speed.precision}"
    return f"samseg, {speed.precision}{', compiled' if speed.compiled else ''}"


def _speed(speed: SideSpeed) -> tuple[str, ...]:
    return (
        speed.arch,
        _side(speed),
        f"{speed.ms:.1f}",
        f"{speed.images_per_s:.2f}",
        _size(speed.peak_allocated_bytes) if speed.peak_allocated_bytes else "-",
        f"{speed.floor_ms:.1f}" if speed.floor_ms else "-",
    )


def _stages(speed: SideSpeed) -> tuple[str, ...]:
    shown: Callable[[str], str] = lambda stage: (  # noqa: E731
        f"{speed.stages_ms[stage]:.1f}" if stage in speed.stages_ms else "-"
    )
    return (f"{speed.arch}, {_side(speed)}", *map(shown, STAGES))


def _dearest(costs: Costs) -> str:
    title = (
        f"{costs.arch} in {costs.precision}: {costs.busy_ms:.1f} ms of kernels in "
        f"{costs.image_ms:.1f} ms, idle {costs.idle:.0%}, {costs.launches} launches"
    )
    rows = [
        (kind, f"`{cost.name}`", f"{cost.ms:.2f}", f"{cost.share:.1%}", str(cost.calls))
        for kind, ranked in (("kernel", costs.kernels), ("operator", costs.operators))
        for cost in ranked[:_COSTS]
    ]
    return f"{title}\n\n{_table(('', 'name', 'ms', 'share', 'calls'), rows)}"


def _size(size: int) -> str:
    return f"{size / 1e9:.2f} GB"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a table; empty without rows."""
    lines = [tuple(cell.replace("|", "\\|") for cell in row) for row in rows]
    if not lines:
        return ""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ("---",) * len(head), *lines))
