"""Reader of tars of images (WebDataset or any other tar), streamed and never extracted.

Suitable for large lakes: one object holds thousands of images. Other members (JSON, captions) are
skipped. Large plain tars are divided (`samseg.readers.tar_ranges`); others are one shard, and a
worker that dies loses its shard.
"""

import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import PurePosixPath
from typing import Annotated, ClassVar, Literal

from pydantic import ByteSize, Field

from samseg.errors import ImageError, NotFoundError, ShardError, StorageError
from samseg.location import Location
from samseg.readers.decode import MAX_BYTES
from samseg.readers.evidence import opened, require_evidence
from samseg.readers.folder import IMAGES
from samseg.readers.known import Known
from samseg.readers.pattern import Located, literal, located
from samseg.readers.planned import KeyFilter, Planned, by_extension, survey
from samseg.readers.tar import SizedStream, images
from samseg.readers.tar_ranges import TarRange, ranges
from samseg.spec import Spec
from samseg.storage import Storage, open_lake
from samseg.types import RawImage, Shard, Source

TAR_SUFFIXES = (
    *(".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2"),
    *(".tar.xz", ".txz", ".tar.zst", ".tzst"),
)
_WALKS_AT_A_TIME = 16
TARS = tuple(f"*{suffix}" for suffix in TAR_SUFFIXES)
"""Patterns of tar file names."""


class WebDataset(Spec):
    """Tars of images; one shard is a tar, or a range of a large one.

    Attributes:
        uri: a folder of tars, one tar, or a pattern (`s3://bucket/tars/train-{000..019}.tar`, see
            `samseg.readers.pattern`).
        bytes_per_shard: larger tars are divided into ranges of about so many bytes; text such as
            `1GiB` is accepted. The plan reads their headers.
        include: `fnmatch` patterns of the members to read, case-insensitive.
        exclude: patterns of members to skip (`*.seg.png`). Hidden files are always skipped.
    """

    kind: Literal["webdataset"] = "webdataset"
    uri: Location
    bytes_per_shard: Annotated[ByteSize, Field(ge=1)] = ByteSize(512 << 20)
    include: tuple[str, ...] = Field(default=IMAGES, min_length=1)
    exclude: tuple[str, ...] = ()

    images_per_source: ClassVar[int | None] = None

    @cached_property
    def located(self) -> Located:
        """The root, and the pattern of the keys of tars below it."""
        found = located(self.uri)
        if found.pattern or not self.uri.lower().endswith(TAR_SUFFIXES):
            return found
        root, _, tar = self.uri.rpartition("/")
        return Located(root or ".", literal(tar))

    @property
    def root(self) -> str:
        """URI of the folder that keys are relative to."""
        return self.located.root

    def plan(self, known: Known) -> Planned:
        """List the tars; each new tar is one shard, or several.

        Args:
            known: the tars of earlier plans.

        Raises:
            LakeError: the folder cannot be listed, or holds no tars.
        """
        extension = PurePosixPath(self.located.pattern).suffix
        names = ("*",) if re.fullmatch(r"\.\w+", extension) else TARS
        wanted = KeyFilter(names, located=self.located)
        storage = open_lake(self.root)
        found = survey(storage, wanted, known, "tars")
        return found.planned(lambda tars: self.shards(self._divided(storage, tars)))

    def shards(self, sources: Iterable[Source]) -> Iterator[Shard]:
        """Yield a shard for each of these tars, or ranges."""
        for tar in sources:
            yield Shard.of([tar], None if tar.members is None else len(tar.members))

    def _divided(self, storage: Storage, tars: Iterable[Source]) -> Iterator[Source]:
        """Yield the ranges of large tars, and the other tars, in order."""
        with ThreadPoolExecutor(_WALKS_AT_A_TIME) as threads:
            ahead: deque[Future[list[Source]]] = deque()
            for tar in tars:
                ahead.append(threads.submit(self._ranges, storage, tar))
                if len(ahead) > _WALKS_AT_A_TIME:
                    yield from ahead.popleft().result()
            for walk in ahead:
                yield from walk.result()

    def _ranges(self, storage: Storage, tar: Source) -> list[Source]:
        if tar.bytes <= self.bytes_per_shard:
            return [tar]
        wanted = KeyFilter(self.include, self.exclude)
        try:
            with storage.stream(tar.key) as stream:
                found = ranges(stream, wanted, tar.bytes, self.bytes_per_shard)
        except StorageError:  # labelling it says what is wrong, and tries again
            return [tar]
        return [replace(tar, start=start, stop=stop) for start, stop in found] or [tar]

    def read(self, shard: Shard, max_bytes: int = MAX_BYTES) -> Iterator[RawImage]:
        """Yield the images of the shard's tar in order.

        An image's key is `{tar}/{member}`. A damaged or truncated tar yields the images before the
        damage and then one error with the key `{tar}#truncated`, or `{tar}#{start}` of a range, so
        that the shard commits and the loss is recorded. Where only some members are wanted, each of
        them yields one image.

        Args:
            shard: a shard of this reader's plan.
            max_bytes: larger members are not read.

        Raises:
            StorageError: the store failed, or returned fewer bytes than it listed.
        """
        storage = opened(self.root)
        wanted = KeyFilter(self.include, self.exclude)
        for tar in shard.sources:
            count, uri = 0, storage.uri_of(tar.key)
            left = None if tar.members is None else set(tar.members)
            whole, reason = tar.damage_key, "the tar has no such image any more"
            try:
                now = storage.stat(tar.key)
                note = tar.note_of(now.etag, now.bytes)
                seen: Counter[str] = Counter()

                def counted(name: str, seen: Counter[str] = seen) -> bool:
                    seen[PurePosixPath(name).suffix.lower()] += 1
                    return wanted(name)

                opened_tar = partial(_opened, storage, tar, now.bytes)
                plain = tar.start is not None
                for name, payload in images(opened_tar, counted, max_bytes, plain):
                    if left is None or name in left:
                        member = f"tar://{name}::{uri}"
                        yield RawImage(f"{tar.key}/{name}", member, payload, note)
                        count += 1
                    if left is not None:
                        left.discard(name)
                        if not left:
                            break
                error = None
                if left is None and not count and not plain:
                    whole, error = tar.key, ImageError("undecodable", _no_images(seen))
            except NotFoundError as e:
                others = (s for s in shard.sources if s.key != tar.key)
                evidence = require_evidence(storage, e, others)
                whole = tar.key if tar.start is None else tar.damage_key
                reason = f"{e}; it was there when planned; {evidence}"
                error = ImageError("unreadable", reason)
            except ShardError as e:
                reason = f"{e}; {count} images before the damage were read"
                error = ImageError("unreadable", reason)
            if left is None and error is not None:
                yield RawImage(whole, uri, error)
            for name in sorted(left or ()):
                error = ImageError("unreadable", reason)
                yield RawImage(f"{tar.key}/{name}", f"tar://{name}::{uri}", error)


@contextmanager
def _opened(storage: Storage, tar: Source, size: int) -> Iterator[SizedStream | TarRange]:
    """Open a tar that has `size` bytes now, or a range of it."""
    uri = storage.uri_of(tar.key)
    with storage.stream(tar.key) as stream:
        if tar.start is None or tar.stop is None:
            yield SizedStream(stream, size, uri)
        else:
            stop = min(tar.stop, size)
            stream.seek(min(tar.start, size))
            part = SizedStream(stream, stop - tar.start, uri)
            yield TarRange(part, stop - tar.start, ends=size < tar.stop or tar.stop == tar.bytes)


def _no_images(seen: Mapping[str, int]) -> str:
    """Say what a tar holds that holds no image."""
    held = by_extension(dict(sorted(seen.items(), key=lambda pair: -pair[1]))) or "no files"
    inner = "; tars inside a tar are not read: extract them" if {".tar", ".tgz"} & {*seen} else ""
    return f"no image in the tar, which holds {held}{inner}; `reader.include` lists the types"
