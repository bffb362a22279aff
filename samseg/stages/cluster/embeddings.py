"""Reads one named embedding of an output folder: the rows that classes are fitted to."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samseg.errors import CodebookError
from samseg.output import Output
from samseg.recipe import fingerprint
from samseg.schema import SAM_COLUMN
from samseg.stages.embeddings import read_embeddings
from samseg.superseded import Superseded, is_current, superseded
from samseg.types import Bool


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The table of one embedding, a part per shard.

    Attributes:
        output: the folder.
        name: of the embedding.
        recipe: fingerprint of its recipe.
        superseded: images whose masks do not count.
    """

    output: Output
    name: str
    recipe: str
    superseded: Superseded = field(default_factory=dict)

    def shards(self) -> set[str]:
        """Return the committed shards that have the embedding."""
        committed = self.output.committed()
        return committed if self.name == SAM_COLUMN else committed & self.output.embedded(self.name)

    def has(self, shard: str) -> bool:
        """Return whether a committed shard has the embedding."""
        key = self.output.embeddings_key(self.name, shard)
        return self.name == SAM_COLUMN or self.output.storage.exists(key)

    def require_all(self) -> None:
        """Check that all committed shards have the embedding.

        Raises:
            CodebookError: some lack it; classes fitted to the others would not be the lake's.
        """
        committed = self.output.committed()
        if lacking := len(committed - self.shards()):
            raise CodebookError(
                f"{lacking} of {len(committed)} committed shards of {self.output.uri} lack the "
                f"embedding {self.name!r}, so classes cannot be fitted to it; run `samseg describe "
                "-c CONFIG` first, or set cluster.embedding to another one"
            )

    def ids(self, shard: str) -> tuple[pa.Array, Bool]:
        """Return the mask ids of one part, and which count and have an embedding, (n,) bool."""
        part = read_embeddings(self.output, shard, self.name, ["mask_id", "status"])
        present = pc.equal(part["status"], "ok").to_numpy().astype(np.bool_)
        return part["mask_id"].combine_chunks(), present & self.is_current(shard, part["mask_id"])

    def is_current(self, shard: str, mask_ids: pa.ChunkedArray) -> Bool:
        """Return which masks of a shard count, (n,) bool."""
        return is_current(mask_ids, self.superseded.get(shard, ()))

    @property
    def ranked(self) -> bool:
        """Whether the rows of a part are in the order of `samseg.types.sample_rank_of`."""
        return self.name != SAM_COLUMN

    def rows(self, shard: str, first: int | None = None) -> pa.Table:
        """Read `mask_id`, `image_id` and `embedding` (null without one), in the order of `ids`.

        Args:
            shard: its id.
            first: read at least the first so many rows; all for None.
        """
        columns = ["mask_id", "image_id", "embedding"]
        return read_embeddings(self.output, shard, self.name, columns, first)

    def count(self, shard: str) -> int:
        """Return the number of masks of one part that count and have an embedding."""
        if shard in self.superseded:
            return int(self.ids(shard)[1].sum())
        part = read_embeddings(self.output, shard, self.name, ["status"])
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
    if name == SAM_COLUMN:
        return Embeddings(output, name, sam_recipe, superseded(output, output.committed()))
    recipe = output.recipe(name)
    if recipe is None:
        raise CodebookError(
            f"{output.uri} has no embedding {name!r} (it has: "
            f"{', '.join([SAM_COLUMN, *output.embeddings()])}); set cluster.embedding to one that "
            "it has, or list it under `embeddings` and run `samseg describe -c CONFIG`"
        )
    counted = superseded(output, output.committed())
    return Embeddings(output, name, fingerprint(recipe), counted)
