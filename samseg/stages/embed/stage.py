"""The embed stage: segments images, pools embeddings, commits shard by shard.

`EmbedWork` labels one shard in a worker: read, decode, segment, pool SAM's and the named networks'
features, then create-only PUTs: the masks part, named embeddings, and the images part, which is the
commit. Named embeddings are of the masks that are stored, also where another attempt stored them.
Pixels, features and embeddings leave the worker only for storage. `embed` runs it on an engine.
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samseg.engine.protocol import Attempt, Engine, Heartbeat, Result, Slot, Task, Workers
from samseg.errors import ImageError, OutageError
from samseg.features import Embedder, NamedEmbedding
from samseg.output import Output
from samseg.pooling import Pooling, sam_grid
from samseg.readers import Reader
from samseg.readers.decode import DecodePolicy
from samseg.sam.settings import MaskSettings, ModelSpec
from samseg.stages.embed.prefetch import DecodedImage
from samseg.stages.embed.remaining import RemainingReader
from samseg.stages.embed.shard_images import ShardImages
from samseg.stages.embed.shard_rows import ShardResult, ShardRows
from samseg.stages.embed.stored_masks import StoredMasks, embed_stored
from samseg.stages.embed.totals import EmbedTotals
from samseg.superseded import Replanned
from samseg.types import Features, Image, Shard

EmbedEvent = Workers | Heartbeat | Result[Shard, ShardResult]
"""What an engine yields during this stage; the heartbeats count `masks`."""


@dataclass(frozen=True, slots=True)
class EmbedSpec:
    """All settings of the embed stage; picklable, because workers receive it.

    Attributes:
        output: URI of the output folder.
        reader: reads the images.
        decode: decodes them.
        model: the checkpoint.
        masks: mask settings with the checkpoint's defaults filled in.
        pooling: pools SAM's features under masks into the embeddings of `masks`.
        embeddings: the named embeddings, made in the same pass.
        recipe: the folder's recipe.
    """

    output: str
    reader: Reader
    decode: DecodePolicy
    model: ModelSpec
    masks: MaskSettings
    pooling: Pooling
    embeddings: tuple[NamedEmbedding, ...] = ()
    recipe: Mapping[str, Any] | None = None

    def build(self, slot: Slot) -> "EmbedWork":
        """Load the model in the worker."""
        return EmbedWork(self, slot)


@dataclass(frozen=True, slots=True)
class Pending:
    """Planned shards that are neither committed nor given up.

    Attributes:
        done: ids of the other shards.
        shards: number of pending shards.
        images: images in them, None if unknown before reading.
    """

    done: frozenset[str]
    shards: int
    images: int | None

    def read(self, output: Output) -> Iterator[Shard]:
        """Yield the pending shards in planning order, one plan in memory at a time."""
        return (shard for shard in output.planned() if shard.id not in self.done)


def pending(output: Output, retry_quarantined: bool = False) -> Pending:
    """Find the pending shards: all plans minus one LIST of `images/`."""
    done = output.committed() | Replanned(output).duplicates
    if not retry_quarantined:
        done |= output.quarantined()
    done_ids = pa.array(sorted(done), pa.string())
    shards, images, unknown = 0, 0, False
    for n in output.plan_numbers():
        plan = output.plan(n, ["shard_id", "images"])
        rest = plan.filter(pc.invert(pc.is_in(plan["shard_id"], done_ids)))
        shards += len(pc.unique(rest["shard_id"]))
        images += pc.sum(rest["images"]).as_py() or 0
        unknown |= rest["images"].null_count > 0
    return Pending(frozenset(done), shards, None if unknown else images)


def embed(
    output: Output,
    spec: EmbedSpec,
    shards: Iterable[Shard],
    engine: Engine,
    on_event: Callable[[EmbedEvent], None] = lambda event: None,
) -> EmbedTotals:
    """Label `shards` on `engine`; shards given up are recorded in the quarantine.

    Raises:
        WorkersError: workers cannot start.
        DeviceError: the requested device is missing.
        CheckpointError: the weights cannot be loaded.
    """
    totals = EmbedTotals()
    started = time.perf_counter()
    tasks = (Task(shard.id, shard) for shard in shards)
    for event in engine.map(spec.build, tasks, spec.model.device):
        if isinstance(event, Result):
            if event.value is None:
                output.quarantine(event.task.payload, event.failures)
                totals.give_up(event.task.payload, event.failures)
            else:
                totals.add(event.value)
        on_event(event)
    totals.wall_s = time.perf_counter() - started
    return totals


class EmbedWork:
    """The work of one worker: holds the models on their device and reads ahead."""

    def __init__(self, spec: EmbedSpec, slot: Slot):
        """Load the models; runs once per worker."""
        from samseg.sam.segmenter import Segmenter

        self._spec = spec
        self._output = Output(spec.output)
        self._segmenter = Segmenter.load(
            spec.model, spec.masks, device=slot.device, threads=slot.threads
        )
        if slot.device == "cuda":
            self._segmenter.warm_up()
        self._embedders = [Embedder.load(e, slot.device) for e in spec.embeddings]
        reader = RemainingReader(spec.reader, self._output)
        self._images = ShardImages(reader, spec.decode, slot)

    def __call__(
        self, task: Task[Shard], attempt: Attempt[Shard]
    ) -> Generator[Heartbeat, None, ShardResult]:
        """Label one shard; yields a heartbeat before each image."""
        shard = task.payload
        dimensions = {e.name: e.network.dimension for e in self._embedders}
        rows = ShardRows(shard, dimensions, self._spec.recipe)
        upcoming, done = attempt.upcoming_item(0), 0
        yield Heartbeat(task.id, upcoming, {"masks": rows.masks})
        for index, decode in self._images.read(shard, attempt):
            if index != upcoming:
                yield Heartbeat(task.id, index, {"masks": rows.masks})
            self._label(decode(), rows)
            upcoming, done = attempt.upcoming_item(index + 1), done + 1
            yield Heartbeat(task.id, upcoming, {"masks": rows.masks})
        yield Heartbeat(task.id, None, {"masks": rows.masks, "images": done})
        others = rows.put_masks(self._output)
        if others is None or not self._embedders:
            return rows.commit(self._output)
        images = self._images.one_by_one(shard, attempt)
        named = yield from embed_stored(
            task.id, self._embedders, StoredMasks.of(others), images, {}, attempt
        )
        return rows.commit(self._output, named)

    def close(self) -> None:
        """End the threads that read ahead."""
        self._images.close()

    def _label(self, decoded: DecodedImage, rows: ShardRows) -> None:
        """Segment and pool one image, or record its failure."""
        image = decoded.image
        if isinstance(image, ImageError):
            rows.add_failure(decoded, image)
            return
        try:
            self._segment(decoded, image, rows)
        except RuntimeError as error:
            rows.add_failure(decoded, self._without_memory(error))

    def _without_memory(self, error: RuntimeError) -> ImageError:
        """Return the failure of an image that the GPU has no memory for.

        Raises:
            OutageError: it has none for a blank image either.
            RuntimeError: `error`, if it is another one.
        """
        import torch

        if not isinstance(error, torch.OutOfMemoryError):
            raise error
        try:
            torch.cuda.empty_cache()
            self._segmenter.warm_up()
        except torch.OutOfMemoryError as again:
            raise OutageError(
                "the GPU has no memory for a blank image; end other processes that use it"
            ) from again
        return ImageError(
            "crashed", "the GPU has no memory for this image, even for one prompt at a time"
        )

    def _segment(self, decoded: DecodedImage, image: Image, rows: ShardRows) -> None:
        from samseg.masks.containment import parents

        started = time.perf_counter()
        masks, features = self._segmenter.segment(image.pixels)
        segmented = time.perf_counter()
        if not np.isfinite(features).all():
            error = ImageError("nonfinite", "the image encoder returned NaN or infinite features")
            rows.add_failure(decoded, error)
            return
        pooled = self._spec.pooling.pool(Features(features, sam_grid(masks.size)), masks)
        parent, depth = parents(masks)
        named = [e.embed(image.pixels, masks) for e in self._embedders]
        pooled_at = time.perf_counter()
        rows.add(
            decoded,
            image,
            masks,
            pooled,
            parent,
            depth,
            segmented - started,
            pooled_at - segmented,
            named,
        )
