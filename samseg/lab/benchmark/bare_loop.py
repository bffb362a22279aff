"""The bare loop: the work of the embed stage without its engine, prefetching and commits.

Each image is read, decoded, segmented and pooled into rows, one after another. Several workers are
separate processes, each with an equal share of the shards.
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
from samseg.pooling import sam_grid
from samseg.stages.embed.stage import EmbedEvent, EmbedSpec
from samseg.types import Features, Shard

_POLL_S = 1.0
"""Interval of checking that every process is alive."""


def run_loops(
    spec: EmbedSpec, shards: list[Shard], slot: Slot, workers: int
) -> Iterator[EmbedEvent]:
    """Label images in `workers` new processes, without writing results.

    Args:
        spec: the spec of the embed stage.
        shards: the planned shards.
        slot: device and threads of each process.
        workers: number of processes.

    Yields:
        The events of an engine running the embed stage: heartbeats, and one result per shard.

    Raises:
        WorkersError: a process failed; its traceback is on standard error.
    """
    context = multiprocessing.get_context("spawn")
    events: Queue[EmbedEvent | None] = context.Queue()
    processes = [
        context.Process(target=loop, args=(spec, shards[i::workers], slot, events))
        for i in range(workers)
    ]
    with _omp_threads(slot.threads):
        for process in processes:
            process.start()
    try:
        while workers:
            try:
                event = events.get(timeout=_POLL_S)
            except Empty:
                if any(process.exitcode for process in processes):
                    raise WorkersError(
                        "a process of the bare loop failed; see its traceback above"
                    ) from None
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
    """Label the images of some shards in this process, which must be a new one."""
    from samseg.masks.containment import parents
    from samseg.sam.segmenter import Segmenter
    from samseg.stages.embed.prefetch import decode_one
    from samseg.stages.embed.shard_rows import ShardResult, ShardRows
    from samseg.types import Image

    # Linux schedules CPU time per session (autogroup, sched(7)), and each of Ray's workers has a
    # session of its own
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
                pooled = spec.pooling.pool(Features(features, sam_grid(masks.size)), masks)
                rows.add(decoded, decoded.image, masks, pooled, *parents(masks), 0.0, 0.0)
                statuses["ok" if len(masks) else "no_masks"] += 1
            else:
                statuses[decoded.image.status] += 1
            events.put(Heartbeat(shard.id, done, {"masks": rows.masks}))
        events.put(Result(Task(shard.id, shard), ShardResult(statuses, rows.masks, {})))
    events.put(None)


@contextmanager
def _omp_threads(threads: int) -> Iterator[None]:
    """Set OMP_NUM_THREADS for processes started in this context, as Ray does for actors."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
