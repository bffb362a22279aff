"""The embed stage without the embed stage: what one worker cannot do without, image after image.

Read, decode, segment, pool, make rows. No engine, no reading ahead and no commit. Several workers
are as many processes with an even share of the shards each.
"""

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.queues import Queue
from queue import Empty

from samseg.engine.protocol import Beat, Outcome, Receipt, Slot
from samseg.errors import WorkersError
from samseg.stages.embed.stage import EmbedSpec
from samseg.types import Shard

_LOOK_S = 1.0
"""How often to see whether every process still lives."""


def run_loops(
    embedding: EmbedSpec, shards: list[Shard], slot: Slot, workers: int
) -> Iterator[Beat | Outcome]:
    """Label images in `workers` fresh processes; write nothing.

    Args:
        embedding: as the stage gets it.
        shards: what to do, as planned.
        slot: what each process gets.
        workers: processes.

    Yields:
        What an engine yields over the embed stage: beats, and one outcome per shard.

    Raises:
        WorkersError: a process ended early; it has written why to standard error.
    """
    fresh = multiprocessing.get_context("spawn")
    events: Queue[Beat | Outcome | None] = fresh.Queue()
    processes = [
        fresh.Process(target=loop, args=(embedding, shards[i::workers], slot, events))
        for i in range(workers)
    ]
    with _omp_threads(slot.threads):
        for process in processes:
            process.start()
    try:
        while workers:
            try:
                event = events.get(timeout=_LOOK_S)
            except Empty:
                if any(process.exitcode for process in processes):
                    raise WorkersError("a bare loop ended early; see its traceback") from None
                continue
            if event is None:
                workers -= 1
            else:
                yield event
    finally:
        for process in processes:
            process.terminate()
            process.join()


def loop(
    embedding: EmbedSpec, shards: list[Shard], slot: Slot, events: "Queue[Beat | Outcome | None]"
) -> None:
    """Label the images of some shards in this process, which must be a fresh one."""
    from samseg.masks.containment import parents
    from samseg.sam.segmenter import Segmenter
    from samseg.stages.embed.prefetch import decode_one
    from samseg.stages.embed.shard_rows import ShardRows
    from samseg.types import Image

    # Linux shares a busy machine out by session (sched(7), autogroup), and Ray's workers have one
    # of their own
    os.setsid()
    segmenter = Segmenter.load(
        embedding.model, embedding.masks, device=slot.device, threads=slot.threads
    )
    for shard in shards:
        rows, statuses = ShardRows(shard), Counter[str]()
        events.put(Beat(shard.id, 0, 0))
        images = embedding.reader.read(shard, embedding.decode.max_bytes)
        for done, encoded in enumerate(images, start=1):
            ready = decode_one(embedding.decode, encoded, 0.0)
            if isinstance(ready.image, Image):
                masks, features = segmenter.segment(ready.image.pixels)
                pooled = embedding.pooling.pool(features, masks)
                rows.add(ready, ready.image, masks, pooled, *parents(masks), 0.0, 0.0)
                statuses["ok" if len(masks) else "no_masks"] += 1
            else:
                statuses[ready.image.status] += 1
            events.put(Beat(shard.id, done, rows.masks))
        events.put(Outcome(shard, Receipt(shard.id, statuses, rows.masks)))
    events.put(None)


@contextmanager
def _omp_threads(threads: int) -> Iterator[None]:
    """Start processes meanwhile with OMP_NUM_THREADS, as Ray starts its actors."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
