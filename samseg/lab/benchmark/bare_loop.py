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

from samseg.engine.protocol import Heartbeat, Result, Slot, Task
from samseg.errors import WorkersError
from samseg.stages.embed.stage import EmbedEvent, EmbedSpec
from samseg.types import Shard

_LOOK_S = 1.0
"""How often to see whether every process still lives."""


def run_loops(
    spec: EmbedSpec, shards: list[Shard], slot: Slot, workers: int
) -> Iterator[EmbedEvent]:
    """Label images in `workers` fresh processes; write nothing.

    Args:
        spec: as the stage gets it.
        shards: what to do, as planned.
        slot: what each process gets.
        workers: processes.

    Yields:
        What an engine yields over the embed stage: heartbeats, and one result per shard.

    Raises:
        WorkersError: a process ended early; it has written why to standard error.
    """
    fresh = multiprocessing.get_context("spawn")
    events: Queue[EmbedEvent | None] = fresh.Queue()
    processes = [
        fresh.Process(target=loop, args=(spec, shards[i::workers], slot, events))
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
    spec: EmbedSpec, shards: list[Shard], slot: Slot, events: "Queue[EmbedEvent | None]"
) -> None:
    """Label the images of some shards in this process, which must be a fresh one."""
    from samseg.masks.containment import parents
    from samseg.sam.segmenter import Segmenter
    from samseg.stages.embed.prefetch import decode_one
    from samseg.stages.embed.shard_rows import ShardResult, ShardRows
    from samseg.types import Image

    # Linux shares a busy machine out by session (sched(7), autogroup), and Ray's workers have one
    # of their own
    os.setsid()
    segmenter = Segmenter.load(spec.model, spec.masks, device=slot.device, threads=slot.threads)
    for shard in shards:
        rows, statuses = ShardRows(shard), Counter[str]()
        events.put(Heartbeat(shard.id, 0, {"masks": 0}))
        images = spec.reader.read(shard, spec.decode.max_bytes)
        for done, raw in enumerate(images, start=1):
            decoded = decode_one(spec.decode, raw, 0.0)
            if isinstance(decoded.image, Image):
                masks, features = segmenter.segment(decoded.image.pixels)
                pooled = spec.pooling.pool(features, masks)
                rows.add(decoded, decoded.image, masks, pooled, *parents(masks), 0.0, 0.0)
                statuses["ok" if len(masks) else "no_masks"] += 1
            else:
                statuses[decoded.image.status] += 1
            events.put(Heartbeat(shard.id, done, {"masks": rows.masks}))
        events.put(Result(Task(shard.id, shard), ShardResult(statuses, rows.masks, {})))
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
