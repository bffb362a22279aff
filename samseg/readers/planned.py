"""Planning that all readers share: list a lake, skip known sources, refuse an empty lake.

Each reader decides which objects are sources and how sources are grouped into shards.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import translate
from pathlib import PurePosixPath

from samseg.errors import LakeError, StorageError, redact
from samseg.storage import Storage
from samseg.types import Shard, Source

_EXTENSIONS = 4
"""Extensions that are listed; the others are counted together."""

_LONGEST_EXTENSION = 10


@dataclass(frozen=True, slots=True)
class Planned:
    """The result of planning.

    Attributes:
        shards: the new sources, in key order.
        known: number of sources in earlier plans.
        changed: number of these whose etag has changed. Lakes are append-only: rows of labelled
            images keep the first version, and a new version needs a new key.
        ignored: number of objects that the reader does not read.
        left_out: number of these by extension (`.dng`, "" for none), the most frequent first;
            without hidden and excluded ones.
        replaced: the changed sources as they are now.
    """

    shards: tuple[Shard, ...]
    known: int
    changed: int
    ignored: int
    left_out: Mapping[str, int]
    replaced: tuple[Source, ...] = ()


@dataclass(frozen=True, slots=True)
class Survey:
    """One listing of a lake: the new sources in key order, and counts as in `Planned`."""

    new: list[Source]
    known: int
    replaced: list[Source]
    ignored: int
    left_out: Mapping[str, int]

    def planned(self, shards: Iterable[Shard]) -> Planned:
        """Return the plan that divides the new sources into `shards`."""
        replaced = tuple(self.replaced)
        return Planned(
            tuple(shards), self.known, len(replaced), self.ignored, self.left_out, replaced
        )


def survey(
    storage: Storage,
    wanted: "KeyFilter",
    known: Mapping[str, str],
    what: str,
) -> Survey:
    """List a lake once.

    The listing is streamed, but new sources are sorted in memory: about 0.5 kB each, in addition
    to the caller's `known`. Ten million new objects take 5 GB; plan a larger lake folder by
    folder, each into its own output.

    Args:
        storage: the lake.
        wanted: the keys that are sources.
        known: etag by key, for the sources of earlier plans.
        what: plural noun for a source (`images`, `tars`), for the error about an empty lake.

    Raises:
        LakeError: the lake cannot be listed, or holds no sources.
    """
    new: list[Source] = []
    replaced: list[Source] = []
    seen = ignored = 0
    left_out: Counter[str] = Counter()
    try:
        for source in storage.list():
            if not wanted(source.key):
                ignored += 1
                if wanted.of_other_type(source.key):
                    left_out[_extension(source.key)] += 1
            elif source.key in known:
                seen += 1
                if source.etag != known[source.key]:
                    replaced.append(source)
            else:
                new.append(source)
    except StorageError as e:
        raise LakeError(
            f"{e}; check `reader.uri`, and the credentials and region in the environment"
        ) from e
    if not new and not seen:
        raise LakeError(
            f"no {what} below {redact(storage.uri)}: expected {' '.join(wanted.include)}, found "
            f"{ignored} other objects{_listed(left_out)}; check `reader.uri`"
            + ("; reader.kind=webdataset reads tars" if left_out[".tar"] else "")
        )
    new.sort(key=lambda source: source.key)
    return Survey(new, seen, replaced, ignored, dict(left_out.most_common()))


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

    def __init__(self, include: Iterable[str], exclude: Iterable[str] = ()):
        """Compile the patterns."""
        self.include = tuple(include)
        self._included, self._excluded = _any_of(self.include), _any_of(exclude)
        self._hidden = re.compile(r"(^|/)\.(?!\.?(/|$))")

    def __call__(self, key: str) -> bool:
        """Whether the reader reads the object with this key."""
        return bool(self._included.match(key)) and not self._left_out_on_purpose(key)

    def of_other_type(self, key: str) -> bool:
        """Whether an object is left out only because `include` lacks its type."""
        return not self._included.match(key) and not self._left_out_on_purpose(key)

    def _left_out_on_purpose(self, key: str) -> bool:
        return bool(self._excluded.match(key) or self._hidden.search(key))


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    never = r"(?!)"
    return re.compile("|".join(translate(p) for p in patterns) or never, re.IGNORECASE)
