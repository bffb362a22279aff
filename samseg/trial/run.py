"""One try: a few images of a lake, labelled in this process; nothing but a page is written."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from samseg.clustering.transform import Transform
from samseg.config import Config
from samseg.errors import ImageError, one_line, redact
from samseg.features import Embedder
from samseg.pooling import sam_grid
from samseg.progress import Progress
from samseg.sam.segmenter import Segmenter
from samseg.sam.thresholds import explain_no_masks
from samseg.sam.weights.registry import identify
from samseg.schema import SAM_COLUMN
from samseg.trial.tried import Tried, TriedImage
from samseg.types import NOISE, Features, Float32, Int32, Masks, Pixels, RawImage, Shard
from samseg.views.crops import data_uri, shrunk
from samseg.views.overlay import overlay

_LONGEST_SIDE = 900


def run_try(
    config: Config, settings: tuple[str, ...], count: int, progress: Progress
) -> tuple[Tried, str | None]:
    """Label a few images.

    Args:
        config: the lake and the settings.
        settings: the overrides, for display.
        count: number of images, spread over the lake.
        progress: shows the progress.

    Returns:
        What was found, and what a person should know about it, if anything.

    Raises:
        LakeError: the lake cannot be listed or contains no images.
        CheckpointError: weights cannot be found, verified or loaded.
        DeviceError: the device is not available.
    """
    progress.start("try", count, "images")
    progress.update(0, "loading the model")
    recommended = identify(config.model).recommended
    segmenter = Segmenter.load(config.model, config.masks)
    embed = _Embedding(config, segmenter.device.type)
    found: list[tuple[TriedImage, Pixels | None, Masks | None]] = []
    vectors: list[Float32] = []
    for raw in _spread(config, count):
        started = time.perf_counter()
        try:
            if not isinstance(raw.payload, bytes):
                raise raw.payload
            pixels = config.decode.decode(raw.payload).pixels
        except ImageError as e:
            found.append((TriedImage(key=raw.key, error=one_line(e)), None, None))
            continue
        masks, features = segmenter.segment(pixels)
        vectors.append(embed(pixels, masks, features))
        seconds = time.perf_counter() - started
        image = TriedImage(key=raw.key, masks=len(masks), seconds=round(seconds, 3))
        found.append((image, pixels, masks))
        progress.update(len(found), f"{sum(i.masks for i, *_ in found)} masks")
    labels = _labels(config, vectors)
    rest = labels
    images = []
    for image, read, found_masks in found:
        if read is not None and found_masks is not None:
            ids, rest = rest[: len(found_masks)], rest[len(found_masks) :]
            drawn = overlay(read, found_masks.rles, found_masks.areas.tolist(), ids.tolist())
            picture = data_uri(shrunk(drawn, _LONGEST_SIDE))
            image = image.model_copy(update={"picture": picture})
        images.append(image)
    tried = Tried(
        lake=redact(config.reader.uri),
        settings=settings,
        classes=int(labels.max(initial=NOISE)) + 1,
        noise=int((labels == NOISE).sum()),
        images=tuple(images),
    )
    progress.finish(f"{len(images)} images labelled")
    labelled = sum(read is not None for _, read, _ in found)
    if tried.masks or not labelled:
        return tried, None
    why = explain_no_masks(config.model.checkpoint, segmenter.settings, recommended)
    return tried, f"None of {labelled} images has a mask: {why}."


class _Embedding:
    """The embedding that classes are fitted to, of one image's masks."""

    def __init__(self, config: Config, device: Any):
        named = {e.name: e for e in config.embeddings}
        chosen = config.cluster.embedding
        if "embedding" not in config.cluster.model_fields_set:
            chosen = next(iter(named), SAM_COLUMN)
        self._pooling = config.pooling
        self._embedder = Embedder.load(named[chosen], device) if chosen in named else None

    def __call__(self, pixels: Pixels, masks: Masks, features: Any) -> Float32:
        if self._embedder is not None:
            return self._embedder.embed(pixels, masks).vectors
        return self._pooling.pool(Features(features, sam_grid(masks.size)), masks).embeddings


def _labels(config: Config, vectors: list[Float32]) -> Int32:
    """Return the class of every mask; classes of a few images, not those of the lake."""
    stacked = np.concatenate(vectors) if vectors else np.zeros((0, 1), np.float32)
    if not len(stacked):
        return np.zeros(0, np.int32)
    points, _ = Transform.fit(stacked, config.cluster.center).apply(stacked)
    return config.cluster.strategy.fit(points).labels.astype(np.int32)


def _spread(config: Config, count: int) -> Iterator[RawImage]:
    """Yield a few images: of loose files from the whole lake, of tars the first ones."""
    reader = config.reader
    shards = reader.plan({}).shards
    if reader.images_per_source != 1:
        images = (raw for shard in shards for raw in reader.read(shard, config.decode.max_bytes))
        yield from islice(images, count)
        return
    sources = [source for shard in shards for source in shard.sources]
    count = min(count, len(sources))
    chosen = [sources[(2 * i + 1) * len(sources) // (2 * count)] for i in range(count)]
    yield from reader.read(Shard.of(chosen, count), config.decode.max_bytes)
