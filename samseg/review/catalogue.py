"""All masks of an output folder in memory, with the class that the codebook gives each.

Read once, when the page starts. It takes about 60 bytes per mask, and twice that while it is read.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samseg.class_counts import CLEAR
from samseg.edits.edit import Exemplar
from samseg.errors import ConfigError
from samseg.output import Output
from samseg.schema import ASSIGNMENTS
from samseg.superseded import is_current, superseded
from samseg.types import NOISE, Bool, Float32, Int32, Int64

_READS_AT_A_TIME = 8
_COLUMNS = ["mask_id", "class_id", "distance", "margin"]


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """n masks in the order of their ids, so that those of one image follow each other.

    Attributes:
        version: of the codebook.
        shards: ids of the shards that have the masks.
        ids: n ids, an Arrow array of text.
        raw: (n,) int32, the class of each mask under the codebook.
        cells: (n,) int32, its cell in the codebook's tree, -1 for none; None without a tree.
        shard: (n,) int32, position of each mask's shard in `shards`.
        image: (n,) int32, counts the images; the same for all masks of one.
        distance: (n,) float32, cosine distance to the nearest prototype; NaN where unknown.
        ratio: (n,) float32, distance to the next class over `distance`: 1 is undecided; inf where
            there is no other class.
        unassigned: committed shards without assignments; their masks are not here.
    """

    version: int
    shards: tuple[str, ...]
    ids: pa.Array
    raw: Int32
    cells: Int32 | None
    shard: Int32
    image: Int32
    distance: Float32
    ratio: Float32
    unassigned: int

    def __len__(self) -> int:
        return len(self.shard)

    def assignments(self, rows: Int64) -> pa.Table:
        """Return `mask_id`, `class_id` and `cell` of some masks, as the codebook has them."""
        columns = {"mask_id": self.ids.take(pa.array(rows)), "class_id": pa.array(self.raw[rows])}
        if self.cells is not None:
            columns["cell"] = pa.array(self.cells[rows])
        return pa.table(columns)

    @property
    def clear(self) -> Bool:
        """Which masks are clearly of their class, (n,) bool; see `samseg.class_counts.CLEAR`."""
        return self.ratio >= CLEAR

    def mask_id(self, row: int) -> str:
        """Return the id of a mask."""
        return str(self.ids[int(row)].as_py())

    def mask_ids(self, rows: Sequence[int] | Int64) -> list[str]:
        """Return the ids of masks."""
        ids: list[str] = self.ids.take(pa.array(rows, pa.int64())).to_pylist()
        return ids

    def shard_of(self, row: int) -> str:
        """Return the id of the shard that has a mask."""
        return self.shards[self.shard[row]]

    def find(self, mask_id: str) -> int | None:
        """Return the row of a mask, None if it is not here."""
        row = self._at(mask_id)
        return row if row < len(self) and self.mask_id(row) == mask_id else None

    def rows_of(self, mask_ids: Sequence[str]) -> Int64:
        """Return the rows of those masks that are here, (k,) int64, ascending."""
        if len(mask_ids) > 1000:
            found = pc.index_in(pa.array(mask_ids, pa.string()), value_set=self.ids)
            return np.sort(found.drop_null().to_numpy().astype(np.int64))
        rows = (self.find(mask) for mask in mask_ids)
        return np.array(sorted(row for row in rows if row is not None), np.int64)

    def images(self, rows: Int64) -> int:
        """Return how many images some masks are of."""
        return len(np.unique(self.image[rows]))

    def image_rows(self, image_id: str) -> range:
        """Return the rows of the masks of an image; none if it is not here."""
        return range(self._at(f"{image_id}-"), self._at(f"{image_id}."))

    def located(self, mask_ids: Sequence[str]) -> list[Exemplar]:
        """Return masks with their shards.

        Raises:
            ConfigError: one is not here.
        """
        found = []
        for mask in mask_ids:
            row = self.find(mask)
            if row is None:
                raise ConfigError(f"there is no mask {mask!r} among the {len(self)} of this page")
            found.append(Exemplar(mask_id=mask, shard_id=self.shard_of(row)))
        return found

    def _at(self, mask_id: str) -> int:
        return bisect_left(range(len(self)), mask_id, key=lambda i: self.ids[i].as_py())


def load_catalogue(
    output: Output, version: int, on_progress: Callable[[int], None] = lambda masks: None
) -> Catalogue:
    """Read the assignments of all shards under a codebook.

    Args:
        output: the output folder.
        version: of the codebook.
        on_progress: called with the number of masks read so far.
    """
    committed = output.committed()
    assigned = output.assigned(version)
    shards = tuple(sorted(committed & assigned))
    again = superseded(output, committed)
    has_tree = output.storage.exists(output.codebook_key(version, "tree.parquet"))
    columns = [*_COLUMNS, "cell"] if has_tree else _COLUMNS

    def read(number: int) -> pa.Table:
        shard = shards[number]
        part = output.read(output.assignments_key(version, shard), columns)
        part = part.filter(pa.array(is_current(part["mask_id"], again.get(shard, ()))))
        at = pa.array(np.full(part.num_rows, number, np.int32))
        return part.append_column("shard", at)

    parts: list[pa.Table] = []
    masks = 0
    with ThreadPoolExecutor(_READS_AT_A_TIME) as threads:
        for part in threads.map(read, range(len(shards))):
            parts.append(part)
            masks += part.num_rows
            on_progress(masks)
    table = _concatenated(parts, columns)
    table = table.take(pc.sort_indices(table["mask_id"]))
    distance, margin = (_floats(table[c]) for c in ("distance", "margin"))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (distance + margin) / distance
    ids = table["mask_id"].combine_chunks()
    images = pc.replace_substring_regex(ids, pattern="-[0-9]+$", replacement="")
    return Catalogue(
        version=version,
        shards=shards,
        ids=ids,
        raw=_integers(table["class_id"]),
        cells=_integers(table["cell"]) if has_tree else None,
        shard=_integers(table["shard"]),
        image=images.dictionary_encode().indices.to_numpy().astype(np.int32),
        distance=distance,
        ratio=np.where(np.isnan(ratio), np.inf, ratio).astype(np.float32),
        unassigned=len(committed - assigned),
    )


def _concatenated(parts: list[pa.Table], columns: list[str]) -> pa.Table:
    """Return the parts as one table of one chunk; there may be none."""
    fields = [*(ASSIGNMENTS.field(c) for c in columns), pa.field("shard", pa.int32())]
    empty = pa.schema(fields).empty_table()
    return pa.concat_tables([empty, *(part.cast(empty.schema) for part in parts)])


def _floats(column: pa.ChunkedArray) -> Float32:
    return np.asarray(column.fill_null(np.nan).to_numpy(), np.float32)


def _integers(column: pa.ChunkedArray) -> Int32:
    return np.asarray(column.fill_null(NOISE).to_numpy(), np.int32)
