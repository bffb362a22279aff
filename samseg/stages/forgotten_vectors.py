"""Takes the vectors of one image's masks out of codebooks and edits.

Codebooks hold means, and vectors of single masks: prototypes of `dbscan`, cells of a tree and
classes of one mask. Those that are a vector of the image are found by their direction and replaced:
a prototype by the mean of its class, unless that is the same vector, and a cell by the nearest
other cell, so that the tree keeps its leaves. Means of several masks stay. A class by example keeps
that the mask was accepted or rejected, without the vector.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samseg import schema
from samseg.clustering.transform import Transform, unit
from samseg.edits.edit import Example, ExampleMask, Refine
from samseg.edits.log import read_log
from samseg.errors import NotFoundError
from samseg.object_names import VERSION, matched
from samseg.output import Output
from samseg.sealed_json import sealed
from samseg.superseded import is_current
from samseg.types import Bool, Float32

_SAME = 1 - 1e-6
"""Cosine from which two float32 vectors are the same direction."""


def versions(output: Output) -> list[int]:
    """Versions of all codebooks, ascending, unfinished and pruned ones included."""
    return sorted(map(int, matched(VERSION, output.storage.folders("classes"))))


def erase_from_codebooks(output: Output, image: str, vectors: Sequence[Float32]) -> None:
    """Write the objects of codebooks again that hold vectors, or ids, of an image's masks.

    Args:
        output: the output folder.
        image: its id.
        vectors: (n, d) raw embeddings of its masks, one matrix per embedding.
    """
    for version in versions(output):
        for name, without in (("core", _core), ("cells", _cells), ("classes", _classes)):
            key = output.codebook_key(version, f"{name}.parquet")
            try:
                table = output.read(key)
            except NotFoundError:
                continue
            changed = without(output, version, table, image, vectors)
            if not changed.equals(table):
                output.storage.replace(key, schema.encode(changed))


def erase_from_edits(output: Output, image: str, vectors: Sequence[Float32]) -> None:
    """Write the edits again that hold vectors of an image's masks, without these.

    Args:
        output: the output folder.
        image: its id.
        vectors: (n, d) raw embeddings of its masks, one matrix per embedding.
    """
    own = [unit(v)[0] for v in vectors]
    for edit in read_log(output):
        if isinstance(edit.action, Example | Refine):
            chosen = {
                side: tuple(_without(mask, image, own) for mask in getattr(edit.action, side))
                for side in ("accepted", "rejected")
            }
            action = edit.action.model_copy(update=chosen)
            if action != edit.action:
                changed = replace(edit, action=action)
                output.storage.replace(output.edit_key(edit.number), sealed(changed.to_json()))


def _without(mask: ExampleMask, image: str, own: Sequence[Float32]) -> ExampleMask:
    """Return an example without its vector if that is the image's."""
    named = mask.mask_id is not None and mask.mask_id.rpartition("-")[0] == image
    vector = np.array([mask.vector], np.float32)
    if named or (mask.vector and _are(unit(vector)[0], own).any()):
        return mask.model_copy(update={"vector": ()})
    return mask


def _core(
    output: Output, version: int, table: pa.Table, image: str, vectors: Sequence[Float32]
) -> pa.Table:
    transform = _transform(output, version)
    others = ~_are(schema.matrix_of(table["embedding"]), _applied(transform, vectors))
    others &= is_current(table["mask_id"], [image])
    left = table.filter(pa.array(others))
    lost = set(table["class_id"].to_pylist()) - set(left["class_id"].to_pylist())
    if not lost:
        return left
    classes = output.read(output.codebook_key(version, "classes.parquet"), ["class_id", "centroid"])
    classes = classes.filter(pc.is_in(classes["class_id"], pa.array(sorted(lost), pa.int32())))
    means, valid = transform.apply(schema.matrix_of(classes["centroid"]))
    valid &= ~_are(means, _applied(transform, vectors))
    ids = classes["class_id"].to_numpy()[valid]
    columns = [pa.nulls(len(ids), pa.string()), pa.array(ids), schema.embeddings_of(means[valid])]
    added = pa.table(columns, schema=left.schema)
    return pa.concat_tables([left, added]).sort_by("class_id")


def _cells(
    output: Output, version: int, table: pa.Table, image: str, vectors: Sequence[Float32]
) -> pa.Table:
    cells = schema.matrix_of(table["embedding"])
    own = _are(cells, _applied(_transform(output, version), vectors))
    if not own.any():
        return table
    others = cells[~own] if not own.all() else np.zeros((1, cells.shape[1]), np.float32)
    nearest = np.argmax(cells[own] @ others.T, axis=1)
    cells = cells.copy()
    cells[own] = others[nearest]
    return _with(table, "embedding", schema.embeddings_of(cells))


def _classes(
    output: Output, version: int, table: pa.Table, image: str, vectors: Sequence[Float32]
) -> pa.Table:
    centroids = schema.matrix_of(table["centroid"]).copy()
    centroids[_are(unit(centroids)[0], [unit(v)[0] for v in vectors])] = 0
    named = pa.array(is_current(table["medoid_mask_id"], [image]))
    medoids = pc.if_else(named, table["medoid_mask_id"], pa.scalar(None, pa.string()))
    table = _with(table, "centroid", schema.embeddings_of(centroids))
    return _with(table, "medoid_mask_id", medoids)


def _are(rows: Float32, own: Sequence[Float32]) -> Bool:
    """Return which unit rows have the direction of a vector of the image, (n,) bool."""
    found = np.zeros(len(rows), np.bool_)
    for vectors in own:
        if len(vectors) and vectors.shape[1] == rows.shape[1]:
            found |= (rows @ vectors.T > _SAME).any(axis=1)
    return found


def _applied(transform: Transform, vectors: Sequence[Float32]) -> list[Float32]:
    return [transform.apply(v)[0] for v in vectors if v.shape[1] == len(transform.mean)]


def _transform(output: Output, version: int) -> Transform:
    key = output.codebook_key(version, "transform.npz")
    payload = output.storage.get(key)
    with output.decoding(key):
        return Transform.from_bytes(payload)


def _with(table: pa.Table, column: str, values: pa.Array) -> pa.Table:
    at = table.column_names.index(column)
    return table.set_column(at, table.schema.field(at), values)
