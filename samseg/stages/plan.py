"""The plan stage: list the lake and commit objects not yet planned as new shards.

A large plan is written as several objects, in order, each at the next free number. Plans are
append-only, so a growing lake does not change the shards of earlier nights. Images that
failed are planned again (`samseg.stages.retries`).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from glob import escape
from itertools import chain, islice, pairwise

from samseg.errors import ConfigError, StorageError, redact
from samseg.output import Output
from samseg.readers import Reader
from samseg.stages.retries import retries
from samseg.storage import normal
from samseg.types import Shard

_MAX_ATTEMPTS = 5
_MANY_SHARDS = 64
_ROWS = 250_000
"""Objects of the lake in one object of the plan: 4 to 8 MB, written from some 200 MB of memory."""
_SHOWN = 5
_SHARDS_PER_WORKER = 2  # so that nobody waits long for the last one


@dataclass(frozen=True, slots=True)
class PlanReport:
    """Result of one run of the stage.

    Attributes:
        shards: newly planned shards.
        sources: objects in them.
        known: objects in earlier plans.
        changed: objects whose version differs from the planned one. Of these, only images that
            failed are planned again.
        ignored: objects that are not images.
        left_out: number of these by extension, as in `samseg.readers.Planned`.
        again: objects planned again, because images in them failed.
        skipped: what cannot be listed or addressed, with the reasons; only the first of them.
        skipped_count: number of all of these.
    """

    shards: int
    sources: int
    known: int
    changed: int
    ignored: int
    left_out: Mapping[str, int]
    again: int = 0
    skipped: Mapping[str, str] = field(default_factory=dict)
    skipped_count: int = 0


def plan(
    output: Output,
    reader: Reader,
    workers: Callable[[], int] = lambda: 0,
    listed: Callable[[], None] = lambda: None,
    retried: Collection[str] = (),
) -> PlanReport:
    """Plan the new objects of the lake, and failed images again.

    Args:
        output: the output folder.
        reader: lists the lake.
        workers: returns how many workers there are, 0 if unknown. Few new images are divided among
            them; called where there are few.
        listed: called once the lake is listed, before anything is written.
        retried: statuses of failed images to label again; see `samseg.stages.retries`.

    Raises:
        ConfigError: the output folder is the lake.
        LakeError: the lake cannot be listed or contains no images.
        StorageError: the output folder cannot be written.
    """
    reader = _without_output(reader, output.uri)
    written: list[int] = []
    new = again = 0
    for _ in range(_MAX_ATTEMPTS):
        number = output.next_plan()  # before the keys: a plan added meanwhile takes this number
        found = reader.plan(output.plan_table(["key", "etag"]))
        listed()
        shards = _divided_if_few(found.shards, reader, workers)
        repeated = retries(output, reader, retried, found.replaced) if number else []
        known = found.known - new
        for some in _objects(chain(shards, repeated)):
            if not output.add_plan(number, some, reader.images_per_source):
                break  # by another run; what of the rest is still new has to be planned again
            number += 1
            sources = [s for shard in some for s in shard.sources]
            again += sum(s.retry_of is not None for s in sources)
            new += sum(s.retry_of is None and s.first for s in sources)
            written.append(sum(s.sources[0].retry_of is None for s in some))
        else:
            return PlanReport(
                shards=sum(written),
                sources=new,
                known=known,
                changed=found.changed,
                ignored=found.ignored,
                left_out=dict(found.left_out),
                again=again,
                skipped=dict(islice(found.skipped.items(), _SHOWN)),
                skipped_count=len(found.skipped),
            )
    raise StorageError(
        f"other runs added plans to {output.uri} during each of {_MAX_ATTEMPTS} attempts; "
        "run again when they have finished"
    )


def _objects(shards: Iterable[Shard]) -> Iterator[list[Shard]]:
    """Divide shards into what one object of the plan holds: all ranges of a tar are in one."""
    some: list[Shard] = []
    rows = 0
    for shard in shards:
        if some and rows + len(shard.sources) > _ROWS and shard.sources[0].first:
            yield some
            some, rows = [], 0
        some.append(shard)
        rows += len(shard.sources)
    if some:
        yield some


def _divided_if_few(
    shards: Iterable[Shard], reader: Reader, workers: Callable[[], int]
) -> Iterator[Shard]:
    rest = iter(shards)
    first = list(islice(rest, _MANY_SHARDS))
    if reader.images_per_source == 1 and 0 < len(first) < _MANY_SHARDS:
        first = divided(first, _SHARDS_PER_WORKER * workers())
    return chain(first, rest)


def divided(shards: Sequence[Shard], wanted: int) -> list[Shard]:
    """Divide shards of loose images so that there are about `wanted`, of about the same size.

    Shards stay as they are where there are as many already.
    """
    images = sum(len(shard.sources) for shard in shards)
    if len(shards) >= min(wanted, images):
        return list(shards)
    size = -(-images // wanted)
    parts = []
    for shard in shards:
        count = -(-len(shard.sources) // size)
        bounds = [len(shard.sources) * i // count for i in range(count + 1)]
        parts += [shard.sources[a:b] for a, b in pairwise(bounds)]
    return [Shard.of(part, len(part)) for part in parts]


def _without_output(reader: Reader, output: str) -> Reader:
    """Exclude an output folder inside the lake, whose exports are images too."""
    root = normal(reader.root)
    if reader.images_per_source != 1 or not f"{output}/".startswith(f"{root}/"):
        return reader
    if output == root:
        raise ConfigError(
            f"the output folder {redact(output)} is the lake; use a folder of its own"
        )
    inside = f"{escape(output[len(root) + 1 :])}/*"
    return reader.model_copy(update={"exclude": (*reader.exclude, inside)})
