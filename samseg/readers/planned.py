"""Planning that all readers share: list a lake, skip known sources, refuse an empty lake.

Each reader decides which objects are sources and how sources are grouped into shards.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from samseg.errors import LakeError, StorageError, redact
from samseg.readers.known import Known, KnownObjects
from samseg.readers.pattern import Located, expression
from samseg.storage import LISTED, Storage
from samseg.types import Shard, Source

_FLAGS = re.IGNORECASE | re.DOTALL

_EXTENSIONS = 4
"""Extensions that are listed; the others are counted together."""

_LONGEST_EXTENSION = 10

_ROWS = 50_000
"""Listed objects that are compared at a time."""


@dataclass(frozen=True, slots=True)
class Planned:
    """The result of planning.

    Attributes:
        shards: the new sources, in key order; made anew by every iteration.
        known: number of sources in earlier plans.
        changed: number of these whose etag has changed. Lakes are append-only: rows of labelled
            images keep the first version, and a new version needs a new key.
        ignored: number of objects that the reader does not read.
        left_out: number of these by extension (`.dng`, "" for none), the most frequent first;
            without hidden and excluded ones.
        replaced: the changed sources as they are now.
        skipped: what cannot be listed or addressed (folders with a `/` at the end), with reasons.
    """

    shards: Iterable[Shard]
    known: int
    changed: int
    ignored: int
    left_out: Mapping[str, int]
    replaced: tuple[Source, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """One listing of a lake; counts are as in `Planned`.

    Attributes:
        storage: the lake.
        listed: its new sources in key order: `key`, `etag` and `bytes`.
    """

    storage: Storage
    listed: pa.Table
    known: int
    replaced: list[Source]
    ignored: int
    left_out: Mapping[str, int]
    skipped: Mapping[str, str]

    def __iter__(self) -> Iterator[Source]:
        """Yield the new sources in key order."""
        for batch in self.listed.to_batches(max_chunksize=_ROWS):
            yield from _sources(self.storage, batch)

    def planned(self, divide: Callable[[Iterable[Source]], Iterator[Shard]]) -> Planned:
        """Return the plan that divides the new sources into shards."""
        return Planned(
            shards=_Shards(self, divide),
            known=self.known,
            changed=len(self.replaced),
            ignored=self.ignored,
            left_out=self.left_out,
            replaced=tuple(self.replaced),
            skipped=self.skipped,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Shards:
    """Shards of listed sources, made where they are needed: a lake has more than fit in memory."""

    sources: Survey
    divide: Callable[[Iterable[Source]], Iterator[Shard]]

    def __iter__(self) -> Iterator[Shard]:
        return self.divide(self.sources)


def survey(storage: Storage, wanted: "KeyFilter", known: Known, what: str) -> Survey:
    """List a lake once, and leave out what is known, many objects at a time.

    The listing is streamed; new sources are kept and sorted as Arrow columns, about 0.2 kB each.

    Args:
        storage: the lake.
        wanted: the keys that are sources.
        known: the sources of earlier plans.
        what: plural noun for a source (`images`, `tars`), for the error about an empty lake.

    Raises:
        LakeError: the lake cannot be listed, or holds no sources.
    """
    new: list[pa.Table] = []
    replaced: list[Source] = []
    seen = ignored = 0
    left_out: Counter[str] = Counter()
    skipped: dict[str, str] = {}

    def skip(key: str, reason: str) -> None:
        if wanted.may_lie_in(key) if key.endswith("/") else wanted(key):
            skipped[key] = reason

    earlier = KnownObjects(known)
    try:
        for listed in _in_large_batches(storage.batches(skipped=skip)):
            found = earlier.compare(listed)
            seen += found.known
            replaced += _sources(storage, found.changed)
            keys = found.new["key"].to_pylist()
            are_wanted = [wanted(key) for key in keys]
            for key, is_wanted in zip(keys, are_wanted, strict=True):
                if not is_wanted:
                    ignored += 1
                    if wanted.of_other_type(key):
                        left_out[_extension(key)] += 1
            new.append(found.new.filter(pa.array(are_wanted, pa.bool_())))
    except StorageError as e:
        raise LakeError(
            f"{e}; check `reader.uri`, and the credentials and region in the environment"
        ) from e
    in_order = _in_order(new, skip)
    if not in_order.num_rows and not seen:
        named = f"; {_named(skipped)}" if skipped else ""
        place = redact(storage.uri_of(wanted.pattern))
        raise LakeError(
            f"no {what} below {place}: expected {' '.join(wanted.include)}, found {ignored} "
            f"other objects{_listed(left_out)}{named}; check `reader.uri`"
            + ("; reader.kind=webdataset reads tars" if left_out[".tar"] else "")
        )
    return Survey(storage, in_order, seen, replaced, ignored, dict(left_out.most_common()), skipped)


def _in_order(listed: list[pa.Table], skip: Callable[[str, str], None]) -> pa.Table:
    """Sort listed objects by key; of those with one key the first is kept."""
    table = pa.concat_tables([LISTED.empty_table(), *(t.select(LISTED.names) for t in listed)])
    table = table.take(pc.sort_indices(table["key"]))
    keys = table["key"]
    if len(keys) > 1:
        again = pc.equal(keys.slice(1), keys.slice(0, len(keys) - 1))
        if pc.any(again).as_py():
            for key in keys.slice(1).filter(again).to_pylist():
                skip(key, "several objects of the store have this path")
            first = pa.chunked_array([pa.array([True]), *pc.invert(again).chunks])
            table = table.filter(first)
    return table


def _in_large_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Join small batches: the known keys are hashed once for each."""
    some: list[pa.RecordBatch] = []
    for batch in batches:
        some.append(batch)
        if sum(b.num_rows for b in some) >= _ROWS:
            yield pa.Table.from_batches(some)
            some = []
    if some:
        yield pa.Table.from_batches(some)


def _sources(storage: Storage, listed: pa.Table | pa.RecordBatch) -> Iterator[Source]:
    columns = (listed[name].to_pylist() for name in ("key", "etag", "bytes"))
    for key, etag, size in zip(*columns, strict=True):
        yield Source(key, storage.uri_of(key), etag, size)


def _named(skipped: Mapping[str, str]) -> str:
    """Name the first of what could not be listed."""
    key, reason = next(iter(skipped.items()))
    more = f" and {len(skipped) - 1} more" if len(skipped) > 1 else ""
    return f"{redact(key)!r} ({reason}){more} cannot be listed"


def by_extension(left_out: Mapping[str, int]) -> str:
    """Return counts by extension as text: `5 .dng, 2 .txt, 1 without extension`."""
    shown = [f"{n} {extension or 'without extension'}" for extension, n in left_out.items()]
    more = sum([*left_out.values()][_EXTENSIONS:])
    return ", ".join([*shown[:_EXTENSIONS], *([f"{more} others"] if more else [])])


def _listed(left_out: Mapping[str, int]) -> str:
    return f" ({by_extension(left_out)})" if left_out else ""


def _extension(key: str) -> str:
    suffix = PurePosixPath(key).suffix.lower()
    return suffix if len(suffix) <= _LONGEST_EXTENSION else ""


class KeyFilter:
    """The keys that a reader reads: they match `include`, not `exclude`, and are not hidden.

    Patterns are those of `fnmatch`, case-insensitive; `*` also matches `/`. A key is hidden if its
    name or one of its folders begins with a dot.
    """

    def __init__(
        self, include: Iterable[str], exclude: Iterable[str] = (), located: Located | None = None
    ):
        """Compile the patterns.

        Args:
            include: patterns of the keys to read.
            exclude: patterns of keys to leave out.
            located: what the URI of the lake means; None if all keys below it are meant.
        """
        self.include = tuple(include)
        self._included, self._excluded = _any_of(self.include), _any_of(exclude)
        self._start, self.pattern = (located.start, located.pattern) if located else ("", "")
        self._meant = re.compile(expression(self.pattern) if self.pattern else ".*", _FLAGS)
        self._hidden = re.compile(r"(^|/)\.(?!\.?(/|$))")

    def __call__(self, key: str) -> bool:
        """Whether the reader reads the object with this key."""
        return bool(self._included.match(key)) and not self._left_out_on_purpose(key)

    def of_other_type(self, key: str) -> bool:
        """Whether an object is left out only because `include` lacks its type."""
        return not self._included.match(key) and not self._left_out_on_purpose(key)

    def may_lie_in(self, folder: str) -> bool:
        """Whether the reader would read objects in this folder (with a `/` at the end)."""
        start = self._start.lower()
        meant = folder.lower().startswith(start) or start.startswith(folder.lower())
        return meant and not self._left_out(folder)

    def _left_out_on_purpose(self, key: str) -> bool:
        return self._meant.fullmatch(key) is None or self._left_out(key)

    def _left_out(self, key: str) -> bool:
        return bool(self._excluded.match(key) or self._hidden.search(key))


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    never = r"(?!)"
    return re.compile("|".join(translate(p) for p in patterns) or never, _FLAGS)
