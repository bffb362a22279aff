"""A large JSON file, decoded element by element: its text is in memory, its objects are not."""

import json
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from samseg.errors import ConfigError
from samseg.printable import printable_line

LARGEST = 4 * 10**9
"""Bytes of a file that is read."""
_SPACE = re.compile(r"[ \t\n\r]*")


class JsonText:
    """The text of a JSON file.

    Attributes:
        name: of the file, for messages.
        keys: of the object that the file is, as far as `walk` has come; empty for an array.
    """

    def __init__(self, name: str, text: str):
        """Decode nothing yet."""
        self.name, self.keys = name, set[str]()
        self._text, self._decode = text, json.JSONDecoder().raw_decode

    @property
    def is_array(self) -> bool:
        """Whether the whole file is an array."""
        start = self._skip(0)
        return self._text[start : start + 1] == "["

    def walk(self) -> Iterator[tuple[str, int, Any]]:
        """Yield key, position and value of what the file holds, in its order.

        Of arrays, one element after the other is yielded. The key is empty where the whole file is
        an array.

        Raises:
            ConfigError: the text is no JSON, or neither an object nor an array.
        """
        start = self._skip(0)
        if self._text[start : start + 1] == "[":
            end = yield from self._elements("", start)
        elif self._text[start : start + 1] == "{":
            end = yield from self._members(start)
        else:
            raise ConfigError(f"{self.name} is neither a JSON object nor an array")
        if self._skip(end) != len(self._text):
            raise self._mistake(end, "the end of the file")

    def at(self, position: int) -> Any:
        """Return the value that `walk` yielded with this position."""
        return self._value(position)[0]

    def _members(self, start: int) -> Generator[tuple[str, int, Any], None, int]:
        """Yield what an object holds; returns its end."""
        at, closed = self._skip(start + 1), "}"
        while self._text[at : at + 1] != closed:
            key, end = self._value(at)
            at = self._skip(end)
            if not isinstance(key, str) or self._text[at : at + 1] != ":":
                raise self._mistake(at, "a key and a colon")
            if key in self.keys:
                raise ConfigError(f"{self.name} has the key {key!r} twice")
            self.keys.add(key)
            at = self._skip(at + 1)
            if self._text[at : at + 1] == "[":
                end = yield from self._elements(key, at)
            else:
                value, end = self._value(at)
                yield key, at, value
            at = self._next(end, closed)
        return at + 1

    def _elements(self, key: str, start: int) -> Generator[tuple[str, int, Any], None, int]:
        """Yield the elements of an array; returns its end."""
        at, closed = self._skip(start + 1), "]"
        while self._text[at : at + 1] != closed:
            value, end = self._value(at)
            yield key, at, value
            at = self._next(end, closed)
        return at + 1

    def _next(self, end: int, closed: str) -> int:
        """Return where the next element begins, or where `closed` is."""
        at = self._skip(end)
        if self._text[at : at + 1] == ",":
            at = self._skip(at + 1)
            if self._text[at : at + 1] == closed:
                raise self._mistake(at, "another element")
        elif self._text[at : at + 1] != closed:
            raise self._mistake(at, f"`,` or `{closed}`")
        return at

    def _value(self, at: int) -> tuple[Any, int]:
        try:
            return self._decode(self._text, at)
        except ValueError as e:  # also of a number of more digits than Python reads
            raise ConfigError(f"{self.name} is not valid JSON: {e}") from e
        except RecursionError as e:
            raise ConfigError(f"{self.name} is nested too deeply at character {at}") from e

    def _skip(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        return at if found is None else found.end()

    def _mistake(self, at: int, wanted: str) -> ConfigError:
        line = self._text.count("\n", 0, at) + 1
        got = self._text[at : at + 10]
        return ConfigError(f"{self.name} is not valid JSON: line {line}: {got!r} is not {wanted}")


def read_json_text(path: Path) -> JsonText:
    """Read a local file.

    Raises:
        ConfigError: it cannot be read, is too large, or no text.
    """
    name = printable_line(str(path))
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise ConfigError(
                f"{name} has {size / 1e9:.1f} GB, and up to {LARGEST / 1e9:.0f} GB are read; "
                "divide it by images"
            )
        return JsonText(name, path.read_text("utf-8-sig"))
    except UnicodeDecodeError as e:
        raise ConfigError(f"{name} is no text in UTF-8, which JSON is") from e
    except OSError as e:
        raise ConfigError(f"{name} cannot be read: {e.strerror or e}") from e
