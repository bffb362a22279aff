"""Divides a large plain tar into ranges, so that it is not one commit.

Where a member begins is known from the headers before it alone: a search for something that looks
like a header would also find those of a tar inside the tar. So the plan walks the headers of every
large tar once, with the code that reads it later, and seeks over the members. A store is read in
blocks of 4 MB, which costs, of members smaller than that, about as much as reading the tar; several
tars are walked at a time. A range is cut before an image, its extended headers included.

A tar stays whole where a range of it could not be read without the rest: if it is compressed, has
links, two images of one name, or PAX headers for all members after them; and if it is damaged.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import BinaryIO

from samseg.errors import ShardError
from samseg.readers.tar import SizedStream, headers, text_of

_END = bytes(1024)
"""What ends an archive: two blocks of zeros."""


def ranges(
    stream: BinaryIO, wanted: Callable[[str], bool], size: int, most: int
) -> list[tuple[int, int]]:
    """Return the ranges of a tar, in order; each has images, and all of them are in one.

    Args:
        stream: the tar, seekable.
        wanted: whether the member of this name is an image.
        size: bytes of the tar.
        most: bytes of a range. A range ends with the image that reaches them.

    Returns:
        (start, stop) of two ranges or more, in bytes; nothing if the tar stays whole.
    """
    starts, names, images = [0], set[str](), 0
    try:
        for header in headers(stream):
            name = text_of(header.name)
            if header.isdir() or not wanted(name):
                continue
            if name in names or not header.isreg():
                return []
            names.add(name)
            if images and header.offset - starts[-1] >= most:
                starts.append(header.offset)
                images = 0
            images += 1
    except ShardError:  # reading it says what is wrong
        return []
    return list(pairwise([*starts, size])) if len(starts) > 1 else []


class TarRange:
    """A range of a tar as a stream of a whole one."""

    def __init__(self, stream: SizedStream, size: int, ends: bool):
        """Read from where the stream is.

        Args:
            stream: the tar.
            size: bytes of the range.
            ends: whether the tar ends with it.
        """
        self._stream, self._left = stream, size
        self._end = b"" if ends else _END

    def read(self, n: int) -> bytes:
        """Read at most `n` bytes."""
        if self._left <= 0:
            chunk, self._end = self._end[:n], self._end[n:]
            return chunk
        chunk = self._stream.read(min(n, self._left))
        self._left -= len(chunk)
        return chunk
