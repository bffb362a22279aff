"""The rows of one shard in the table of one named embedding, and their part."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from samseg import schema
from samseg.features import MaskEmbeddings
from samseg.output import Output
from samseg.types import Float32, sample_rank_of

ROW_GROUP = 1000
"""Rows of a row group: what reading a prefix of a part costs at least."""


class NamedRows:
    """Rows of `embeddings/{name}` for one shard, collected image by image."""

    def __init__(self, name: str, dimension: int):
        """Start with no rows.

        Args:
            name: the embedding's name.
            dimension: length of its vectors.
        """
        self.name = name
        self.dimension = dimension
        self._mask_ids: list[str] = []
        self._statuses: list[str] = []
        self._vectors: list[Float32] = []

    @property
    def statuses(self) -> Counter[str]:
        """Number of rows per status."""
        return Counter(self._statuses)

    def add(self, mask_ids: Sequence[str], found: MaskEmbeddings) -> None:
        """Add the masks of one image."""
        self._mask_ids += mask_ids
        self._statuses += found.statuses
        self._vectors.append(found.vectors)

    def add_without(self, mask_ids: Sequence[str], status: str) -> None:
        """Add the masks of one image that could not be read; none of them has a vector."""
        vectors = np.zeros((len(mask_ids), self.dimension), np.float32)
        self.add(mask_ids, MaskEmbeddings(vectors, (status,) * len(mask_ids)))

    def table(self) -> pa.Table:
        """Return the rows in the order by which samples are drawn."""
        ranks = [sample_rank_of(mask_id) for mask_id in self._mask_ids]
        order = np.argsort(np.array(ranks, dtype=np.uint64), kind="stable")
        vectors = np.concatenate([np.zeros((0, self.dimension), np.float32), *self._vectors])
        statuses = np.array(self._statuses, dtype=object)[order]
        columns = [
            pa.array([self._mask_ids[i] for i in order], pa.string()),
            pa.array(statuses.tolist(), pa.string()),
            schema.embeddings_of(vectors[order], statuses == "ok"),
        ]
        return pa.table(columns, schema=schema.sized(schema.EMBEDDINGS, self.dimension))

    def put(self, output: Output, shard_id: str) -> bool:
        """Write the part; an existing one is kept.

        Returns:
            Whether this call wrote it.
        """
        key = output.embeddings_key(self.name, shard_id)
        return output.storage.put_new(key, schema.encode(self.table(), ROW_GROUP))
