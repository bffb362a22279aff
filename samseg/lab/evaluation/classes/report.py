"""Evaluations of classes as tables for a terminal and in Markdown."""

from collections.abc import Callable, Iterator

from rich.console import RenderableType
from rich.table import Table

from samseg.lab.evaluation.classes.record import (
    ClassEvaluation,
    ClassScores,
    Interval,
    Redrawn,
    RowScores,
)

_NONE = "-"


def tables(record: ClassEvaluation) -> Iterator[RenderableType]:
    """Yield a table per set, with a column per row of the record, and notes."""
    for scores in record.sets:
        table = Table(title=_title(scores), title_justify="left")
        table.add_column("")
        for row in scores.rows:
            table.add_column(row.name, justify="right", overflow="fold")
        for measure, cells in _lines(scores):
            table.add_row(measure, *cells)
        yield table
        yield from _notes(scores)
    yield _protocol(record)


def markdown(record: ClassEvaluation) -> str:
    """Return the same as Markdown."""
    blocks = []
    for scores in record.sets:
        lines = [["", *(row.name for row in scores.rows)], ["---"] * (len(scores.rows) + 1)]
        lines += [[measure, *cells] for measure, cells in _lines(scores)]
        rows = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        blocks += [f"**{_title(scores)}**", rows, *_notes(scores)]
    return "\n\n".join([*blocks, _protocol(record)])


def _lines(scores: ClassScores) -> Iterator[tuple[str, list[str]]]:
    for measure, show in _MEASURES.items():
        cells = [show(row) for row in scores.rows]
        if set(cells) != {_NONE}:
            yield measure, cells


def _title(scores: ClassScores) -> str:
    return (
        f"{scores.name}, {scores.masks}: {scores.evaluated} masks of {scores.photos} photos, "
        f"{len(scores.categories)} categories"
    )


def _notes(scores: ClassScores) -> Iterator[str]:
    yield f"Ceiling of mIoU, every mask with its true category: {scores.ceiling:.3f}."
    if scores.masks == "automatic masks":
        yield (
            "A mask has the category of the true segment that covers more than half of it: "
            f"{scores.unmatched} masks have none and {scores.rare} one of the categories left out; "
            "they take part in fits, not in scores."
        )
    if scores.merged:
        yield f"Merged: {'; '.join(' = '.join(group) for group in scores.merged)}."
    if scores.missing:
        yield f"{len(scores.missing)} photos of the labels are not in the output folder."


def _protocol(record: ClassEvaluation) -> str:
    used = record.protocol
    return (
        f"Categories with {used.min_segments} true segments or more, of the {used.segments} "
        f"largest over {used.min_area:.1%} of each photo. Noise is one class in AMI, ARI and "
        "V-measure. In brackets 95 % intervals: 1.96 standard errors of "
        f"{used.resamples} bootstrap resamples of the photos, classes unchanged. Mean ± standard "
        f"deviation of {used.draws} fits to random {used.share:.0%} of the photos; new photos are "
        f"the others. Seed {used.seed}."
    )


def _number(value: float | None) -> str:
    return _NONE if value is None else f"{value:.3f}"


def _with_interval(value: float | None, interval: Interval | None) -> str:
    shown = _number(value)
    return shown if interval is None else f"{shown} [{interval.low:.3f}, {interval.high:.3f}]"


def _redrawn(show: Callable[[Redrawn], str]) -> Callable[[RowScores], str]:
    return lambda row: _NONE if row.redrawn is None else show(row.redrawn)


_MEASURES: dict[str, Callable[[RowScores], str]] = {
    "classes": lambda r: str(r.free.classes),
    "coverage": lambda r: _number(r.free.coverage),
    "AMI": lambda r: _with_interval(r.free.ami, r.intervals.get("ami")),
    "ARI": lambda r: _number(r.free.ari),
    "V-measure": lambda r: _number(r.free.v_measure),
    "purity": lambda r: _number(r.free.purity),
    "accuracy, one to one": lambda r: _with_interval(r.free.accuracy, r.intervals.get("accuracy")),
    "mIoU, one to one": lambda r: _with_interval(r.free.miou, r.intervals.get("miou")),
    "mIoU, categories shared by classes": lambda r: _number(r.free.miou_shared),
    "5 neighbours of other photos": lambda r: _with_interval(
        r.neighbours, r.intervals.get("neighbours")
    ),
    "k-means, true k: AMI / ARI": lambda r: f"{r.true_k.ami:.3f} / {r.true_k.ari:.3f}",
    "k-means, true k: V-measure / purity": lambda r: (
        f"{r.true_k.v_measure:.3f} / {_number(r.true_k.purity)}"
    ),
    "k-means, true k: accuracy / mIoU": lambda r: f"{r.true_k.accuracy:.3f} / {r.true_k.miou:.3f}",
    "part of the photos: AMI": _redrawn(lambda d: f"{d.ami:.3f} ± {d.ami_sd:.3f}"),
    "new photos: AMI": _redrawn(lambda d: f"{d.new_ami:.3f} ± {d.new_ami_sd:.3f}"),
    "new photos: coverage": _redrawn(lambda d: _number(d.new_coverage)),
    "refit to all photos: ids kept": _redrawn(lambda d: _number(d.kept)),
    "refit to all photos: named right / wrong": _redrawn(
        lambda d: f"{d.named_right:.3f} / {d.named_wrong:.3f}"
    ),
}
