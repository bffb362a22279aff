"""Distances of masks to their nearest class, sampled from the assignments of some shards."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from samseg import schema
from samseg.output import Output
from samseg.types import Int32

SHARDS = 64
"""Shards of which assignments are read, at most."""
_READS_AT_A_TIME = 16
_COLUMNS = ["mask_id", "class_id", "distance"]


@dataclass(frozen=True, slots=True, eq=False)
class Distances:
    """Masks that have a distance: columns of equal length.

    Attributes:
        mask_ids: (n,) string.
        shards: n ids of the shards that have their rows.
        class_ids: (n,) int32.
        values: (n,) float64, cosine distance to the nearest class.
    """

    mask_ids: pa.Array
    shards: Sequence[str]
    class_ids: Int32
    values: NDArray[np.float64]

    @classmethod
    def of_parts(cls, parts: Mapping[str, pa.Table]) -> "Distances":
        """Return the rows of assignments by shard."""
        tables = [schema.ASSIGNMENTS.empty_table().select(_COLUMNS), *parts.values()]
        table = pa.concat_tables([part.replace_schema_metadata() for part in tables])
        return cls(
            table["mask_id"].combine_chunks(),
            [shard for shard, part in parts.items() for _ in range(part.num_rows)],
            table["class_id"].to_numpy(),
            table["distance"].to_numpy().astype(np.float64),
        )

    def of(self, class_id: int) -> NDArray[np.float64]:
        """Return the distances of the masks of one class."""
        return self.values[self.class_ids == class_id]


def read_distances(
    output: Output, version: int, shards: Sequence[str], prototypes: pa.Array
) -> Distances:
    """Read the distances of the first shards.

    Args:
        output: the output folder.
        version: of the codebook.
        shards: ids of shards that have assignments.
        prototypes: ids of masks to leave out: the distance of a prototype to itself is 0.
    """

    def read(shard: str) -> pa.Table:
        rows = output.read(output.assignments_key(version, shard), _COLUMNS)
        own = pc.is_in(rows["mask_id"], value_set=prototypes)
        return rows.filter(pc.and_(pc.is_valid(rows["distance"]), pc.invert(own)))

    some = shards[:SHARDS]
    with ThreadPoolExecutor(_READS_AT_A_TIME) as threads:
        return Distances.of_parts(dict(zip(some, threads.map(read, some), strict=True)))


def prototypes_of_masks(output: Output, version: int) -> tuple[pa.Array, bool]:
    """Return the masks that are prototypes, and whether the others are means of classes."""
    core: Any = output.read(output.codebook_key(version, "core.parquet"), ["mask_id"])["mask_id"]
    return core.drop_null().combine_chunks(), core.null_count > 0


def held_out(distance: float, fitted: int) -> float:
    """Return the expected distance to a mean of masks that are not in it.

    Let m be the mean of n unit vectors and c the mean cosine of two different ones. Then
    |m|^2 = (1 + (n - 1) c) / n; the mean cosine with m is |m| for its own vectors, and c / |m| for
    others of the same distribution.

    Args:
        distance: mean cosine distance to the mean, of the masks that it is the mean of.
        fitted: how many these are, at least 1.
    """
    length = 1 - distance
    if fitted < 2 or length <= 0:
        return distance
    cosine = (fitted * length**2 - 1) / (fitted - 1)
    return 1 - cosine / length
