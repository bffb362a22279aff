"""Compares the rows of a disturbed output folder with those of a calm one."""

from collections import Counter
from collections.abc import Collection
from dataclasses import astuple, dataclass
from typing import Any

from samseg import schema
from samseg.output import Output

IDS = {"images": "image_id", "masks": "mask_id"}
NOT_COMPARED = ("seconds", "shard_id")


@dataclass(frozen=True)
class Difference:
    """Number of rows of the calm run, and of those that another lacks, repeats or changes."""

    rows: int = 0
    lost: int = 0
    doubled: int = 0
    different: int = 0

    def __add__(self, other: "Difference") -> "Difference":
        return Difference(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def none(self) -> bool:
        """Whether the rows are the same."""
        return not (self.lost or self.doubled or self.different)


def rows_of(output: Output, table: str) -> list[dict[str, Any]]:
    """Return the rows of all parts of a table."""
    parts = [source.key for source in output.storage.list(f"{table}/")]
    return [row for key in parts for row in schema.decode(output.storage.get(key)).to_pylist()]


def difference(calm: Output, found: Output, apart: Collection[str] = ()) -> Difference:
    """Compare the images and masks of two folders.

    Args:
        calm: the folder of an undisturbed run.
        found: the other one.
        apart: keys of images that only `found` has, with a row each and no masks.
    """
    total = Difference()
    for table, id_ in IDS.items():
        wanted = {row[id_]: _compared(row) for row in rows_of(calm, table)}
        got = [r for r in rows_of(found, table) if table == "masks" or r["key"] not in apart]
        times = Counter(row[id_] for row in got)
        total += Difference(
            rows=len(wanted),
            lost=len(wanted.keys() - times.keys()),
            doubled=sum(times.values()) - len(times),
            different=sum(_compared(row) != wanted.get(row[id_]) for row in got),
        )
    return total


def _compared(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in NOT_COMPARED}
