"""Scores of examples on a labelled set: average precision, and the rule of classes by example."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samseg.clustering.codebook import Codebook
from samseg.clustering.settings import ClusterSettings
from samseg.clustering.transform import unit
from samseg.errors import ConfigError
from samseg.features import Embedder, NamedEmbedding
from samseg.lab.evaluation.classes.labelled_masks import LabelledMasks
from samseg.lab.evaluation.classes.oracle import true_masks
from samseg.lab.evaluation.classes.record import ClassProtocol
from samseg.lab.evaluation.classes.rows import fit_codebook
from samseg.lab.evaluation.examples.draws import CategoryDraw, category_draws
from samseg.lab.evaluation.examples.ranking import RANKINGS, ExamplePoints
from samseg.lab.evaluation.examples.record import (
    COUNTS,
    CountScores,
    ExampleEvaluation,
    ExampleProtocol,
    ExampleScores,
    MeanOverDraws,
    MembershipScores,
)
from samseg.lab.labelled import LabelledSet
from samseg.masks.painting import dense
from samseg.progress import Progress
from samseg.stages.edits.example_region import region_of
from samseg.types import Bool, Float32, Int64

Values = dict[str, list[tuple[int, tuple[float, ...]]]]
"""Name of a measure -> (draw, values) of every category."""

ACCEPTED = "random examples"
WITH_REJECTED = "random examples, and as many rejected"
LISTED = "the first example, and masks accepted and rejected in its list"


def evaluate_examples(
    sets: Sequence[Path],
    embedding: NamedEmbedding,
    protocol: ExampleProtocol,
    progress: Progress,
) -> ExampleEvaluation:
    """Measure how well examples of a category find its other masks.

    Args:
        sets: folders of labelled sets.
        embedding: of the true segments.
        protocol: what is evaluated.
        progress: shows the progress.

    Raises:
        ConfigError: a set has no category with enough masks.
        CheckpointError: weights cannot be found, verified or loaded.
    """
    embedder = Embedder.load(embedding, "cpu")
    scores = []
    for folder in sets:
        labelled = LabelledSet(folder)
        masks = true_masks(labelled, _of_segments(protocol), progress)
        vectors = _embedded(labelled, masks, embedder, progress)
        scores.append(score_examples(labelled.name, embedding.name, masks, vectors, protocol))
    return ExampleEvaluation(protocol=protocol, sets=tuple(scores))


def score_examples(
    name: str,
    embedding: str,
    masks: LabelledMasks,
    vectors: Float32,
    protocol: ExampleProtocol,
) -> ExampleScores:
    """Score the examples of one set.

    Args:
        name: of the set.
        embedding: name of the embedding.
        masks: n true segments.
        vectors: (n, d) float32, their raw embeddings.
        protocol: what is evaluated.

    Raises:
        ConfigError: no category has enough masks.
    """
    codebook = fit_codebook(masks, np.arange(len(masks)), vectors, ClusterSettings())
    found = list(category_draws(masks.codes, masks.photos, protocol))
    if not found:
        raise ConfigError(
            f"{name}: no category has {max(COUNTS)} masks in one half of the photos and "
            f"{protocol.least} in the other; use more photos"
        )
    counts = tuple(_of_count(codebook, vectors, found, count) for count in COUNTS)
    return ExampleScores(
        name=name,
        embedding=embedding,
        photos=len(masks.rows_of),
        masks=len(masks),
        categories=len(found) / len({draw.draw for draw in found}),
        chance=float(np.mean([draw.truth.mean() for draw in found])),
        counts=counts,
    )


def _of_count(
    codebook: Codebook, vectors: Float32, draws: Sequence[CategoryDraw], count: int
) -> CountScores:
    raw, _ = unit(vectors)
    points, _ = codebook.transform.apply(vectors)
    ranked: Values = defaultdict(list)
    members: Values = defaultdict(list)
    for draw in draws:
        accepted = draw.examples[:count]
        rejected = _rejected(points, accepted, draw.others)
        background = np.setdiff1d(draw.background, accepted)
        of = ExamplePoints(
            *(raw[rows].astype(np.float64) for rows in (accepted, draw.ranked)),
            *(
                points[rows].astype(np.float64)
                for rows in (accepted, rejected, background, draw.ranked)
            ),
        )
        for name, ranking in RANKINGS.items():
            ranked[name].append((draw.draw, (average_precision(draw.truth, ranking(of)),)))
        chosen = {
            ACCEPTED: (accepted, rejected[:0]),
            WITH_REJECTED: (accepted, rejected),
            LISTED: _listed(points, draw, count),
        }
        for name, (yes, no) in chosen.items():
            region = region_of(codebook, vectors[yes], vectors[no])
            if region is not None:
                inside = region.takes(points[draw.ranked])
                members[name].append((draw.draw, _agreement(inside, draw.truth)))
    return CountScores(
        accepted=count,
        precision_of={name: _over_draws(values)[0] for name, values in ranked.items()},
        members={
            name: MembershipScores(
                **dict(zip(("precision", "recall", "f1"), _over_draws(values), strict=True))
            )
            for name, values in members.items()
        },
    )


def _rejected(points: Float32, accepted: Int64, others: Int64) -> Int64:
    """Return the masks of other categories that are nearest to the mean: those a person rejects."""
    similarity = points[others] @ points[accepted].mean(axis=0)
    return others[np.argsort(-similarity, kind="stable")[: len(accepted)]]


def _listed(points: Float32, draw: CategoryDraw, count: int) -> tuple[Int64, Int64]:
    """Return masks accepted and rejected by who reads the list of the first example from the top.

    It ends with the `count`-th accepted one; at most as many are rejected.
    """
    first, rest = draw.examples[:1], draw.examples[1:]
    listed = np.concatenate([rest, draw.others])
    order = np.argsort(-(points[listed] @ points[first[0]]), kind="stable")
    right = order < len(rest)
    read = order[right.cumsum() < count - 1] if count > 1 else order[:0]
    yes = listed[order[right][: count - 1]]
    no = listed[read[read >= len(rest)]][:count]
    return np.concatenate([first, yes]), no


def average_precision(truth: Bool, scores: NDArray[np.float64]) -> float:
    """Return the mean over the true masks of the precision at their rank.

    Args:
        truth: (n,) bool, at least one true.
        scores: (n,), the best first.
    """
    hits = truth[np.argsort(-scores, kind="stable")]
    precision = hits.cumsum() / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean())


def _agreement(inside: Bool, truth: Bool) -> tuple[float, float, float]:
    """Return precision, recall and F1."""
    both, found, wanted = (int(mask.sum()) for mask in (inside & truth, inside, truth))
    return both / found if found else 1.0, both / wanted, 2 * both / (found + wanted)


def _over_draws(values: Sequence[tuple[int, tuple[float, ...]]]) -> tuple[MeanOverDraws, ...]:
    draws = np.array([draw for draw, _ in values])
    table = np.array([of for _, of in values])
    means = np.array([table[draws == draw].mean(axis=0) for draw in np.unique(draws)])
    pairs = zip(means.mean(axis=0).tolist(), means.std(axis=0).tolist(), strict=True)
    return tuple(MeanOverDraws(mean=mean, sd=sd) for mean, sd in pairs)


def _embedded(
    labelled: LabelledSet, masks: LabelledMasks, embedder: Embedder, progress: Progress
) -> Float32:
    vectors = np.zeros((len(masks), embedder.network.dimension), np.float32)
    progress.start(f"{labelled.name}, embedding", len(masks.rows_of), "photos")
    for done, (photo, rows) in enumerate(masks.rows_of.items()):
        progress.update(done)
        shapes = np.array([dense(masks.rles[row]) for row in rows])
        vectors[rows] = embedder.embed(labelled.read(photo).pixels, shapes).vectors
    progress.finish(f"{len(masks)} masks")
    return vectors


def _of_segments(protocol: ExampleProtocol) -> ClassProtocol:
    """Return the same choice of true segments, as the evaluation of classes takes it."""
    shared = ExampleProtocol.model_fields.keys() & ClassProtocol.model_fields.keys() - {"draws"}
    return ClassProtocol.model_validate({name: getattr(protocol, name) for name in shared})
