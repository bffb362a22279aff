"""The lake: its objects, shards and images, and the ids derived from them."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from samseg.types.arrays import Pixels


@dataclass(frozen=True, slots=True)
class Source:
    """One object of the lake: an image file, a tar of images, or a range of a tar.

    Attributes:
        key: stable name: `/`-separated path below the root of the lake.
        uri: address to open it at.
        etag: the store's version tag; modification time and size if it has none.
        bytes: size of the object.
        retry_of: where images are labelled again: the shard that has their failed rows.
        members: names of the images to label again in a tar; None for all that have no masks yet.
        start: where the range begins, the offset of a header in bytes; None for a whole object.
        stop: where it ends: the `start` of the next range, or the size of the tar.
    """

    key: str
    uri: str
    etag: str
    bytes: int
    retry_of: str | None = None
    members: tuple[str, ...] | None = None
    start: int | None = None
    stop: int | None = None

    @property
    def first(self) -> bool:
        """Whether this is a whole object, or the first range of one."""
        return not self.start

    @property
    def damage_key(self) -> str:
        """Key of the row that stands for what could not be read of a tar."""
        return f"{self.key}#{'truncated' if self.start is None else self.start}"

    def note_of(self, etag: str, size: int) -> str:
        """Return the note of an image read from another version of this object, else nothing.

        Args:
            etag: of the version that was read; empty if it is unknown.
            size: its bytes.
        """
        same = etag in ("", self.etag) and size == self.bytes
        return "" if same else "changed_since_plan"


@dataclass(frozen=True, slots=True)
class Shard:
    """The unit of reading, work, commit, retry and resume.

    Attributes:
        id: hash of the content list; independent of rank and position.
        sources: the objects of this shard, in reading order.
        images: number of planned images; None if unknown until it is read (a tar).
        earlier: where a whole tar is read again: earlier shards of it. Images that were labelled
            there are left out.
    """

    id: str
    sources: tuple[Source, ...]
    images: int | None
    earlier: tuple[str, ...] = ()

    @classmethod
    def of(cls, sources: Iterable[Source], images: int | None) -> "Shard":
        """Create a shard; its id depends only on its sources, without their URIs."""
        kept = tuple(sources)
        digest = hashlib.blake2b(digest_size=10)
        for s in kept:
            again = "" if s.retry_of is None else "\0".join(["", s.retry_of, *(s.members or ())])
            part = "" if s.start is None else f"\0{s.start}-{s.stop}"
            text = f"{s.key}\0{s.etag}\0{s.bytes}{part}{again}\n"
            digest.update(text.encode("utf-8", "surrogateescape"))
        return cls(digest.hexdigest(), kept, images)

    @property
    def bytes(self) -> int:
        """Total size of the sources."""
        return sum(s.bytes for s in self.sources)


def image_id_of(key: str) -> str:
    """Return the image id: 20 hex digits of the BLAKE2b hash of the image's key in the lake."""
    return hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=10).hexdigest()


def mask_id_of(image_id: str, mask_index: int) -> str:
    """Return the mask id: image id and position within the image's masks."""
    return f"{image_id}-{mask_index:04d}"


def sample_rank_of(mask_id: str) -> int:
    """Return a 64-bit hash of a mask id; a sample of n masks takes the n smallest ones.

    So samples do not depend on the order of nights or on shards, and a lake that has grown keeps
    most of its sample. Parts of named embeddings are sorted by it: a sample is a prefix of each.
    """
    digest = hashlib.blake2b(mask_id.encode(), digest_size=8, person=b"samseg-ref").digest()
    return int.from_bytes(digest, "big")


@dataclass(frozen=True, slots=True)
class RawImage:
    """One image as returned by a reader, not decoded.

    Attributes:
        key: name of the image in the lake; its id is derived from it.
        uri: address to open this image at (fsspec syntax, `tar://member::uri` in a tar).
        payload: the file's bytes, or the error that occurred when reading them
            (an `ImageError`, typed loosely because this module imports no other samseg module).
        note: what a user should know of the reading (`changed_since_plan`); empty if nothing.
    """

    key: str
    uri: str
    payload: bytes | Exception
    note: str = ""

    @property
    def image_id(self) -> str:
        """The image's id."""
        return image_id_of(self.key)


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """One decoded image.

    Attributes:
        pixels: (h, w, 3) uint8 RGB, upright (EXIF orientation applied), C-contiguous.
        format: container format, upper case (`JPEG`, `PNG` ...).
        note: changes made by the decode policy (`exif_rotated`, `first_frame`, `16_bit` ...),
            comma-separated; empty if none.
    """

    pixels: Pixels
    format: str
    note: str = ""
