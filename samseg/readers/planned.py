"""What planning finds in a lake: the part that every reader shares.

Readers differ in what counts as a source and in how sources are grouped; listing, dropping what is
known and refusing an empty lake is the same for all.
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
    """What one planning found.

    Attributes:
        shards: what is new, in key order.
        known: objects that earlier plans hold.
        changed: of these, objects whose etag is another now. Lakes are append-only: they are
            kept as first seen, and a changed picture needs a new key.
        ignored: objects that the reader does not read.
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
        """Make a plan of this survey."""
        return Planned(tuple(shards), self.known, self.changed, self.ignored)


def survey(
    storage: Storage,
    wanted: Callable[[str], bool],
    known: Mapping[str, str],
    what: str,
    patterns: Iterable[str],
) -> Survey:
    """List a lake once.

    The listing streams, but new sources must be sorted, so they are held in memory: about 0.5 kB
    each, beside the caller's `known`. Ten million new objects are 5 GB; plan a larger lake folder
    by folder, each into its own output.

    Args:
        storage: the lake.
        wanted: tells by its key whether an object is a source.
        known: etag by key, for the sources of earlier plans.
        what: what a source is (`images`, `tars`), for the message about an empty lake.
        patterns: what `wanted` accepts, for the same message.

    Raises:
        LakeError: the lake cannot be listed, or holds no source at all.
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
            f"no {what} below {redact(storage.uri)}: looked for {' '.join(patterns)}, found "
            f"{ignored} other objects; check `reader.uri`"
        )
    new.sort(key=lambda source: source.key)
    return Survey(new, seen, changed, ignored)


def matcher(include: Iterable[str], exclude: Iterable[str]) -> Callable[[str], bool]:
    """Return a test of keys: matches `include` and not `exclude`, and is not hidden.

    Patterns are those of `fnmatch`, without regard to case; `*` crosses `/`. A key is hidden when
    a folder in it, or its name, begins with a dot.
    """
    taken = _any_of(include)
    left = _any_of(exclude)
    hidden = re.compile(r"(^|/)\.(?!\.?(/|$))")

    def matches(key: str) -> bool:
        return bool(taken.match(key)) and not left.match(key) and not hidden.search(key)

    return matches


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    never = r"(?!)"
    return re.compile("|".join(translate(p) for p in patterns) or never, re.IGNORECASE)
