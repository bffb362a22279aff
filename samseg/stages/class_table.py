"""The table of classes of a codebook, and the names that people see."""

from collections.abc import Mapping
from typing import Any

from samseg.output import Output
from samseg.types import NOISE

ClassRows = Mapping[int, Mapping[str, Any]]
"""Class id -> row of `samseg.schema.CLASSES`, without the centroid."""

_COLUMNS = ["class_id", "name", "status", "size", "medoid_mask_id", "born_in", "parents"]


def class_table(output: Output, version: int | None) -> ClassRows:
    """Return the classes of a codebook, retired ones included; none without a codebook."""
    if version is None:
        return {}
    table = output.read(output.codebook_key(version, "classes.parquet"), _COLUMNS)
    return {row["class_id"]: row for row in table.to_pylist()}


def active(classes: ClassRows) -> set[int]:
    """Return the ids of the classes that masks are assigned to."""
    return {class_id for class_id, row in classes.items() if row["status"] == "active"}


def name_of(classes: ClassRows, class_id: int) -> str:
    """Return the display name of a class or of noise."""
    if class_id == NOISE:
        return "noise"
    return classes.get(class_id, {}).get("name") or f"class {class_id}"
