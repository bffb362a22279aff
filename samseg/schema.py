"""Arrow schemas of all tables, and encoding of a table as one Parquet object.

Each schema carries its version and the units of its columns in the Parquet metadata
(`samseg.schema`, and `samseg.units` as JSON). A change of meaning gets
a new version, and readers check for the versions that they support. Tables are readable without
samseg, from DuckDB, Polars, Spark or Athena: plain column types, statistics, zstd.
"""

import json
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

VERSION = 1
DIMENSION = 256
"""Length of an embedding: the channels of SAM's image encoder."""
SAM_COLUMN = "sam"
"""Name of the embedding that every folder has: the column `embedding` of `masks`."""

_ROW_GROUP = 20_000


_PX = "px of the upright original image"
_DISTANCE = "cosine distance, 0 to 2"
_UNITS = {
    "bytes": "bytes",
    "bbox": f"{_PX}; x, y of the top left corner, width, height",
    "crop": f"{_PX}; x, y of the top left corner, width, height",
    "area": "px",
    "predicted_iou": "fraction; may exceed 1 slightly",
    "stability_score": "fraction, 0 to 1",
    "point": f"{_PX}; x, y",
    "rle": "COCO compressed run-length code; size is height, width in px",
    "coverage": "patches of the model's 64 x 64 grid",
    "width": "px",
    "height": "px",
    "seconds": "s",
    "distance": _DISTANCE,
    "margin": _DISTANCE,
    "radius": _DISTANCE,
}


def table_schema(name: str, fields: list[tuple[str, pa.DataType]]) -> pa.Schema:
    """Return the schema of a table, with its version and the units of its columns."""
    units = {column: _UNITS[column] for column, _ in fields if column in _UNITS}
    if "height" in units and "width" not in units:  # of a tree's node
        units["height"] = _DISTANCE
    metadata = {
        "samseg.table": name,
        "samseg.schema": str(VERSION),
        "samseg.units": json.dumps(units),
    }
    return pa.schema(fields, metadata=metadata)


BOX = pa.struct([(side, pa.int32()) for side in ("x", "y", "w", "h")])
POINT = pa.struct([("x", pa.float32()), ("y", pa.float32())])
RLE = pa.struct([("size", pa.list_(pa.int32(), 2)), ("counts", pa.string())])
EMBEDDING = pa.list_(pa.float32(), DIMENSION)
SECONDS = ("read", "decode", "segment", "pool")
CLASS_COUNTS = pa.struct(
    [
        ("class_id", pa.int32()),
        ("masks", pa.int64()),
        ("images", pa.int64()),
        ("clear", pa.int64()),  # masks that are clearly of the class; null without another one
    ]
)

PLAN = table_schema(
    "plan",
    [
        ("shard_id", pa.string()),
        ("key", pa.string()),
        ("uri", pa.string()),
        ("etag", pa.string()),
        ("bytes", pa.int64()),
        ("images", pa.int32()),  # images in this source; null if unknown until it is read
        ("retry_of", pa.string()),  # shard whose failed images are labelled again; else null
        ("members", pa.list_(pa.string())),  # their names in a tar; null for all without masks
        ("start", pa.int64()),  # range of a large tar, in bytes; null for a whole object
        ("stop", pa.int64()),
    ],
)

MASKS = table_schema(
    "masks",
    [
        ("mask_id", pa.string()),
        ("image_id", pa.string()),
        ("image_uri", pa.string()),
        ("mask_index", pa.int32()),
        ("bbox", BOX),  # COCO xywh, px of the upright original image
        ("area", pa.int64()),  # px
        ("predicted_iou", pa.float32()),
        ("stability_score", pa.float32()),
        ("point", POINT),  # the prompt of the mask, px
        ("crop", BOX),
        ("prompt_kind", pa.string()),
        ("prompt_id", pa.int32()),
        ("rle", RLE),  # COCO compressed
        ("coverage", pa.float32()),  # patches of the 64 x 64 grid, fractional
        ("parent_mask_id", pa.string()),  # smallest mask that contains this one; null for a root
        ("depth", pa.int32()),  # in the mask hierarchy; 0 for a root
        ("status", pa.string()),  # ok | empty (no patch to pool: embedding is null)
        ("embedding", EMBEDDING),
    ],
)

IMAGES = table_schema(
    "images",
    [
        ("image_id", pa.string()),
        ("key", pa.string()),
        ("uri", pa.string()),
        ("shard_id", pa.string()),
        ("sha256", pa.string()),  # of the file's bytes; null if they could not be read
        ("bytes", pa.int64()),
        ("format", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("status", pa.string()),
        ("error", pa.string()),
        ("note", pa.string()),  # changes made by the decode policy
        ("masks", pa.int32()),
        ("seconds", pa.struct([(s, pa.float32()) for s in SECONDS])),
    ],
)

EMBEDDINGS = table_schema(
    "embeddings",  # of one name; sorted by samseg.types.sample_rank_of(mask_id)
    [
        ("mask_id", pa.string()),
        ("status", pa.string()),  # samseg.types.EMBEDDING_STATUSES
        ("embedding", EMBEDDING),  # or another length (`sized`); null unless the status is ok
    ],
)

ASSIGNMENTS = table_schema(
    "assignments",
    [
        ("mask_id", pa.string()),
        ("class_id", pa.int32()),  # -1: noise
        ("distance", pa.float32()),  # cosine distance to the nearest prototype; null if unknown
        ("margin", pa.float32()),  # distance to the nearest other class minus `distance`
        ("codebook", pa.int32()),
        ("cell", pa.int32()),  # leaf of the codebook's tree; null for noise. Absent without a tree
    ],
)

LEDGER = table_schema(
    "ledger",
    [
        ("shard_id", pa.string()),
        ("replaces", pa.string()),  # earlier shard whose counts this row takes back; null: its own
        ("bytes", pa.int64()),  # of the images part that was counted
        ("mask_bytes", pa.int64()),  # of the shard's masks part; null where `replaces` is set
        ("images", pa.int64()),  # rows of any status
        ("masks", pa.int64()),
        ("statuses", pa.list_(pa.struct([("status", pa.string()), ("images", pa.int64())]))),
        ("seconds", pa.struct([(s, pa.float64()) for s in SECONDS])),
    ],
)

CLASS_LEDGER = table_schema(
    "class_ledger",
    [
        ("shard_id", pa.string()),
        ("bytes", pa.int64()),  # of the assignments part that was counted
        ("masks", pa.int64()),
        ("noise", pa.int64()),
        ("invalid", pa.int64()),  # masks without a usable embedding; part of `noise`
        ("classes", pa.list_(CLASS_COUNTS)),  # noise included
    ],
)

CLASSES = table_schema(
    "classes",
    [
        ("class_id", pa.int32()),
        ("name", pa.string()),
        ("status", pa.string()),  # active | retired
        ("size", pa.int64()),  # masks of the class in the fit that found it
        ("radius", pa.float32()),  # cosine distance within which a mask is assigned
        ("medoid_mask_id", pa.string()),
        ("centroid", EMBEDDING),
        ("born_in", pa.int32()),  # codebook version
        ("parents", pa.list_(pa.int32())),  # earlier classes merged or split into this one
        ("node", pa.int32()),  # of the codebook's tree; null if retired
        ("height", pa.float32()),  # of that node: mean cosine distance of its last two branches
        ("neighbours", pa.list_(pa.int32())),  # classes that have the nearest prototypes
    ],
)

CORE = table_schema(
    "core",
    [
        ("mask_id", pa.string()),
        ("class_id", pa.int32()),
        ("embedding", EMBEDDING),  # transformed, unit length
    ],
)


TREE = table_schema(
    "tree",
    [
        ("node", pa.int32()),  # leaves first; they are the cells
        ("parent", pa.int32()),  # null for the root
        ("height", pa.float32()),  # mean cosine distance of the two branches joined; 0 for a leaf
        ("class_id", pa.int32()),  # -1: noise; null above the cut
    ],
)

CELLS = table_schema(
    "cells",
    [
        ("cell", pa.int32()),
        ("size", pa.int64()),  # masks of the fit sample
        ("embedding", EMBEDDING),  # mean direction: transformed, unit length
    ],
)


def encode(table: pa.Table, row_group: int = _ROW_GROUP) -> bytes:
    """Encode a table as one Parquet object, `row_group` rows per row group, with checksums."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        row_group_size=row_group,
        write_page_index=True,
        write_page_checksum=True,
    )
    return sink.getvalue().to_pybytes()


def decode(
    source: bytes | BinaryIO, columns: list[str] | None = None, first: int | None = None
) -> pa.Table:
    """Decode a Parquet object, or only `columns` of it (a stream is read by ranges).

    With `first`, only the row groups that the first so many rows are in.

    Raises:
        OSError: a page does not match its checksum; or another error of a damaged object.
    """
    file = pa.BufferReader(source) if isinstance(source, bytes) else source
    if first is None:
        return pq.read_table(
            file, columns=columns, use_threads=False, page_checksum_verification=True
        )
    parquet = pq.ParquetFile(file, page_checksum_verification=True)
    groups: list[int] = []
    found = 0
    while found < first and len(groups) < parquet.num_row_groups:
        found += parquet.metadata.row_group(len(groups)).num_rows
        groups.append(len(groups))
    return parquet.read_row_groups(groups, columns=columns, use_threads=False)


def rows(source: BinaryIO) -> int:
    """Return the number of rows of a Parquet object; reads its end only."""
    return int(pq.read_metadata(source).num_rows)


def table_of(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Build a table from rows; a missing field is null, an unknown field raises KeyError."""
    known = set(schema.names)
    for row in rows:
        if not row.keys() <= known:
            raise KeyError(f"columns {sorted(row.keys() - known)} are not in the schema")
    return pa.Table.from_pylist(rows, schema=schema)


def sized(table: pa.Schema, dimension: int) -> pa.Schema:
    """Return a schema whose embeddings have another length than SAM's."""
    embedding = pa.list_(pa.float32(), dimension)
    fields = [f.with_type(embedding) if f.type == EMBEDDING else f for f in table]
    return pa.schema(fields, metadata=table.metadata)


def embeddings_of(matrix: Any, valid: Any = None) -> pa.Array:
    """Convert an (n, d) float32 matrix to an embedding column, null where not `valid`."""
    flat = pa.array(matrix.reshape(-1), type=pa.float32())
    mask = None if valid is None else pa.array(~valid)
    return pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1], mask=mask)


def matrix_of(column: Any) -> Any:
    """Convert an embedding column without nulls to an (n, d) float32 matrix."""
    import numpy as np

    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    flat = array.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, dtype=np.float32).reshape(-1, array.type.list_size)
