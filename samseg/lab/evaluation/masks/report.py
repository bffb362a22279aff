"""Evaluations as tables for a terminal and as one Markdown table for a model card."""

from collections.abc import Callable, Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table

from samseg.lab.evaluation.masks.automatic import COUNTS, AutomaticScores
from samseg.lab.evaluation.masks.groups import Mean
from samseg.lab.evaluation.masks.record import Evaluation, ModelScores, SetScores
from samseg.lab.evaluation.masks.structure import Structure
from samseg.lab.evaluation.masks.thresholds import (
    KEPT_RECALL,
    ThresholdScores,
    best_per_count,
    recommended,
)

_NONE = "-"


def tables(record: Evaluation) -> Iterator[RenderableType]:
    """Yield one table per set with a column per checkpoint, then a table of the checkpoints."""
    names = [m.model for m in record.models]
    for scores in zip(*(m.sets for m in record.models), strict=True):
        facts = f"{scores[0].photos} photos, {scores[0].segments} segments"
        table = _table(f"{scores[0].name}: {facts}", names)
        for measure, of in _MEASURES.items():
            cells = [of(s) for s in scores]
            if set(cells) != {_NONE}:
                table.add_row(measure, *cells)
        yield table
        yield _groups(scores, names)
    table = _table("checkpoints", names)
    for measure, show in _FACTS.items():
        table.add_row(measure, *(show(m) for m in record.models))
    yield table


def thresholds_table(scores: Sequence[ThresholdScores]) -> Table:
    """Return the best pairs of thresholds by number of masks; the recommended one is marked."""
    chosen = recommended(scores)
    table = Table(title="automatic masks, mean of the sets", title_justify="left")
    for column in ("pred_iou_thresh", "stability_score_thresh", "masks per photo"):
        table.add_column(column, justify="right")
    table.add_column("recall at IoU 0.5", justify="right")
    table.add_column("precision at IoU 0.5", justify="right")
    table.add_column("")
    for s in best_per_count(scores):
        table.add_row(
            f"{s.pred_iou_thresh:g}",
            f"{s.stability_score_thresh:g}",
            f"{s.masks_per_photo:.1f}",
            f"{s.recall_50:.3f}",
            f"{s.precision_50:.3f}",
            "recommended" if s == chosen else "",
        )
    table.caption = (
        f"recommended: the fewest masks that keep {KEPT_RECALL:.0%} of the highest recall"
    )
    return table


def markdown(record: Evaluation) -> str:
    """Return one table: a row per set and measure, a column per checkpoint."""
    rows = [["set", "measure", *(f"`{m.model}`" for m in record.models)]]
    rows.append(["---"] * len(rows[0]))
    for scores in zip(*(m.sets for m in record.models), strict=True):
        for measure, of in _MEASURES.items():
            cells = [of(s) for s in scores]
            if set(cells) != {_NONE}:
                rows.append([scores[0].name, measure, *cells])
        for groups in zip(*(s.groups for s in scores), strict=True):
            name, segments = groups[0].name, groups[0].segments
            best, preferred = (
                [_mean(getattr(g, column)) for g in groups] for column in ("best", "preferred")
            )
            rows.append([scores[0].name, f"one click, best, {name} ({segments})", *best])
            rows.append([scores[0].name, f"one click, highest predicted IoU, {name}", *preferred])
    for fact, show in _FACTS.items():
        rows.append(["", fact, *(show(m) for m in record.models)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _groups(scores: Sequence[SetScores], names: list[str]) -> Table:
    """Return best / preferred / boundary of one click by group, each checkpoint in a column."""
    title = f"{scores[0].name}: one click, best of three / highest predicted IoU / boundary of best"
    table = _table(title, names)
    for groups in zip(*(s.groups for s in scores), strict=True):
        cells = (" / ".join(_mean(m) for m in (g.best, g.preferred, g.boundary)) for g in groups)
        table.add_row(f"{groups[0].name}, {groups[0].segments} segments", *cells)
    return table


def _mean(mean: Mean) -> str:
    return f"{mean.value:.3f} ({mean.low:.3f} to {mean.high:.3f})"


def _table(title: str, models: list[str]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in models:
        table.add_column(name, justify="right", overflow="fold")
    return table


def _number(value: float | None) -> str:
    return _NONE if value is None else f"{value:.3f}"


def _automatic(of: Callable[[AutomaticScores], str]) -> Callable[[SetScores], str]:
    return lambda s: _NONE if s.automatic is None else of(s.automatic)


def _structure(of: Callable[[Structure], str]) -> Callable[[SetScores], str]:
    return lambda s: _NONE if s.structure is None else of(s.structure)


_MEASURES: dict[str, Callable[[SetScores], str]] = {
    "one click, best of three masks": lambda s: _number(s.best),
    "one click, mask of highest predicted IoU": lambda s: _number(s.preferred),
    "one click, most stable mask / by product of the two": lambda s: (
        f"{_number(s.groups[0].most_stable.value)} / {_number(s.groups[0].by_product.value)}"
    ),
    "one click, boundary IoU of the best": lambda s: _number(s.groups[0].boundary.value),
    "three clicks": lambda s: _number(s.clicks[-1]),
    "box": lambda s: _number(s.box),
    "predicted IoU: mean absolute error": lambda s: _number(s.calibration.error),
    "predicted IoU: Pearson / Spearman": lambda s: (
        f"{_number(s.calibration.pearson)} / {_number(s.calibration.spearman)}"
    ),
    "automatic: recall at IoU 0.5 / 0.75": _automatic(
        lambda a: f"{_number(a.recall_50)} / {_number(a.recall_75)}"
    ),
    "automatic: recall at IoU 0.5 of the first 20 / 50 / 100 masks": _automatic(
        lambda a: " / ".join(_number(a.recall_50_at.get(n)) for n in COUNTS)
    ),
    "automatic: precision at IoU 0.5": _automatic(lambda a: _number(a.precision_50)),
    "automatic: masks per photo": _automatic(lambda a: f"{a.masks_per_photo:.1f}"),
    "classes: segments / categories": _structure(lambda s: f"{s.segments} / {s.categories}"),
    "classes: k-means AMI": _structure(lambda s: _number(s.kmeans_ami)),
    "classes: 5 neighbours of other photos": _structure(lambda s: _number(s.neighbour_accuracy)),
    "classes: best DBSCAN AMI (eps)": _structure(
        lambda s: f"{_number(s.dbscan_ami)} ({s.dbscan_eps:g})"
    ),
}

_FACTS: dict[str, Callable[[ModelScores], str]] = {
    "sha256": lambda m: m.sha256[:12],
    "seconds to encode 1024 x 1024 px": lambda m: f"{m.encode_seconds:.3f}",
    "device, CPU threads": lambda m: f"{m.device}, {m.threads}",
    "seconds of evaluation": lambda m: f"{sum(s.seconds for s in m.sets):.0f}",
}
