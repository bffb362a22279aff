"""The table of classes of a codebook, and the names that people see."""

from collections.abc import Mapping
from typing import Any

from samseg.edits.resolved import ACTIVE
from samseg.output import Output
from samseg.stages.edits.resolution import resolved
from samseg.types import NOISE

ClassRows = Mapping[int, Mapping[str, Any]]
"""Class id -> row of `samseg.schema.CLASSES`, without the centroid."""

_COLUMNS = ["class_id", "name", "status", "size", "medoid_mask_id", "born_in", "parents"]


def class_table(output: Output, version: int | None) -> ClassRows:
    """Return the classes of a codebook, retired ones included; none without a codebook.

    Their names are those that people gave them, or gave to what they were merged into.
    """
    if version is None:
        return {}
    table = output.read(output.codebook_key(version, "classes.parquet"), _COLUMNS)
    found = resolved(output, version)
    rows = {row["class_id"]: row for row in table.to_pylist()}
    return {c: row | {"name": found.name(found.into[c])} for c, row in rows.items()}


def shown_classes(output: Output, version: int | None) -> ClassRows:
    """Return the classes of a codebook and those that edits created."""
    found = resolved(output, version)
    created = dict.fromkeys(_COLUMNS) | {"status": ACTIVE}
    made = {c: created | {"class_id": c, "name": found.name(c)} for c in found.current}
    return made | dict(class_table(output, version))


def active(classes: ClassRows) -> set[int]:
    """Return the ids of the classes that masks are assigned to."""
    return {class_id for class_id, row in classes.items() if row["status"] == ACTIVE}


def name_of(classes: ClassRows, class_id: int) -> str:
    """Return the display name of a class or of noise."""
    if class_id == NOISE:
        return "noise"
    return classes.get(class_id, {}).get("name") or f"class {class_id}"
