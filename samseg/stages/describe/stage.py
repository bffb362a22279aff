"""The describe stage: embeds the masks of committed shards anew, without running SAM.

Images are read again, masks come from the tables. An image that is no longer there, or has other
bytes than its masks were made from, has rows without a vector. An outage writes nothing, and the
shard is tried again.
"""

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from samseg.engine.protocol import Attempt, Device, Engine, Heartbeat, Result, Slot, Task, Workers
from samseg.features import Embedder, NamedEmbedding
from samseg.output import Output
from samseg.readers import Reader
from samseg.readers.decode import DecodePolicy
from samseg.stages.embed.shard_images import ShardImages
from samseg.stages.embed.stored_masks import StoredMasks, embed_stored
from samseg.types import Shard


@dataclass(frozen=True, slots=True)
class DescribeResult:
    """What a worker returns for a finished shard.

    Attributes:
        images: images read.
        masks: masks in the shard.
        statuses: number of rows per status, all embeddings together.
    """

    images: int
    masks: int
    statuses: Mapping[str, int]

    @property
    def failed(self) -> int:
        """Rows without a vector."""
        return sum(n for status, n in self.statuses.items() if status != "ok")


DescribeEvent = Workers | Heartbeat | Result[Shard, DescribeResult]
"""What an engine yields during this stage; the heartbeats count `masks`."""


@dataclass(frozen=True, slots=True)
class DescribeSpec:
    """All settings of the stage; picklable, because workers receive it.

    Attributes:
        output: URI of the output folder.
        reader: reads the images.
        decode: decodes them, as for the masks.
        embeddings: the embeddings to make.
    """

    output: str
    reader: Reader
    decode: DecodePolicy
    embeddings: tuple[NamedEmbedding, ...]

    def build(self, slot: Slot) -> "DescribeWork":
        """Load the networks in the worker."""
        return DescribeWork(self, slot)


@dataclass(slots=True)
class DescribeTotals:
    """Totals of one run of the stage.

    Attributes:
        shards: shards finished in this run.
        given_up: shards that could not be read; they have no part and are tried again next time.
        images: images read.
        statuses: rows per status, all embeddings together.
        wall_s: wall seconds.
    """

    shards: int = 0
    given_up: int = 0
    images: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    wall_s: float = 0.0

    def counts(self) -> dict[str, Any]:
        """Return the totals as JSON values."""
        return {
            "shards": self.shards,
            "given_up": self.given_up,
            "images": self.images,
            "statuses": dict(self.statuses),
        }

    def __str__(self) -> str:
        rows = sum(self.statuses.values())
        text = f"{self.shards} shards, {rows} embeddings"
        if lost := rows - self.statuses["ok"]:
            statuses = (f"{n} {s}" for s, n in sorted(self.statuses.items()) if s != "ok")
            text += f", {lost} of them without a vector ({', '.join(statuses)})"
        return text + (f", {self.given_up} shards could not be read" if self.given_up else "")


def undescribed(output: Output, names: tuple[str, ...]) -> set[str]:
    """Return the committed shards that lack one of these embeddings."""
    committed = output.committed()
    return set().union(*(committed - output.embedded(name) for name in names))


def describe(
    output: Output,
    spec: DescribeSpec,
    engine: Engine,
    device: Device,
    on_event: Callable[[DescribeEvent], None] = lambda event: None,
) -> DescribeTotals:
    """Add embeddings to all committed shards that lack them, on `engine`.

    Raises:
        WorkersError: workers cannot start.
        DeviceError: the device asked for is missing.
        CheckpointError: weights cannot be loaded.
    """
    totals = DescribeTotals()
    started = time.perf_counter()
    todo = undescribed(output, tuple(e.name for e in spec.embeddings))
    for event in engine.map(spec.build, _tasks(output, todo), device):
        if isinstance(event, Result):
            if event.value is None:
                totals.given_up += 1
            else:
                totals.shards += 1
                totals.images += event.value.images
                totals.statuses.update(event.value.statuses)
        on_event(event)
    totals.wall_s = time.perf_counter() - started
    return totals


def _tasks(output: Output, todo: set[str]) -> Iterator[Task[Shard]]:
    """Yield the shards in planning order, a shard that was planned twice once."""
    left = set(todo)
    for shard in output.planned():
        if shard.id in left:
            left.remove(shard.id)
            yield Task(shard.id, shard)


class DescribeWork:
    """The work of one worker: holds the networks and reads ahead."""

    def __init__(self, spec: DescribeSpec, slot: Slot):
        """Load the networks; runs once per worker."""
        import torch

        torch.set_num_threads(slot.threads)
        self._output = Output(spec.output)
        self._embedders = [Embedder.load(e, slot.device) for e in spec.embeddings]
        self._images = ShardImages(spec.reader, spec.decode, slot)

    def close(self) -> None:
        """End the threads that read ahead."""
        self._images.close()

    def __call__(
        self, task: Task[Shard], attempt: Attempt[Shard]
    ) -> Generator[Heartbeat, None, DescribeResult]:
        """Embed the masks of one shard; yields a heartbeat before each image."""
        shard, output = task.payload, self._output
        lacking = [
            e
            for e in self._embedders
            if not output.storage.exists(output.embeddings_key(e.name, shard.id))
        ]
        images = output.read(output.images_key(shard.id), ["image_id", "sha256"])
        sha256 = dict(zip(*(images[c].to_pylist() for c in images.column_names), strict=True))
        stored = StoredMasks.read(output, shard.id)
        named = yield from embed_stored(
            task.id, lacking, stored, self._images.read(shard, attempt), sha256, attempt
        )
        statuses: Counter[str] = Counter()
        for rows in named:
            rows.put(output, shard.id)
            statuses.update(rows.statuses)
        return DescribeResult(images.num_rows, stored.count, dict(statuses))
