"""Comparison of the embed stage on Ray with a bare loop of the same segmenter.

Both label the same shards alternately, with the same threads per worker. Compared is the
throughput while all workers are warm and busy (`throughput`), which excludes starting Ray and
processes, loading models, and the end, when some workers are idle.
"""

import os
from collections.abc import Sequence
from itertools import count
from tempfile import TemporaryDirectory

from pydantic import PositiveInt

from samseg.engine import RayPool
from samseg.engine.protocol import Heartbeat, Slot
from samseg.errors import ConfigError
from samseg.lab.benchmark.bare_loop import run_loops
from samseg.lab.benchmark.machine import Machine
from samseg.lab.benchmark.record import Record
from samseg.lab.benchmark.throughput import ProgressLog, Throughput
from samseg.lab.benchmark.timing import Ratio
from samseg.output import Output
from samseg.pooling import Coverage
from samseg.progress import Progress
from samseg.readers import Folder
from samseg.readers.decode import DecodePolicy
from samseg.sam.settings import MaskSettings, ModelSpec
from samseg.sam.weights.load import resolve_device
from samseg.sam.weights.registry import identify
from samseg.spec import Spec
from samseg.stages.embed.stage import EmbedEvent, EmbedSpec, embed
from samseg.types import Shard


class Lake(Spec):
    """The photos to label.

    Attributes:
        folder: folder of photos.
        images: maximum number of photos; whole shards only.
        images_per_shard: photos in one shard.
    """

    folder: str
    images: PositiveInt = 48
    images_per_shard: PositiveInt = 4

    def shards(self) -> tuple[Folder, list[Shard]]:
        """Return the reader and the planned shards.

        Raises:
            LakeError: the folder holds no photos.
        """
        reader = Folder(uri=self.folder, images_per_shard=self.images_per_shard)
        planned = list(reader.plan({}).shards)
        return reader, list(planned[: max(1, self.images // self.images_per_shard)])


class WorkersComparison(Spec):
    """The stage and the loop with the same number of workers.

    Attributes:
        workers: number of Ray actors, or of processes of the loop.
        stage: throughput of the stage in each repeat.
        loop: throughput of the loop in each repeat.
        wall: seconds per image of the loop (`reference_s`) over those of the stage.
        cpu: the same for CPU seconds, including Ray's own processes.
    """

    workers: int
    stage: tuple[Throughput, ...]
    loop: tuple[Throughput, ...]
    wall: Ratio
    cpu: Ratio

    @classmethod
    def of(
        cls, workers: int, stage: Sequence[Throughput], loop: Sequence[Throughput]
    ) -> "WorkersComparison":
        """Compare the repeats of both sides."""
        wall, cpu = (
            Ratio.of([[seconds(p) for p in loop]], [[seconds(p) for p in stage]])
            for seconds in (lambda p: p.wall_s / p.images, lambda p: p.cpu_s / p.images)
        )
        return cls(workers=workers, stage=tuple(stage), loop=tuple(loop), wall=wall, cpu=cpu)


class EmbedComparison(Record):
    """One run of `embed`; the machine's threads are those of one worker.

    Attributes:
        lake: the photos.
        model: the model.
        settings: the mask settings used.
        teams: one comparison for each number of workers.
    """

    lake: Lake
    model: ModelSpec
    settings: MaskSettings
    teams: tuple[WorkersComparison, ...]


def compare_embed(
    lake: Lake,
    model: ModelSpec,
    settings: MaskSettings,
    *,
    actors: Sequence[int],
    threads: int,
    repeats: int,
    command: str,
    progress: Progress,
) -> EmbedComparison:
    """Label a lake on Ray and in bare loops, alternately.

    Args:
        lake: the photos.
        model: checkpoint and device.
        settings: mask settings; unset ones take the checkpoint's recommended values.
        actors: the numbers of workers to compare.
        threads: CPU threads of one worker.
        repeats: runs of each side with each number of workers.
        command: the command that reproduces the figures.
        progress: where progress is shown.

    Raises:
        ConfigError: too few shards to keep all workers busy.
        WorkersError: a worker failed.
    """
    # Ray runs its workers at nice 15 and the loop runs at 0: on a machine with other load, the
    # stage would get less CPU time than the loop
    os.environ.setdefault("RAY_worker_niceness", "0")
    settings = settings.resolved(identify(model).recommended)
    reader, shards = lake.shards()
    if len(shards) < 2 * max(actors):
        raise ConfigError(
            f"{len(shards)} shards are too few for {max(actors)} workers (at least "
            f"{2 * max(actors)}, because the first shard of each is warm-up); use more images or "
            "smaller shards"
        )
    device = resolve_device(model.device)
    slot = Slot("cuda" if device.type == "cuda" else "cpu", threads)
    images = sum(len(shard.sources) for shard in shards)
    progress.start("embed", 2 * repeats * len(actors) * images, "images")
    done = count(1)

    def measure(side: str, workers: int) -> Throughput:
        """Label the lake once with one side."""
        log = ProgressLog()

        def record(event: EmbedEvent) -> None:
            log.record(event)
            if isinstance(event, Heartbeat) and event.index:
                progress.update(next(done), f"{side}, {workers} workers")

        with TemporaryDirectory() as folder:
            embedding = EmbedSpec(folder, reader, DecodePolicy(), model, settings, Coverage())
            if side == "stage":
                engine = RayPool(address="local", workers=workers, cpus_per_worker=threads)
                embed(Output(folder), embedding, shards, engine, record)
            else:
                for event in run_loops(embedding, shards, slot, workers):
                    record(event)
        return log.throughput(workers)

    comparisons = []
    for workers in actors:
        repeated: dict[str, list[Throughput]] = {"stage": [], "loop": []}
        for n in range(repeats):
            for side in sorted(repeated, reverse=n % 2 == 0):
                repeated[side].append(measure(side, workers))
        comparisons.append(WorkersComparison.of(workers, **repeated))
    progress.finish(
        ", ".join(
            f"{c.wall.ratio:.0%} of a bare loop with {c.workers} workers" for c in comparisons
        )
    )
    return EmbedComparison(
        command=command,
        machine=Machine.here(device, threads),
        lake=lake,
        model=model,
        settings=settings,
        teams=tuple(comparisons),
    )
