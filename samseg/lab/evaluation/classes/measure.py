"""Scores of rows on the masks of one set or output folder."""

import itertools
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from samseg.clustering.transform import Transform
from samseg.lab.evaluation.classes import semantic
from samseg.lab.evaluation.classes.agreement import accuracy, agreement, ami
from samseg.lab.evaluation.classes.evaluated import Evaluated
from samseg.lab.evaluation.classes.labelled_masks import RARE, UNMATCHED, LabelledMasks
from samseg.lab.evaluation.classes.record import (
    ClassProtocol,
    ClassScores,
    Interval,
    Redrawn,
    RowScores,
)
from samseg.lab.evaluation.classes.refits import after_refit
from samseg.lab.evaluation.classes.resampling import interval, parts
from samseg.lab.evaluation.classes.rows import Row
from samseg.lab.evaluation.neighbours import neighbour_hits
from samseg.progress import Progress, duration
from samseg.types import NOISE, Bool, Int32, Int64


class Labelings(NamedTuple):
    """The same of the classes that a fit finds, and of k-means at the true number of classes."""

    free: Int64
    true_k: Int64


def score(
    evaluated: Evaluated, class_ids: Sequence[Int32], protocol: ClassProtocol, progress: Progress
) -> ClassScores:
    """Score every row of a set or an output folder.

    Args:
        evaluated: masks and rows.
        class_ids: of every row, (n,) int32; see `fitted`.
        protocol: how often classes are fitted again, and resamples.
        progress: where progress is shown.
    """
    began = time.perf_counter()
    masks, rows = evaluated.masks, evaluated.rows
    progress.start(evaluated.name, len(rows), "rows")
    true = np.maximum(masks.codes, NOISE)
    labelings = [
        Labelings(numbered(ids), numbered(row.of_true_k(masks)))
        for row, ids in zip(rows, class_ids, strict=True)
    ]
    *tables, best = semantic.pixel_tables(masks, [*itertools.chain(*labelings), true])
    scored = []
    for done, (row, labels) in enumerate(zip(rows, labelings, strict=True)):
        progress.update(done, row.name)
        pixels = Labelings(*tables[2 * done : 2 * done + 2])
        scored.append(_score_row(masks, row, labels, pixels, protocol))
    seconds = time.perf_counter() - began
    progress.finish(f"{len(rows)} rows, {masks.known.sum()} masks, {duration(seconds)}")
    return ClassScores(
        name=evaluated.name,
        masks=evaluated.kind,
        photos=len(masks.rows_of),
        evaluated=int(masks.known.sum()),
        rare=int((masks.codes == RARE).sum()),
        unmatched=int((masks.codes == UNMATCHED).sum()),
        categories=masks.categories,
        merged=evaluated.merged,
        ceiling=semantic.ceiling(best.sum(axis=0)),
        missing=evaluated.missing,
        rows=tuple(scored),
        seconds=seconds,
    )


def fitted(masks: LabelledMasks, row: Row) -> Int32:
    """Return the classes of all masks, (n,) int32: those of the row, or of a fit to all masks."""
    if row.class_ids is not None:
        return row.class_ids
    return row.fit(masks, np.arange(len(masks))).assign(row.vectors).class_ids


def numbered(class_ids: Int32) -> Int64:
    """Renumber classes as 0 to k - 1 in the order of their ids; noise stays -1."""
    found = np.full(len(class_ids), NOISE, np.int64)
    inside = class_ids != NOISE
    found[inside] = np.unique(class_ids[inside], return_inverse=True)[1]
    return found


def _score_row(
    masks: LabelledMasks, row: Row, labels: Labelings, pixels: Labelings, protocol: ClassProtocol
) -> RowScores:
    known = masks.known
    codes, photos = masks.codes[known], masks.photos[known]
    hits = None
    if len(np.unique(photos)) > 1:
        points, _ = Transform.fit(row.vectors, row.clusters.center).apply(row.vectors)
        hits = neighbour_hits(points[known], codes, photos)
    free, true_k = (
        agreement(codes, each[known], table.sum(axis=0))
        for each, table in zip(labels, pixels, strict=True)
    )
    return RowScores(
        name=row.name,
        fit=row.clusters.of_fit(),
        free=free,
        true_k=true_k,
        neighbours=None if hits is None else float(hits.mean()),
        redrawn=_redrawn(masks, row, protocol),
        intervals=_intervals(codes, labels.free[known], photos, hits, pixels.free, protocol),
    )


def _intervals(
    codes: Int64,
    labels: Int64,
    photos: np.ndarray,
    hits: Bool | None,
    table: Int64,
    protocol: ClassProtocol,
) -> dict[str, Interval]:
    names, group = np.unique(photos, return_inverse=True)
    rows_of = [np.flatnonzero(group == number) for number in range(len(names))]

    def of_masks(statistic: Callable[[Int64], float]) -> Callable[[Int64], float]:
        return lambda drawn: statistic(np.concatenate([rows_of[number] for number in drawn]))

    measures: dict[str, tuple[int, Callable[[Int64], float]]] = {
        "ami": (len(names), of_masks(lambda rows: ami(codes[rows], labels[rows]))),
        "accuracy": (len(names), of_masks(lambda rows: accuracy(codes[rows], labels[rows]))),
        "miou": (len(table), lambda drawn: semantic.mean_iou(table[drawn].sum(axis=0))),
    }
    if hits is not None:
        measures["neighbours"] = (len(names), of_masks(lambda rows: float(hits[rows].mean())))
    found = {name: interval(*measure, protocol) for name, measure in measures.items()}
    return {name: each for name, each in found.items() if each is not None}


def _redrawn(masks: LabelledMasks, row: Row, protocol: ClassProtocol) -> Redrawn | None:
    photos = list(masks.rows_of)
    if len(photos) < 2 or not protocol.draws:
        return None
    scores = []
    for chosen in parts(len(photos), protocol):
        inside = np.isin(masks.photos, np.array(photos)[chosen])
        codebook = row.fit(masks, np.flatnonzero(inside))
        class_ids = codebook.assign(row.vectors).class_ids
        old, new = masks.known & inside, masks.known & ~inside
        if not old.any() or not new.any():
            continue
        scores.append(
            (
                ami(masks.codes[old], class_ids[old]),
                float((class_ids[new] != NOISE).mean()),
                ami(masks.codes[new], class_ids[new]),
                *after_refit(masks, row, codebook, inside),
            )
        )
    if not scores:
        return None
    mean, deviation = np.mean(scores, axis=0).tolist(), np.std(scores, axis=0).tolist()
    return Redrawn(
        ami=mean[0],
        ami_sd=deviation[0],
        new_coverage=mean[1],
        new_ami=mean[2],
        new_ami_sd=deviation[2],
        kept=mean[3],
        named_right=mean[4],
        named_wrong=mean[5],
    )
