"""The cost of a named embedding beside the work it is added to: masks and SAM's embeddings.

Both alternate on the same photos in one process, on the threads given, so background load affects
both alike.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Literal

from samseg.features import EfficientNetLite0Embedding, Embedder
from samseg.lab.benchmark.machine import Machine
from samseg.lab.benchmark.processes import Peak, peak_of
from samseg.lab.benchmark.record import Record
from samseg.lab.benchmark.subject import Subject, photo, segmenter_of
from samseg.lab.benchmark.timing import Seconds, timed
from samseg.masks.containment import parents
from samseg.pooling import pool
from samseg.progress import Progress
from samseg.sam.segmenter import Segmenter
from samseg.spec import Spec
from samseg.types import Masks, Pixels


class PhotoCost(Spec):
    """Medians over the repeats on one photo.

    Attributes:
        photo: its name.
        masks: masks found on it.
        masks_s: seconds for masks and SAM's embeddings.
        encode_s: seconds for the features of the named embedding.
        pool_s: seconds for pooling them under the masks.
    """

    photo: str
    masks: int
    masks_s: float
    encode_s: float
    pool_s: float

    @property
    def share(self) -> float:
        """Seconds of the named embedding over those of the masks."""
        return (self.encode_s + self.pool_s) / self.masks_s


class EmbeddingCost(Record):
    """One run of `embedding`.

    Attributes:
        subject: the model of the masks, with the settings used.
        embedding: the named embedding.
        repeats: runs of each side on each photo.
        photos: medians per photo.
        without: peak memory of a process that makes masks and SAM's embeddings, if requested.
        with_embedding: the same with the named embedding.
    """

    subject: Subject
    embedding: EfficientNetLite0Embedding
    repeats: int
    photos: tuple[PhotoCost, ...]
    without: Peak | None
    with_embedding: Peak | None

    @property
    def share(self) -> float:
        """Seconds of the named embedding over those of the masks, all photos together."""
        added = sum(p.encode_s + p.pool_s for p in self.photos)
        return added / sum(p.masks_s for p in self.photos)


def embedding_cost(
    subject: Subject,
    embedding: EfficientNetLite0Embedding,
    photos: Sequence[Path],
    *,
    repeats: int,
    memory: bool,
    command: str,
    progress: Progress,
) -> EmbeddingCost:
    """Measure the cost of an embedding.

    Args:
        subject: model and settings of the masks.
        embedding: what is added.
        photos: paths of the photos.
        repeats: runs of each side on each photo.
        memory: also measure peak memory on the first photo.
        command: the command that reproduces the figures.
        progress: where progress is shown.
    """
    progress.start("embedding", len(photos) * repeats, "runs")
    segmenter = segmenter_of(subject)
    embedder = Embedder.load(embedding, _device(segmenter))
    _masks(segmenter, photo(photos[0]))  # warm-up
    embedder.network.encode(photo(photos[0]))
    found = []
    for path in photos:
        found.append(_on(path, segmenter, embedder, repeats))
        progress.update(len(found) * repeats, path.name)
    record = EmbeddingCost(
        command=command,
        machine=Machine.here(segmenter.device),
        subject=subject.model_copy(update={"settings": segmenter.settings}),
        embedding=embedding,
        repeats=repeats,
        photos=tuple(found),
        without=peak_of(partial(_work, subject, None, photos[0])) if memory else None,
        with_embedding=peak_of(partial(_work, subject, embedding, photos[0])) if memory else None,
    )
    progress.finish(f"{record.share:.1%} of the time of the masks")
    return record


def _on(path: Path, segmenter: Segmenter, embedder: Embedder, repeats: int) -> PhotoCost:
    pixels = photo(path)
    times: dict[str, list[Seconds]] = {"masks": [], "encode": [], "pool": []}
    masks: Masks
    for _ in range(repeats):
        masks, took = timed(partial(_masks, segmenter, pixels))
        times["masks"].append(took)
        features, took = timed(partial(embedder.network.encode, pixels))
        times["encode"].append(took)
        pooled = partial(embedder.pooling.pool, features, masks)
        _, took = timed(lambda: embedder.network.embed(pooled().embeddings))  # noqa: B023
        times["pool"].append(took)
    seconds = {name: median(t.wall for t in runs) for name, runs in times.items()}
    return PhotoCost(
        photo=path.name,
        masks=len(masks),
        masks_s=seconds["masks"],
        encode_s=seconds["encode"],
        pool_s=seconds["pool"],
    )


def _masks(segmenter: Segmenter, pixels: Pixels) -> Masks:
    """Do what the embed stage does with an image without named embeddings."""
    masks, features = segmenter.segment(pixels)
    pool(features, masks)
    parents(masks)
    return masks


def _work(
    subject: Subject, embedding: EfficientNetLite0Embedding | None, path: Path
) -> Callable[[], object]:
    segmenter, pixels = segmenter_of(subject), photo(path)
    embedder = Embedder.load(embedding, _device(segmenter)) if embedding else None

    def work() -> Any:
        masks = _masks(segmenter, pixels)
        return embedder.embed(pixels, masks) if embedder else masks

    return work


def _device(segmenter: Segmenter) -> Literal["cpu", "cuda"]:
    return "cuda" if segmenter.device.type == "cuda" else "cpu"
