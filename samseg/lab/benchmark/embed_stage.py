"""The embed stage through Ray against a bare loop of the same segmenter.

Both label the same shards with the same threads per worker, in turn. What is compared is the pace
of warm workers that all have work (`throughput`): neither the start of Ray and of processes nor
the loading of models counts, nor what the last worker does alone.
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
from samseg.lab.benchmark.throughput import Journal, Pace
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
    """What is labelled.

    Attributes:
        folder: of photos.
        images: how many of them at most; whole shards only.
        images_per_shard: photos in one shard.
    """

    folder: str
    images: PositiveInt = 48
    images_per_shard: PositiveInt = 4

    def shards(self) -> tuple[Folder, list[Shard]]:
        """Plan, and return the reader too.

        Raises:
            LakeError: there is no photo.
        """
        reader = Folder(uri=self.folder, images_per_shard=self.images_per_shard)
        planned = reader.plan({}).shards
        return reader, list(planned[: max(1, self.images // self.images_per_shard)])


class Team(Spec):
    """The stage and the loop with one number of workers.

    Attributes:
        workers: Ray actors, or processes of the loop.
        stage: pace of the stage in each repeat.
        loop: pace of the loop in each repeat.
        wall: seconds per image of the loop (`reference_s`) over those of the stage.
        cpu: the same of CPU seconds, Ray's own processes included.
    """

    workers: int
    stage: tuple[Pace, ...]
    loop: tuple[Pace, ...]
    wall: Ratio
    cpu: Ratio

    @classmethod
    def of(cls, workers: int, stage: Sequence[Pace], loop: Sequence[Pace]) -> "Team":
        """Compare the repeats of both."""
        wall, cpu = (
            Ratio.of([[seconds(p) for p in loop]], [[seconds(p) for p in stage]])
            for seconds in (lambda p: p.wall_s / p.images, lambda p: p.cpu_s / p.images)
        )
        return cls(workers=workers, stage=tuple(stage), loop=tuple(loop), wall=wall, cpu=cpu)


class EmbedComparison(Record):
    """One run of `embed`; the machine's threads are those of one worker.

    Attributes:
        lake: what was labelled.
        model: with which weights.
        settings: mask generation as used.
        teams: one for each number of workers.
    """

    lake: Lake
    model: ModelSpec
    settings: MaskSettings
    teams: tuple[Team, ...]


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
    """Label a lake through Ray and in bare loops, in turn.

    Args:
        lake: what to label.
        model: checkpoint and device.
        settings: mask generation; what is not given the checkpoint may recommend.
        actors: numbers of workers.
        threads: CPU threads of one worker.
        repeats: runs of each side with each number of workers.
        command: how to take these figures again.
        progress: where to show progress.

    Raises:
        ConfigError: too few shards to see all workers at work.
        WorkersError: a worker did not get through.
    """
    # Ray has its workers step back for all others (nice 15), and a loop does not: on a machine that
    # does other work too, one side would get less of it than the other
    os.environ.setdefault("RAY_worker_niceness", "0")
    settings = settings.resolved(identify(model).recommended)
    reader, shards = lake.shards()
    if len(shards) < 2 * max(actors):
        raise ConfigError(
            f"{len(shards)} shards are too few for {max(actors)} workers, of whom the first shard "
            "does not count; give more images, or put fewer into a shard"
        )
    device = resolve_device(model.device)
    slot = Slot("cuda" if device.type == "cuda" else "cpu", threads)
    images = sum(len(shard.sources) for shard in shards)
    progress.start("embed", 2 * repeats * len(actors) * images, "images")
    done = count(1)

    def watched(side: str, workers: int) -> Pace:
        """Let one side label the lake once, with so many workers."""
        journal = Journal()

        def note(event: EmbedEvent) -> None:
            journal.note(event)
            if isinstance(event, Heartbeat) and event.index:
                progress.update(next(done), f"{side}, {workers} workers")

        with TemporaryDirectory() as folder:
            embedding = EmbedSpec(folder, reader, DecodePolicy(), model, settings, Coverage())
            if side == "stage":
                engine = RayPool(address="local", workers=workers, cpus_per_worker=threads)
                embed(Output(folder), embedding, shards, engine, note)
            else:
                for event in run_loops(embedding, shards, slot, workers):
                    note(event)
        return journal.pace(workers)

    teams = []
    for workers in actors:
        paces: dict[str, list[Pace]] = {"stage": [], "loop": []}
        for n in range(repeats):
            for side in sorted(paces, reverse=n % 2 == 0):
                paces[side].append(watched(side, workers))
        teams.append(Team.of(workers, **paces))
    progress.finish(
        ", ".join(f"{t.wall.ratio:.0%} of a bare loop with {t.workers} workers" for t in teams)
    )
    return EmbedComparison(
        command=command,
        machine=Machine.here(device, threads),
        lake=lake,
        model=model,
        settings=settings,
        teams=tuple(teams),
    )
