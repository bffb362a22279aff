"""The tables of what edits make of the classes of one codebook; see `samseg.edits.resolved`."""

import pyarrow as pa

from samseg.schema import BOX, RLE, table_schema

RESOLVED_CLASSES = table_schema(
    "resolved_classes",
    [
        ("class_id", pa.int32()),  # of the codebook, or created by an edit
        ("name", pa.string()),
        ("status", pa.string()),  # active | retired; what the codebook says, or of a created class
        ("origin", pa.string()),  # codebook | split | example
        ("ignored", pa.bool_()),
        ("into", pa.int32()),  # the class that its masks have now: its own id unless merged
        ("edit", pa.int32()),  # the last edit that concerned it; null for none
        ("members", pa.int32()),  # class by example: class_id in its members; null for its own id
    ],
)

RESOLVED_CELLS = table_schema(
    "resolved_cells",
    [
        ("cell", pa.int32()),  # of the codebook's tree
        ("class_id", pa.int32()),  # the class that its masks have now
    ],
)

RESOLVED_MOVES = table_schema(
    "resolved_moves",
    [
        ("mask_id", pa.string()),
        ("class_id", pa.int32()),  # the class that the mask has now; -1: none, -2: ignored
    ],
)

RESOLVED_OUTLINES = table_schema(
    "resolved_outlines",
    [
        ("mask_id", pa.string()),
        ("correction", pa.int32()),  # number of the object of `CORRECTIONS` that has its outline
        ("edit", pa.int32()),  # number of the edit
    ],
)

CORRECTIONS = table_schema(
    "corrections",  # outlines that people drew; those of the machine stay in `masks`
    [
        ("mask_id", pa.string()),
        ("image_id", pa.string()),
        ("bbox", BOX),
        ("area", pa.int64()),
        ("rle", RLE),  # COCO compressed
        ("author", pa.string()),
        ("time", pa.string()),  # UTC, ISO 8601
        ("correction", pa.int32()),  # number of this object
    ],
)

MEMBERS = table_schema(
    "members",  # of a class that an edit created, in one shard
    [
        ("mask_id", pa.string()),
        ("class_id", pa.int32()),  # 2^30 + number of the last edit that chose masks for the class
        ("distance", pa.float32()),  # cosine distance to the direction of the examples
    ],
)

SPLIT_CELLS = table_schema(
    "split_cells",  # of one split under one codebook
    [
        ("cell", pa.int32()),
        ("new", pa.bool_()),  # whether it is on the side of the new class
    ],
)
