"""Streams over obstore and fsspec, as `io` has them."""

import io
from collections.abc import Callable
from typing import Any


class RawReader(io.RawIOBase):
    """Adapter of the readers of obstore and fsspec to the `io` interface that tarfile expects.

    A read that breaks is repeated at its position, by a reader opened anew.
    """

    def __init__(self, opened: Callable[[], Any], ask: Callable[[Callable[[], Any]], Any]):
        self._opened, self._ask = opened, ask
        self._reader = ask(opened)

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into `buffer`, and return the number of bytes."""
        at, broken = self.tell(), False

        def read() -> memoryview:
            nonlocal broken
            if broken:
                self._reader = self._opened()
                try:
                    self._reader.seek(at)
                except ValueError as e:  # a web server without ranges
                    raise OSError(f"a read broke at byte {at} and cannot be repeated: {e}") from e
            broken = True
            return memoryview(self._reader.read(len(buffer)))

        chunk = self._ask(read)
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position."""
        return int(self._reader.seek(offset, whence))

    def tell(self) -> int:
        """Return the position."""
        return int(self._reader.tell())
