"""Reader of loose image files below one folder, on any store that fsspec supports.

Suitable for up to about ten million images. Where cost or latency per object dominates (many small
images), pack the images into tars and use `WebDataset`.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import Annotated, ClassVar, Literal

from pydantic import ByteSize, Field

from samseg.errors import ImageError, NotFoundError, StorageError, one_line
from samseg.location import Location
from samseg.readers.decode import MAX_BYTES, oversized
from samseg.readers.evidence import opened, require_evidence
from samseg.readers.known import Known
from samseg.readers.pattern import Located, located
from samseg.readers.planned import KeyFilter, Planned, survey
from samseg.spec import Spec
from samseg.storage import Storage, open_lake
from samseg.types import RawImage, Shard, Source

IMAGES = (
    *("*.jpg", "*.jpeg", "*.jpe", "*.jfif", "*.png", "*.webp"),
    *("*.tif", "*.tiff", "*.bmp", "*.gif", "*.ppm", "*.pgm"),
    *("*.avif", "*.jp2", "*.j2k", "*.jpx", "*.heic", "*.heif"),
)
"""Patterns of image file names; HEIC without its extra gives a row that says what to install."""

_PARALLEL = 8


class Folder(Spec):
    """Loose image files below a folder; one shard is a group of files.

    Attributes:
        uri: the folder, or a pattern (see `samseg.readers.pattern`): a local path or any URL that
            fsspec opens.
        images_per_shard: maximum images in one shard. A worker that dies loses at most one shard:
            choose 60 to 90 seconds of work.
        bytes_per_shard: maximum bytes in one shard; text such as `1GiB` is accepted.
        include: `fnmatch` patterns of the keys to read, case-insensitive; `*` also matches `/`.
        exclude: patterns of keys to skip. Hidden files and folders are always skipped.
    """

    kind: Literal["folder"] = "folder"
    uri: Location
    images_per_shard: int = Field(default=256, ge=1)
    bytes_per_shard: Annotated[ByteSize, Field(ge=1)] = ByteSize(1 << 30)
    include: tuple[str, ...] = Field(default=IMAGES, min_length=1)
    exclude: tuple[str, ...] = ()

    images_per_source: ClassVar[int | None] = 1

    @cached_property
    def located(self) -> Located:
        """The root, and the pattern of keys below it."""
        return located(self.uri)

    @property
    def root(self) -> str:
        """URI of the folder that keys are relative to."""
        return self.located.root

    def plan(self, known: Known) -> Planned:
        """List the folder and group the objects that are not known, in key order, into shards.

        New objects never join the shards of earlier plans, so existing shards never change.

        Args:
            known: the objects of earlier plans.

        Raises:
            LakeError: the folder cannot be listed, or holds no images.
        """
        wanted = KeyFilter(self.include, self.exclude, self.located)
        found = survey(open_lake(self.root), wanted, known, "images")
        return found.planned(self.shards)

    def shards(self, sources: Iterable[Source]) -> Iterator[Shard]:
        """Yield shards of these objects, in this order."""
        return (Shard.of(group, len(group)) for group in self._groups(sources))

    def read(self, shard: Shard, max_bytes: int = MAX_BYTES) -> Iterator[RawImage]:
        """Yield the shard's images in order, prefetching a few.

        In place of an object that is gone, too large, or unreadable while others can be read, an
        image with an error as its payload is yielded.

        Args:
            shard: a shard of this reader's plan.
            max_bytes: larger objects are not read.

        Raises:
            OutageError: the lake does not answer, so nothing can be said about one object.
        """
        storage = opened(self.root)
        pool = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="get")
        try:
            pending: deque[tuple[Source, Future[tuple[bytes, str]]]] = deque()
            for source in shard.sources:
                pending.append((source, pool.submit(_get, storage, source, max_bytes)))
                if len(pending) == _PARALLEL:
                    yield _raw_image(storage, shard, *pending.popleft())
            while pending:
                yield _raw_image(storage, shard, *pending.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _groups(self, sources: Iterable[Source]) -> Iterator[list[Source]]:
        group: list[Source] = []
        size = 0
        for source in sources:
            full = len(group) == self.images_per_shard or size + source.bytes > self.bytes_per_shard
            if group and full:
                yield group
                group, size = [], 0
            group.append(source)
            size += source.bytes
        if group:
            yield group


def _get(storage: Storage, source: Source, max_bytes: int) -> tuple[bytes, str]:
    if source.bytes > max_bytes:
        raise oversized(source.bytes, max_bytes)
    payload, etag = storage.get_version(source.key)
    if len(payload) > max_bytes:  # another version than the planned one
        raise oversized(len(payload), max_bytes)
    return payload, etag


def _raw_image(
    storage: Storage, shard: Shard, source: Source, read: "Future[tuple[bytes, str]]"
) -> RawImage:
    try:
        payload, etag = read.result()
        note = source.note_of(etag, len(payload))
        return RawImage(source.key, storage.uri_of(source.key), payload, note)
    except ImageError as e:
        return RawImage(source.key, storage.uri_of(source.key), e)
    except StorageError as e:
        others = (s for s in shard.sources if s.key != source.key)
        evidence = require_evidence(storage, e, others)
        gone = "; it was there when planned" if isinstance(e, NotFoundError) else ""
        error = ImageError("unreadable", f"{one_line(e)}{gone}; {evidence}")
        return RawImage(source.key, storage.uri_of(source.key), error)
