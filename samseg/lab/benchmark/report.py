"""Records of measurements as tables for a terminal and as Markdown for the README."""

from collections.abc import Callable, Iterable, Sequence

from rich.console import RenderableType
from rich.table import Table

from samseg.lab.benchmark.breakdown import Breakdown
from samseg.lab.benchmark.comparison import Comparison, Match
from samseg.lab.benchmark.embed_stage import EmbedComparison
from samseg.lab.benchmark.embedding_cost import EmbeddingCost
from samseg.lab.benchmark.processes import Peak
from samseg.lab.benchmark.reduce.stages import ReduceRecord
from samseg.lab.benchmark.review.record import ReviewRecord
from samseg.lab.benchmark.timing import Ratio

AnyRecord = Comparison | EmbedComparison | Breakdown | EmbeddingCost | ReduceRecord | ReviewRecord

_TITLE_WIDTH = 100
_COST_HEAD = ("photo", "masks", "masks, ms", "features, ms", "pooling, ms", "share")

_REDUCE_HEAD = ("masks", "workers", "what", "wall, s", "CPU, s", "driver", "worker", "requests")

_REVIEW_HEAD = ("answer", "requests", "median, ms", "95th percentile, ms", "largest, kB")

_MATCH_ROWS: dict[str, Callable[[Match], str]] = {
    "masks found / wanted": lambda m: f"{m.found} / {m.wanted}",
    "recall at IoU 0.9": lambda m: f"{m.recall_90:.4f}",
    "recall at IoU 0.99": lambda m: f"{m.recall_99:.4f}",
    "precision at IoU 0.9": lambda m: f"{m.precision_90:.4f}",
    "precision at IoU 0.99": lambda m: f"{m.precision_99:.4f}",
    "mean matched IoU": lambda m: f"{m.mean_iou:.6f}",
    "difference in counts": lambda m: str(m.count_difference),
}


def tables(record: AnyRecord) -> list[RenderableType]:
    """Return the tables of a record for a terminal, followed by the machine."""
    if isinstance(record, Comparison):
        shown = _comparison_tables(record)
    elif isinstance(record, EmbedComparison):
        shown = [_embed_table(record)]
    elif isinstance(record, EmbeddingCost):
        shown = [_table(f"{record.command} ({record.subject})", _COST_HEAD, _cost_rows(record))]
        if record.without and record.with_embedding:
            shown.append(_memory(record.without, record.with_embedding))
    elif isinstance(record, ReduceRecord):
        shown = [_table(record.command, _REDUCE_HEAD, _reduce_rows(record))]
    elif isinstance(record, ReviewRecord):
        title = (
            f"{record.command}: {record.masks:,} masks, {record.classes} classes, warm-up "
            f"{record.warm_up_s:.0f} s, {_megabytes(record.resident_bytes)}"
        )
        shown = [_table(title, _REVIEW_HEAD, _review_rows(record))]
    else:
        shown = [_stages_table(record)]
    return [*shown, str(record.machine)]


def markdown(record: AnyRecord) -> str:
    """Return a Markdown table for the README."""
    if isinstance(record, Comparison):
        return _markdown(
            (
                "command",
                "masks, samseg / reference",
                "recall and precision at IoU 0.9 and 0.99",
                "noise floor",
                "times as fast",
            ),
            [_comparison_row(record)],
        )
    if isinstance(record, EmbedComparison):
        head = ("actors", "images/s", "images/s of a bare loop", "fraction", "peak memory")
        return _markdown(head, [cells[:5] for cells in _embed_rows(record)])
    if isinstance(record, EmbeddingCost):
        return _markdown(_COST_HEAD, _cost_rows(record))
    if isinstance(record, ReduceRecord):
        return _markdown(_REDUCE_HEAD, _reduce_rows(record))
    if isinstance(record, ReviewRecord):
        return _markdown(_REVIEW_HEAD, _review_rows(record))
    head = ("stage", "ms per", "`segment_anything`", "samseg", "times as fast")
    return _markdown(head, _stage_rows(record))


def _megabytes(size: int) -> str:
    """Format a size in bytes."""
    return f"{size / 1e6:.0f} MB"


def _comparison_tables(record: Comparison) -> list[RenderableType]:
    matches = record.matches
    agreement = _table(
        f"{record.command} ({record.subject}, photos: {len(record.photos)})",
        ("against the reference", *matches),
        [(name, *(of(m) for m in matches.values())) for name, of in _MATCH_ROWS.items()],
    )
    speed, n = record.speed, len(record.photos)
    times = _table(
        f"seconds per photo, medians of {len(speed.samseg[0])}",
        ("", "reference", "samseg", "times as fast", "range over repeats"),
        [
            (
                f"{name} time",
                f"{ratio.reference_s / n:.3f}",
                f"{ratio.samseg_s / n:.3f}",
                f"{ratio.ratio:.2f}",
                f"{ratio.low:.2f} to {ratio.high:.2f}",
            )
            for name, ratio in (("wall", speed.wall), ("CPU", speed.cpu))
        ],
    )
    shown: list[RenderableType] = [agreement, times]
    if record.memory is not None:
        sides = {"reference": record.memory.reference, "samseg": record.memory.samseg}
        rows: dict[str, Callable[[Peak], int]] = {
            "loaded": lambda p: p.loaded_bytes,
            "at the peak": lambda p: p.peak_bytes,
        }
        shown.append(
            _table(
                "peak memory in a separate process, largest photo",
                ("", *sides),
                [(name, *(_megabytes(of(p)) for p in sides.values())) for name, of in rows.items()],
            )
        )
    if record.gpu is not None:
        shown.append(str(record.gpu))
    return shown


def _embed_table(record: EmbedComparison) -> Table:
    head = ("actors", "images/s", "of a bare loop", "fraction", "peak memory", "by CPU time")
    threads = "1 thread" if record.machine.threads == 1 else f"{record.machine.threads} threads"
    return _table(f"{record.command} ({threads} each)", head, _embed_rows(record))


def _stages_table(record: Breakdown) -> Table:
    head = ("stage", "ms per", "reference", "samseg", "times as fast")
    title = (
        f"{record.command} ({record.subject}, encodings: {record.encodings}, "
        f"prompts: {record.prompts}, medians of {record.repeats})"
    )
    return _table(title, head, _stage_rows(record))


def _comparison_row(record: Comparison) -> tuple[str, ...]:
    ours = record.matches["samseg"]
    noise = [match for name, match in record.matches.items() if name != "samseg"]
    return (
        f"`python jobs/benchmark.py {record.command}`",
        f"{ours.found} / {ours.wanted}",
        _span([ours]),
        _span(noise) if noise else "-",
        f"{record.speed.wall.ratio:.1f}",
    )


def _span(matches: Sequence[Match]) -> str:
    """Format the minimum and the maximum of all rates of some matches."""
    rates = [
        rate for m in matches for rate in (m.recall_90, m.recall_99, m.precision_90, m.precision_99)
    ]
    low, high = f"{min(rates):.4f}", f"{max(rates):.4f}"
    return low if low == high else f"{low} to {high}"


def _embed_rows(record: EmbedComparison) -> list[tuple[str, ...]]:
    return [
        (
            str(compared.workers),
            f"{1 / compared.wall.samseg_s:.2f}",
            f"{1 / compared.wall.reference_s:.2f}",
            _percent(compared.wall),
            _megabytes(max(repeat.peak_bytes for repeat in compared.stage)),
            _percent(compared.cpu),
        )
        for compared in record.teams
    ]


def _reduce_rows(record: ReduceRecord) -> list[tuple[str, ...]]:
    return [
        (
            f"{row.masks:,}",
            str(row.workers or "none"),
            row.what,
            f"{row.usage.wall_s:.1f}",
            f"{row.usage.cpu_s:.1f}",
            _megabytes(row.usage.driver_bytes),
            _megabytes(row.usage.worker_bytes) if row.usage.worker_bytes else "",
            str(sum(row.usage.requests.values())),
        )
        for row in record.rows
    ]


def _review_rows(record: ReviewRecord) -> list[tuple[str, ...]]:
    return [
        (
            row.what,
            str(row.requests),
            f"{row.median_ms:.0f}",
            f"{row.p95_ms:.0f}",
            f"{row.bytes / 1e3:.0f}",
        )
        for row in record.rows
    ]


def _cost_rows(record: EmbeddingCost) -> list[tuple[str, ...]]:
    rows = [
        (
            p.photo,
            str(p.masks),
            f"{1e3 * p.masks_s:.0f}",
            f"{1e3 * p.encode_s:.0f}",
            f"{1e3 * p.pool_s:.0f}",
            f"{p.share:.1%}",
        )
        for p in record.photos
    ]
    return [*rows, ("all", "", "", "", "", f"{record.share:.1%}")]


def _memory(without: Peak, with_embedding: Peak) -> str:
    """Say what the embedding adds to the peak memory of a process."""
    return (
        f"peak memory: {_megabytes(without.peak_bytes)} without the embedding, "
        f"{_megabytes(with_embedding.peak_bytes)} with it"
    )


def _percent(ratio: Ratio) -> str:
    low, high = f"{ratio.low:.0%}", f"{ratio.high:.0%}"
    spread = "" if low == high else f" ({low} to {high})"
    return f"{ratio.ratio:.0%}{spread}"


def _stage_rows(record: Breakdown) -> list[tuple[str, ...]]:
    return [
        (
            time.stage,
            time.unit,
            f"{time.reference_ms:.2f}",
            f"{time.samseg_ms:.2f}",
            f"{time.reference_ms / time.samseg_ms:.1f}" if time.samseg_ms else "-",
        )
        for time in record.stages
    ]


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(title=title, min_width=min(len(title), _TITLE_WIDTH))
    for i, name in enumerate(head):
        table.add_column(name, justify="right" if i else "left")
    for row in rows:
        table.add_row(*row)
    return table


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
