"""The seam to the engine: what stages ask of it, and what passes through it.

Shards and attempts go to the workers; beats, receipts and outcomes come back. All are kilobytes:
pixels, features and embeddings pass from workers to storage and nowhere else.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from samseg.types import Shard


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one worker runs.

    Attributes:
        device: `cpu`, or `cuda` for the one GPU that the worker sees.
        threads: CPU threads that are this worker's share.
    """

    device: Literal["cpu", "cuda"]
    threads: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a shard.

    Attributes:
        number: 1 for the first.
        skip: positions (in reading order) of images that killed their process before; each
            becomes a `crashed` row.
        exact: read nothing ahead, so that the last `Beat` names the image being worked on.
        upcoming: the shard that this worker will probably get next, for read-ahead.
    """

    number: int = 1
    skip: frozenset[int] = frozenset()
    exact: bool = False
    upcoming: Shard | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """Sign of life, given before each image is touched.

    Attributes:
        shard_id: the shard in work.
        index: position in reading order of the image about to be touched.
        masks: masks of this shard so far.
    """

    shard_id: str
    index: int
    masks: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a worker says of a finished shard (bytes, never pixels).

    Attributes:
        shard_id: the shard.
        statuses: number of images per status.
        masks: masks committed.
        seconds: seconds spent per stage (read, decode, segment, pool, commit).
        committed: False when another attempt had committed the same shard before.
    """

    shard_id: str
    statuses: Mapping[str, int]
    masks: int
    seconds: Mapping[str, float] = field(default_factory=dict)
    committed: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one shard ended: with a receipt, or given up after the allowed attempts.

    Attributes:
        shard: the shard.
        receipt: None when it was given up.
        failures: one line per failed attempt.
    """

    shard: Shard
    receipt: Receipt | None
    failures: tuple[str, ...] = ()


class Work(Protocol):
    """What a worker does with one shard: beats, then exactly one receipt."""

    def __call__(self, shard: Shard, attempt: Attempt) -> Iterator[Beat | Receipt]:
        """Work on `shard`; every object it writes is create-only, so it may run twice."""
        ...


class Engine(Protocol):
    """Runs work over shards. `local` and `ray` are the two implementations."""

    def map(
        self,
        build: Callable[[Slot], Work],
        shards: Iterable[Shard],
        device: Literal["auto", "cpu", "cuda"],
    ) -> Iterator[Beat | Outcome]:
        """Yield beats as they come and exactly one outcome per shard, in any order.

        `build` runs once per worker, in the worker (it loads the model); it must pickle.

        Raises:
            WorkersError: workers fail to start again and again.
            DeviceError: `device` is `cuda` and the engine has no GPU.
        """
        ...
