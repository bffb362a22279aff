"""The tags of a TIFF or BigTIFF: directories in file order, values on request.

Read from bytes of unknown origin: every offset and count is checked against the length of the file
before anything of its size is allocated.

Source: TIFF revision 6.0, sections 2 and 7; TIFF Technical Note 1 (trees of images); the BigTIFF
design of libtiff.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

_DIRECTORIES = 1000
"""Directories that are searched; later ones are not looked at."""

_MOST_TAGS = 4096
_MOST_INTEGERS = 1 << 20

_TYPES = {
    **{1: "u1", 2: "S1", 3: "u2", 4: "u4", 5: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 10: "i4"},
    **{11: "f4", 12: "f8", 13: "u4", 16: "u8", 17: "i8", 18: "u8"},
}
"""NumPy types of the values of a field, by TIFF type; rationals are pairs."""

_RATIONALS = (5, 10)
_SUB_IFDS = 330


@dataclass(frozen=True)
class Directory:
    """One image file directory.

    Attributes:
        payload: the whole file.
        order: byte order, `<` or `>`.
        offset: where the directory begins.
        fields: TIFF type, count and offset of the values, by tag; the first field of a tag counts.
    """

    payload: bytes
    order: Literal["<", ">"]
    offset: int
    fields: dict[int, tuple[int, int, int]]

    def __contains__(self, tag: int) -> bool:
        return tag in self.fields

    def values(self, tag: int) -> NDArray[Any]:
        """Return the values of a tag, (n,), in the byte order of the machine; (0,) if it is absent.

        The two numbers of a rational are two values.

        Raises:
            ValueError: they lie outside the file, or have an unknown type.
        """
        if tag not in self.fields:
            return np.zeros(0, dtype=np.uint8)
        kind, count, offset = self.fields[tag]
        if kind not in _TYPES:
            raise ValueError(f"tag {tag} has the unknown type {kind}")
        dtype = np.dtype(_TYPES[kind]).newbyteorder(self.order)
        count *= 2 if kind in _RATIONALS else 1
        if offset + count * dtype.itemsize > len(self.payload):
            raise ValueError(f"the {count} values of tag {tag} lie outside the file")
        found = np.frombuffer(self.payload, dtype, count, offset)
        return found.astype(dtype.newbyteorder("="), copy=False)

    def integers(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Return the values of a tag as integers, or `default` if it is absent.

        Raises:
            ValueError: they lie outside the file, are no integers, or are more than a million.
        """
        if tag not in self.fields:
            return default
        found = self.values(tag)
        if len(found) > _MOST_INTEGERS:
            raise ValueError(f"tag {tag} has {len(found)} values")
        if found.dtype.kind not in "ui" or self.fields[tag][0] in _RATIONALS:
            raise ValueError(f"tag {tag} holds no integers")
        return tuple(found.tolist())

    def integer(self, tag: int, default: int) -> int:
        """Return the first value of a tag, or `default` if it is absent or has no values."""
        return (self.integers(tag) or (default,))[0]

    def text(self, tag: int) -> str:
        """Return the text of a tag up to its first NUL; empty if it is absent."""
        return self.values(tag).tobytes().partition(b"\0")[0].decode("ascii", "replace").strip()


def is_tiff(payload: bytes) -> bool:
    """Return whether a file has the signature of a TIFF or BigTIFF."""
    return payload[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def directories(payload: bytes) -> Iterator[Directory]:
    """Yield the directories of a TIFF in file order, the sub-directories of each behind it.

    Raises:
        ValueError: a directory lies outside the file or has too many tags. The directories before
            it were yielded.
    """
    order: Literal["<", ">"] = "<" if payload[:1] == b"I" else ">"
    big = payload[2:4] in (b"+\0", b"\0+")
    at = _unpacked(order + ("Q" if big else "L"), payload, 8 if big else 4)
    pending, seen = [at], {0}
    while pending and len(seen) <= _DIRECTORIES:
        if (at := pending.pop()) in seen:
            continue
        seen.add(at)
        directory, following = _directory(payload, order, at, big)
        yield directory
        pending.append(following)
        pending.extend(reversed(directory.integers(_SUB_IFDS)[:_DIRECTORIES]))


def starting_at(payload: bytes, directory: Directory) -> bytes:
    """Return a TIFF whose first directory is `directory`: the file with another header."""
    if payload[2:4] in (b"+\0", b"\0+"):
        return payload[:8] + struct.pack(directory.order + "Q", directory.offset) + payload[16:]
    return payload[:4] + struct.pack(directory.order + "L", directory.offset) + payload[8:]


def _directory(
    payload: bytes, order: Literal["<", ">"], at: int, big: bool
) -> tuple[Directory, int]:
    """Read a directory; return it and the offset of the next one.

    That offset is 0 at the end of the chain, and where the file ends with its last directory.
    """
    counted, entry, word = ("Q", "HHQ", "Q") if big else ("H", "HHL", "L")
    count = _unpacked(order + counted, payload, at)
    start, width = at + struct.calcsize("=" + counted), struct.calcsize("=" + entry + word)
    if count > _MOST_TAGS or start + count * width > len(payload):
        raise ValueError(f"a directory of {count} tags at byte {at} is too long")
    fields: dict[int, tuple[int, int, int]] = {}
    for place in range(start, start + count * width, width):
        tag, kind, values = struct.unpack_from(order + entry, payload, place)
        inline = place + struct.calcsize("=" + entry)
        size = np.dtype(_TYPES.get(kind, "u1")).itemsize * (2 if kind in _RATIONALS else 1)
        fits = values * size <= struct.calcsize("=" + word)
        where = inline if fits else _unpacked(order + word, payload, inline)
        fields.setdefault(tag, (kind, values, where))
    end = start + count * width
    cut = end + struct.calcsize("=" + word) > len(payload)
    following = 0 if cut else _unpacked(order + word, payload, end)
    return Directory(payload, order, at, fields), following


def _unpacked(form: str, payload: bytes, at: int) -> int:
    if at + struct.calcsize(form) > len(payload):
        raise ValueError(f"an offset at byte {at} lies outside the file")
    return int(struct.unpack_from(form, payload, at)[0])
