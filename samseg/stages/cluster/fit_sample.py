"""Reads the fit sample, and the classes that its masks have under the parent codebook."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samseg import schema
from samseg.clustering.codebook import Codebook
from samseg.clustering.sample import FitSample
from samseg.stages.cluster.embeddings import Embeddings
from samseg.stages.cluster.sampling import Chosen
from samseg.types import NOISE, Float32, Int32, Int64

_READS_AT_A_TIME = 8


@dataclass(frozen=True, slots=True)
class Parent:
    """The codebook that new classes are aligned with, and what it was fitted to.

    Attributes:
        codebook: the newest one so far.
        embeddings: those that it was fitted to.
        assigned: the shards that have assignments under it.
    """

    codebook: Codebook
    embeddings: Embeddings
    assigned: set[str]

    def class_ids(self, shard: str, mask_ids: pa.Array) -> Int32:
        """Return the class of masks of one shard, assigning them where that was never done."""
        if shard not in self.assigned and not self.embeddings.has(shard):
            return np.full(len(mask_ids), NOISE, np.int32)
        if shard in self.assigned:
            output = self.embeddings.output
            key = output.assignments_key(self.codebook.version, shard)
            part = output.read(key, ["mask_id", "class_id"])
            known, class_ids = part["mask_id"], part["class_id"].to_numpy()
        else:
            part = self.embeddings.rows(shard)
            part = part.filter(part["embedding"].is_valid())
            known = part["mask_id"]
            class_ids = self.codebook.assign(schema.matrix_of(part["embedding"])).class_ids
        row = pc.fill_null(pc.index_in(mask_ids, value_set=known), -1).to_numpy()
        return np.append(class_ids, NOISE)[row].astype(np.int32)  # row -1: no embedding there


def read_fit_sample(embeddings: Embeddings, chosen: Chosen, parent: Parent | None) -> FitSample:
    """Read the masks of a sample, in the order of their ids.

    Args:
        embeddings: what they were chosen from.
        chosen: where they are.
        parent: what `parent_class_ids` refer to.
    """
    count = len(chosen)
    numbers, starts = np.unique(chosen.shard, return_index=True)
    mask_ids, image_ids = np.empty(count, object), np.empty(count, object)
    class_ids = np.full(count, NOISE, np.int32)
    matrix = np.zeros((0, 0 if count else schema.DIMENSION), np.float32)

    def read(number: int, rows: Int64) -> tuple[pa.Table, Float32, Int32 | None]:
        shard = chosen.shards[number]
        part = embeddings.rows(shard, int(rows[-1]) + 1).take(pa.array(rows))
        ids = part["mask_id"].combine_chunks()
        classes = parent.class_ids(shard, ids) if parent else None
        return part.drop_columns("embedding"), schema.matrix_of(part["embedding"]), classes

    with ThreadPoolExecutor(_READS_AT_A_TIME) as threads:
        parts = threads.map(read, numbers.tolist(), np.split(chosen.row, starts[1:]))
        for start, (part, vectors, classes) in zip(starts.tolist(), parts, strict=True):
            here = slice(start, start + len(vectors))
            if not len(matrix):
                matrix = np.zeros((count, vectors.shape[1]), np.float32)
            matrix[here] = vectors
            mask_ids[here], image_ids[here] = (part[c].to_pylist() for c in ("mask_id", "image_id"))
            if classes is not None:
                class_ids[here] = classes
    order = np.argsort(mask_ids)
    return FitSample(
        mask_ids[order].tolist(), image_ids[order].tolist(), matrix[order], class_ids[order]
    )
