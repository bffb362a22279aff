"""Evaluations of examples as tables for a terminal and in Markdown."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table

from samseg.lab.evaluation.examples.record import (
    ExampleEvaluation,
    ExampleScores,
    MeanOverDraws,
)


def example_tables(record: ExampleEvaluation) -> Iterator[RenderableType]:
    """Yield a table per set, with a column per number of examples, and notes."""
    for scores in record.sets:
        table = Table(title=_title(scores), title_justify="left")
        for column in _head(scores):
            table.add_column(column, justify="right" if column else "left")
        for row in _rows(scores):
            table.add_row(*row)
        yield table
    yield _protocol(record)


def example_markdown(record: ExampleEvaluation) -> str:
    """Return the same as Markdown."""
    blocks = []
    for scores in record.sets:
        lines = [_head(scores), ["---"] * (1 + len(scores.counts)), *_rows(scores)]
        rows = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        blocks += [f"**{_title(scores)}**", rows]
    return "\n\n".join([*blocks, _protocol(record)])


def _title(scores: ExampleScores) -> str:
    return (
        f"{scores.name}, {scores.embedding}: {scores.masks} true segments of {scores.photos} "
        f"photos, {scores.categories:.0f} categories"
    )


def _head(scores: ExampleScores) -> list[str]:
    counts = (of.accepted for of in scores.counts)
    return ["", *(f"{n} example" if n == 1 else f"{n} examples" for n in counts)]


def _rows(scores: ExampleScores) -> Iterator[list[str]]:
    for name in scores.counts[0].precision_of:
        cells = (_number(of.precision_of[name]) for of in scores.counts)
        yield [f"average precision, {name}", *cells]
    yield ["average precision by chance", *(f"{scores.chance:.3f}" for _ in scores.counts)]
    for name in scores.counts[0].members:
        members = [of.members[name] for of in scores.counts]
        both = (f"{m.precision.mean:.3f} / {m.recall.mean:.3f}" for m in members)
        yield [f"members by {name}: precision / recall", *both]
        yield [f"members by {name}: F1", *(_number(m.f1) for m in members)]


def _number(value: MeanOverDraws) -> str:
    return f"{value.mean:.3f} ± {value.sd:.3f}"


def _protocol(record: ExampleEvaluation) -> str:
    used = record.protocol
    return (
        "Mean over categories, then mean ± standard deviation of the draws "
        f"({used.draws}): examples come from a random half of the photos, the masks of the other "
        "half are ranked. The codebook is fitted to all, without labels. Rejected masks are those "
        "of other categories that are nearest to the examples, as many as accepted ones. Seed "
        f"{used.seed}."
    )
