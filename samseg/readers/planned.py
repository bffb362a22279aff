"""Planning that all readers share: list a lake, skip known sources, refuse an empty lake.

Each reader decides which objects are sources and how sources are grouped into shards.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import translate

from samseg.errors import LakeError, StorageError, redact
from samseg.storage import Storage
from samseg.types import Shard, Source


@dataclass(frozen=True, slots=True)
class Planned:
    """The result of planning.

    Attributes:
        shards: the new sources, in key order.
        known: number of sources in earlier plans.
        changed: number of these whose etag has changed. Lakes are append-only: rows keep the first
            version of an image, and a changed image needs a new key.
        ignored: number of objects that the reader does not read.
    """

    shards: tuple[Shard, ...]
    known: int
    changed: int
    ignored: int


@dataclass(frozen=True, slots=True)
class Survey:
    """One listing of a lake: the new sources in key order, and counts as in `Planned`."""

    new: list[Source]
    known: int
    changed: int
    ignored: int

    def planned(self, shards: Iterable[Shard]) -> Planned:
        """Return the plan that divides the new sources into `shards`."""
        return Planned(tuple(shards), self.known, self.changed, self.ignored)


def survey(
    storage: Storage,
    wanted: Callable[[str], bool],
    known: Mapping[str, str],
    what: str,
    patterns: Iterable[str],
) -> Survey:
    """List a lake once.

    The listing is streamed, but new sources are sorted in memory: about 0.5 kB each, in addition
    to the caller's `known`. Ten million new objects take 5 GB; plan a larger lake folder by
    folder, each into its own output.

    Args:
        storage: the lake.
        wanted: whether the object with this key is a source.
        known: etag by key, for the sources of earlier plans.
        what: plural noun for a source (`images`, `tars`), for the error about an empty lake.
        patterns: the patterns that `wanted` accepts, for the same error.

    Raises:
        LakeError: the lake cannot be listed, or holds no sources.
    """
    new: list[Source] = []
    seen = changed = ignored = 0
    try:
        for source in storage.list():
            if not wanted(source.key):
                ignored += 1
            elif source.key in known:
                seen += 1
                changed += source.etag != known[source.key]
            else:
                new.append(source)
    except StorageError as e:
        raise LakeError(
            f"{e}; check `reader.uri`, and the credentials and region in the environment"
        ) from e
    if not new and not seen:
        raise LakeError(
            f"no {what} below {redact(storage.uri)}: expected {' '.join(patterns)}, found "
            f"{ignored} other objects; check `reader.uri`"
        )
    new.sort(key=lambda source: source.key)
    return Survey(new, seen, changed, ignored)


def matcher(include: Iterable[str], exclude: Iterable[str]) -> Callable[[str], bool]:
    """Return a predicate of keys: matches `include`, does not match `exclude`, is not hidden.

    Patterns are those of `fnmatch`, case-insensitive; `*` also matches `/`. A key is hidden if its
    name or one of its folders begins with a dot.
    """
    included = _any_of(include)
    excluded = _any_of(exclude)
    hidden = re.compile(r"(^|/)\.(?!\.?(/|$))")

    def matches(key: str) -> bool:
        return bool(included.match(key)) and not excluded.match(key) and not hidden.search(key)

    return matches


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    never = r"(?!)"
    return re.compile("|".join(translate(p) for p in patterns) or never, re.IGNORECASE)
