"""Reads one named embedding of an output folder: the rows that classes are fitted to."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samseg.errors import CodebookError
from samseg.output import Output
from samseg.types import Bool

SAM = "sam"
"""The embedding in the table `masks`."""


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The table of one embedding, a part per shard.

    Attributes:
        output: the folder.
        name: of the embedding.
        recipe: fingerprint of its recipe.
    """

    output: Output
    name: str
    recipe: str

    def ids(self, shard: str) -> tuple[pa.Array, Bool]:
        """Return the mask ids of one part, and which of them have an embedding, (n,) bool."""
        part = self.output.read(self.output.masks_key(shard), ["mask_id", "status"])
        present = pc.equal(part["status"], "ok").to_numpy().astype(np.bool_)
        return part["mask_id"].combine_chunks(), present

    def rows(self, shard: str) -> pa.Table:
        """Read `mask_id`, `image_id` and `embedding` (null without one), in the order of `ids`."""
        key = self.output.masks_key(shard)
        return self.output.read(key, ["mask_id", "image_id", "embedding"])

    def count(self, shard: str) -> int:
        """Return the number of masks with an embedding in one part."""
        part = self.output.read(self.output.masks_key(shard), ["status"])
        return int(pc.sum(pc.equal(part["status"], "ok")).as_py() or 0)


def open_embeddings(output: Output, name: str, sam_recipe: str) -> Embeddings:
    """Open an embedding by name.

    Args:
        output: the folder.
        name: of the embedding.
        sam_recipe: fingerprint of the recipe of `masks`.

    Raises:
        CodebookError: the folder does not have it.
    """
    if name != SAM:
        raise CodebookError(
            f"{output.uri} has no embedding {name!r} (it has: {SAM}); set cluster.embedding to one "
            "that it has"
        )
    return Embeddings(output, name, sam_recipe)
