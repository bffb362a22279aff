"""Evaluation of checkpoints on labelled sets, with the same photos and prompts for each."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from samseg.errors import ConfigError
from samseg.lab.evaluation.masks.automatic import AutomaticScores, Hits
from samseg.lab.evaluation.masks.calibration import Calibration
from samseg.lab.evaluation.masks.clicks import ClickScores, Float64, boxes, corrected, one_click
from samseg.lab.evaluation.masks.encoding import LastFeatures, encode_seconds
from samseg.lab.evaluation.masks.groups import SegmentScores
from samseg.lab.evaluation.masks.record import Evaluation, ModelScores, Protocol, SetScores
from samseg.lab.evaluation.masks.structure import Structure
from samseg.lab.evaluation.masks.truth import MIN_AREA, Truth
from samseg.lab.labelled import LabelledPhoto, LabelledSet
from samseg.pooling import pool
from samseg.progress import Progress, duration
from samseg.sam.network.encoder import ImageEncoder
from samseg.sam.segmenter import Segmenter
from samseg.sam.settings import MaskSettings, ModelSpec
from samseg.sam.weights.registry import resolve
from samseg.types import Float32


def evaluate(
    sets: Sequence[LabelledSet], models: Sequence[str], protocol: Protocol, progress: Progress
) -> Evaluation:
    """Evaluate every checkpoint on every set.

    Args:
        sets: the labelled photo sets.
        models: checkpoints: names, paths or URLs.
        protocol: choice of photos, segments and prompts.
        progress: where progress is shown.

    Raises:
        CheckpointError: a checkpoint is not available; raised before any is evaluated.
        ConfigError: a file of a set is invalid, or no segment of a set is large enough.
    """
    for model in models:
        resolve(model)
    return Evaluation(
        protocol=protocol,
        models=tuple(_evaluate(sets, model, protocol, progress) for model in models),
    )


def _evaluate(
    sets: Sequence[LabelledSet], model: str, protocol: Protocol, progress: Progress
) -> ModelScores:
    settings = MaskSettings(points_per_side=protocol.points_per_side)
    segmenter = Segmenter.load(ModelSpec(checkpoint=model), settings)
    encoder = segmenter.runtime.encoder
    seconds = encode_seconds(encoder)
    cached = ImageEncoder(segmenter.model, LastFeatures(encoder))
    segmenter.runtime = replace(segmenter.runtime, encoder=cached)
    return ModelScores(
        model=model,
        sha256=segmenter.weights_sha256,
        device=str(segmenter.device),
        threads=torch.get_num_threads(),
        encode_seconds=seconds,
        sets=tuple(_evaluate_set(segmenter, model, s, protocol, progress) for s in sets),
    )


def _evaluate_set(
    segmenter: Segmenter, model: str, labelled: LabelledSet, protocol: Protocol, progress: Progress
) -> SetScores:
    began = time.perf_counter()
    stems = labelled.chosen(protocol.held_out, protocol.photos)
    progress.start(f"{labelled.name}, {model}", len(stems), "photos")
    scored: list[_PhotoScores] = []
    for i, stem in enumerate(stems):
        automatic = i < protocol.automatic_photos
        scored.append(_score(segmenter, labelled.read(stem), protocol, automatic))
        progress.update(i + 1)
    prompted = sum(len(s.box) for s in scored)
    if not prompted:
        raise ConfigError(
            f"no segment of the {len(stems)} photos of {labelled.folder} covers more than "
            f"{MIN_AREA:.1%} of its photo, so there is nothing to evaluate"
        )
    true = np.concatenate([s.one_click.true_iou for s in scored])
    predicted = np.concatenate([s.one_click.predicted_iou for s in scored])
    groups = SegmentScores(
        photos=np.repeat(np.arange(len(scored)), [len(s.box) for s in scored]),
        areas=np.concatenate([s.areas for s in scored]),
        things=np.concatenate([s.things for s in scored]),
        true_iou=true,
        predicted_iou=predicted,
        stability=np.concatenate([s.one_click.stability for s in scored]),
        boundary=np.concatenate([s.one_click.boundary for s in scored]),
    ).groups(protocol.seed)
    scores = SetScores(
        name=labelled.name,
        photos=len(stems),
        segments=prompted,
        best=float(true.max(axis=1).mean()),
        preferred=groups[0].preferred.value,
        clicks=tuple(np.concatenate([s.clicks for s in scored], axis=1).mean(axis=1).tolist()),
        box=float(np.concatenate([s.box for s in scored]).mean()),
        groups=groups,
        calibration=Calibration.of(predicted.ravel(), true.ravel()),
        automatic=AutomaticScores.of([s.hits for s in scored if s.hits is not None]),
        structure=Structure.of(
            np.concatenate([s.embeddings for s in scored]),
            [category for s in scored for category in s.categories],
            [s.stem for s in scored for _ in s.categories],
        ),
        seconds=time.perf_counter() - began,
    )
    progress.finish(f"best {scores.best:.3f}, {prompted} segments, {duration(scores.seconds)}")
    return scores


@dataclass(frozen=True, slots=True, eq=False)
class _PhotoScores:
    """Measurements on one photo; see `SetScores`."""

    stem: str
    one_click: ClickScores
    clicks: Float64
    box: Float64
    areas: Float64
    things: Float64
    hits: Hits | None
    embeddings: Float32
    categories: list[int | str]


def _score(
    segmenter: Segmenter, photo: LabelledPhoto, protocol: Protocol, automatic: bool
) -> _PhotoScores:
    truth = Truth.choose(photo, protocol.segments, protocol.seed)
    clicked = one_click(segmenter, photo.pixels, truth)
    labelled = [i for i in photo.segments(MIN_AREA) if i in photo.categories]
    embeddings = [pool(clicked.features, photo.mask(i)[None]) for i in labelled]
    return _PhotoScores(
        stem=photo.stem,
        one_click=clicked,
        clicks=corrected(segmenter, photo.pixels, truth),
        box=boxes(segmenter, photo.pixels, truth),
        areas=truth.masks.mean(axis=(1, 2)),
        things=np.array([photo.things.get(i, np.nan) for i in truth.ids], dtype=np.float64),
        hits=Hits.of(segmenter.segment(photo.pixels).masks, photo) if automatic else None,
        embeddings=np.concatenate([np.zeros((0, len(clicked.features)), np.float32), *embeddings]),
        categories=[photo.categories[i] for i in labelled],
    )
