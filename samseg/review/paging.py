"""Pages of a long list, and numbers in addresses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pages:
    """One page of a list.

    Attributes:
        total: length of the list.
        page: from 1.
        size: entries of a page.
    """

    total: int
    page: int
    size: int

    @classmethod
    def of(cls, total: int, wanted: int, size: int) -> "Pages":
        """Return the wanted page, or the nearest that there is."""
        return cls(total, min(max(1, wanted), max(1, -(-total // size))), size)

    @property
    def last(self) -> int:
        """The last page."""
        return max(1, -(-self.total // self.size))

    @property
    def first_shown(self) -> int:
        """Place of the first entry on the page, from 1; 0 if there is none."""
        return min(self.total, (self.page - 1) * self.size + 1)

    @property
    def last_shown(self) -> int:
        """Place of the last entry on the page."""
        return min(self.total, self.page * self.size)

    def part(self, values: Sequence[T]) -> Sequence[T]:
        """Return the entries of the page."""
        return values[(self.page - 1) * self.size : self.page * self.size]


def number(text: str | None, otherwise: int) -> int:
    """Return the number in an address; another value where it is none, or has many digits."""
    plain = (text or "").removeprefix("-")
    return (
        int(text or "") if plain.isascii() and plain.isdecimal() and len(plain) < 10 else otherwise
    )
