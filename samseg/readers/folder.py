"""Reads loose image files below one folder of a lake, on any store that fsspec knows.

Right for up to some ten million photos. Where the store charges or waits per object (many small
pictures, archives with millions of members), pack them into tars and use `WebDataset`.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Annotated, ClassVar, Literal

from pydantic import ByteSize, Field

from samseg.errors import ImageError, NotFoundError, StorageError, one_line
from samseg.readers.decode import MAX_BYTES, oversized
from samseg.readers.planned import Planned, matcher, survey
from samseg.spec import Spec
from samseg.storage import Storage, open_lake
from samseg.types import RawImage, Shard, Source

IMAGES = (
    *("*.jpg", "*.jpeg", "*.jpe", "*.jfif", "*.png", "*.webp"),
    *("*.tif", "*.tiff", "*.bmp", "*.gif", "*.ppm", "*.pgm"),
)
"""Patterns of the file names that are taken for images."""

_PARALLEL = 8
_PAUSES_S = (0.2, 1.0)
_WITNESSES = 3


class Folder(Spec):
    """Loose image files below a folder; one shard is a group of files.

    Attributes:
        uri: the folder: a local path or any URL that fsspec opens.
        images_per_shard: most images in one shard. A shard is what is lost when a worker dies:
            choose 60 to 90 seconds of work.
        bytes_per_shard: most bytes in one shard (`1GiB` may be written as text).
        include: patterns of the keys to read, as in `fnmatch`, without regard to case; `*`
            crosses `/`.
        exclude: patterns of keys to leave out. Hidden files and folders are always left out.
    """

    kind: Literal["folder"] = "folder"
    uri: str = Field(min_length=1)
    images_per_shard: int = Field(default=256, ge=1)
    bytes_per_shard: Annotated[ByteSize, Field(ge=1)] = ByteSize(1 << 30)
    include: tuple[str, ...] = Field(default=IMAGES, min_length=1)
    exclude: tuple[str, ...] = ()

    images_per_source: ClassVar[int | None] = 1

    def plan(self, known: Mapping[str, str]) -> Planned:
        """List the folder, drop what is known and group the rest, in key order, into shards.

        New objects never join the shards of earlier plans, so a growing lake reshuffles nothing.

        Args:
            known: etag by key, for the objects of earlier plans.

        Raises:
            LakeError: the folder cannot be listed, or holds no images.
        """
        wanted = matcher(self.include, self.exclude)
        found = survey(open_lake(self.uri), wanted, known, "images", self.include)
        return found.planned(Shard.of(group, len(group)) for group in self._groups(found.new))

    def read(self, shard: Shard, max_bytes: int = MAX_BYTES) -> Iterator[RawImage]:
        """Yield the shard's images in order, reading a few ahead.

        An object that is gone, too large or unreadable while others can be read is an error value
        in its place.

        Args:
            shard: a shard of this reader's plan.
            max_bytes: larger objects are not read.

        Raises:
            StorageError: nothing can be read: the store is at fault, not an object.
        """
        storage = open_lake(self.uri)
        pool = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="get")
        try:
            ahead: deque[tuple[Source, Future[bytes]]] = deque()
            for source in shard.sources:
                ahead.append((source, pool.submit(_get, storage, source, max_bytes)))
                if len(ahead) == _PARALLEL:
                    yield _encoded(storage, shard, *ahead.popleft())
            while ahead:
                yield _encoded(storage, shard, *ahead.popleft())
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


def _get(storage: Storage, source: Source, max_bytes: int) -> bytes:
    if source.bytes > max_bytes:
        raise oversized(source.bytes, max_bytes)
    for pause in _PAUSES_S:
        try:
            return storage.get(source.key)
        except NotFoundError as e:
            raise ImageError("unreadable", f"{one_line(e)}; it was there when planned") from e
        except StorageError:
            time.sleep(pause)
    return storage.get(source.key)


def _encoded(storage: Storage, shard: Shard, source: Source, payload: "Future[bytes]") -> RawImage:
    try:
        return RawImage(source.key, source.uri, payload.result())
    except ImageError as e:
        return RawImage(source.key, source.uri, e)
    except StorageError as e:
        if not _others_can_be_read(storage, shard, source):
            raise
        error = ImageError("unreadable", f"{one_line(e)}; other objects can be read")
        return RawImage(source.key, source.uri, error)


def _others_can_be_read(storage: Storage, shard: Shard, failed: Source) -> bool:
    """Tell whether a failure is one object's: an outage must not become rows of broken images."""
    witnesses = [s for s in shard.sources if s.key != failed.key]
    for witness in sorted(witnesses, key=lambda s: s.bytes)[:_WITNESSES]:
        try:
            storage.get(witness.key)
        except StorageError:
            continue
        return True
    return False
