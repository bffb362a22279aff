"""Reads and writes codebooks in an output folder.

A codebook is written object by object, `codebook.json` last; readers ignore it until then. Its
objects contain no times or host names, so writing the same codebook again produces identical bytes.

Two runs that continue the same codebook may write to different versions. One key decides between
them: `next.json` in the folder of the codebook that they continue (`classes/v000000` before the
first) is created with the manifest of its successor, and `codebook.json` is a copy of that. So each
codebook has at most one successor, and no class id is issued twice. A run that was killed between
the two writes is completed by the next one.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from samseg import schema
from samseg.clustering.codebook import Class, Codebook
from samseg.clustering.hierarchy import ABOVE, Hierarchy
from samseg.clustering.prototypes import Prototypes
from samseg.clustering.transform import Transform
from samseg.clustering.tree import Tree
from samseg.errors import CodebookError, NotFoundError
from samseg.output import Output
from samseg.sealed_json import sealed, unsealed
from samseg.types import Float32

MANIFEST = "codebook.json"
SUCCESSOR = "next.json"
"""The manifest of the codebook that continues this one."""
_FIELDS = {"version", "recipe", "parent", "embedding", "eps", "classes", "anchors", "cut"} | {
    "settings",
    "curve",
}
"""Keys of the manifest that are not notes."""


def write_codebook(output: Output, codebook: Codebook) -> bool:
    """Write all objects except the manifest.

    Returns:
        False if this version holds objects of another codebook; use the next version.
    """
    objects = {
        "transform.npz": codebook.transform.to_bytes(),
        "core.parquet": schema.encode(_core_table(codebook)),
        "classes.parquet": schema.encode(_classes_table(codebook)),
    }
    if codebook.hierarchy is not None:
        objects["cells.parquet"] = schema.encode(_cells_table(codebook.hierarchy))
        objects["tree.parquet"] = schema.encode(_tree_table(codebook, codebook.hierarchy))
    return all(_put(output, codebook.version, name, payload) for name, payload in objects.items())


def commit_codebook(output: Output, codebook: Codebook) -> bool:
    """Make the codebook the successor of its parent, and visible to readers.

    Returns:
        False if the parent has another successor.
    """
    manifest = {
        "version": codebook.version,
        "recipe": codebook.recipe,
        "parent": codebook.parent,
        "embedding": codebook.embedding,
        "eps": codebook.eps,
        "classes": len(codebook.active),
        "anchors": len(codebook.prototypes),
        **({"cut": codebook.hierarchy.cut} if codebook.hierarchy else {}),
        **codebook.notes,
        "settings": codebook.settings,
        "curve": list(codebook.curve),
    }
    payload = sealed(manifest)
    return _put(output, codebook.parent or 0, SUCCESSOR, payload) and _put(
        output, codebook.version, MANIFEST, payload
    )


def successor(output: Output, parent: int | None) -> int | None:
    """Return the version that continues a codebook, or that is the first if `parent` is None.

    Returns:
        None if there is none yet. Its manifest is written if a killed run did not get to it.

    Raises:
        StorageError: the record of the successor is damaged.
    """
    key = output.codebook_key(parent or 0, SUCCESSOR)
    try:
        payload = output.storage.get(key)
    except NotFoundError:
        return None
    with output.decoding(key):
        version = int(unsealed(payload)["version"])
    output.storage.put_new(output.codebook_key(version, MANIFEST), payload)
    return version


def load_codebook(output: Output, version: int | None = None) -> Codebook:
    """Read a codebook, the newest if `version` is None.

    Raises:
        CodebookError: it does not exist.
        StorageError: one of its objects is damaged or cannot be read.
    """
    versions = output.codebook_versions()
    wanted = versions[-1] if version is None and versions else version
    if wanted not in versions or wanted is None:
        what = "no codebook" if wanted is None else f"no codebook v{wanted}"
        available = ", ".join(f"v{v}" for v in versions) or "none"
        raise CodebookError(
            f"{output.uri} has {what} (available: {available}); run `samseg cluster` to fit one"
        )
    manifest = output.codebook_manifest(wanted)
    with output.decoding(output.codebook_key(wanted, MANIFEST)):
        classes = _classes(output, wanted, manifest["eps"])
        return Codebook(
            version=wanted,
            recipe=manifest["recipe"],
            parent=manifest["parent"],
            transform=_transform(output, wanted),
            eps=manifest["eps"],
            prototypes=_prototypes(output, wanted, {c.class_id: c.radius for c in classes}),
            classes=classes,
            settings=manifest["settings"],
            notes={key: manifest[key] for key in manifest if key not in _FIELDS},
            curve=tuple(manifest["curve"]),
            embedding=manifest.get("embedding", "sam"),
            hierarchy=_hierarchy(output, wanted, manifest["cut"]) if "cut" in manifest else None,
        )


def _transform(output: Output, version: int) -> Transform:
    key = output.codebook_key(version, "transform.npz")
    payload = output.storage.get(key)
    with output.decoding(key):
        return Transform.from_bytes(payload)


def _prototypes(output: Output, version: int, radius: Mapping[int, float]) -> Prototypes:
    key = output.codebook_key(version, "core.parquet")
    with output.decoding(key):
        core = output.read(key)
        class_ids = core["class_id"].to_numpy().astype(np.int32)
        return Prototypes(
            tuple(core["mask_id"].to_pylist()),
            class_ids,
            schema.matrix_of(core["embedding"]),
            np.array([radius[i] for i in class_ids.tolist()]),
        )


def _hierarchy(output: Output, version: int, cut: float) -> Hierarchy:
    tree_key = output.codebook_key(version, "tree.parquet")
    with output.decoding(tree_key):
        table = output.read(tree_key)
        parent = table["parent"].fill_null(-1).to_numpy().astype(np.int64)
        tree = Tree(parent, table["height"].to_numpy().astype(np.float64))
    cells_key = output.codebook_key(version, "cells.parquet")
    with output.decoding(cells_key):
        cells = output.read(cells_key)
        sizes = cells["size"].to_numpy().astype(np.int64)
        return Hierarchy(tree, schema.matrix_of(cells["embedding"]), sizes, cut)


def _put(output: Output, version: int, name: str, payload: bytes) -> bool:
    key = output.codebook_key(version, name)
    return output.storage.put_new(key, payload) or output.storage.get(key) == payload


def _sized(table: pa.Schema, codebook: Codebook) -> pa.Schema:
    return schema.sized(table, codebook.prototypes.vectors.shape[1])


def _core_table(codebook: Codebook) -> pa.Table:
    columns = [
        pa.array(codebook.prototypes.mask_ids, pa.string()),
        pa.array(codebook.prototypes.class_ids, pa.int32()),
        schema.embeddings_of(codebook.prototypes.vectors),
    ]
    return pa.table(columns, schema=_sized(schema.CORE, codebook))


def _cells_table(hierarchy: Hierarchy) -> pa.Table:
    columns = [
        pa.array(np.arange(len(hierarchy.sizes)), pa.int32()),
        pa.array(hierarchy.sizes, pa.int64()),
        schema.embeddings_of(hierarchy.vectors),
    ]
    return pa.table(columns, schema=schema.sized(schema.CELLS, hierarchy.vectors.shape[1]))


def _tree_table(codebook: Codebook, hierarchy: Hierarchy) -> pa.Table:
    parent, class_ids = hierarchy.tree.parent, codebook.node_classes
    columns = [
        pa.array(np.arange(len(parent)), pa.int32()),
        pa.array(parent, pa.int32(), mask=parent < 0),
        pa.array(hierarchy.tree.height, pa.float32()),
        pa.array(class_ids, pa.int32(), mask=class_ids == ABOVE),
    ]
    return pa.table(columns, schema=schema.TREE)


def _classes_table(codebook: Codebook) -> pa.Table:
    height = None if codebook.hierarchy is None else codebook.hierarchy.tree.height
    rows = [
        {
            "class_id": c.class_id,
            "name": f"class {c.class_id}",
            "status": c.status,
            "size": c.size,
            "radius": c.radius,
            "medoid_mask_id": c.medoid_mask_id,
            "centroid": c.centroid.tolist(),
            "born_in": c.born_in,
            "parents": list(c.parents),
            "node": c.node,
            "height": None if height is None or c.node is None else float(height[c.node]),
            "neighbours": list(c.neighbours),
        }
        for c in codebook.classes
    ]
    return schema.table_of(rows, _sized(schema.CLASSES, codebook))


def _classes(output: Output, version: int, eps: float) -> tuple[Class, ...]:
    key = output.codebook_key(version, "classes.parquet")
    with output.decoding(key):
        table = output.read(key)
        centroids = schema.matrix_of(table["centroid"])
        rows = table.drop_columns("centroid").to_pylist()
        return tuple(_class(*of, eps) for of in zip(rows, centroids, strict=True))


def _class(row: Mapping[str, Any], centroid: Float32, eps: float) -> Class:
    return Class(
        class_id=row["class_id"],
        status=row["status"],
        size=row["size"],
        # the column is float32; where all classes have one radius, the manifest has all of it
        radius=eps if np.float32(eps) == np.float32(row["radius"]) else row["radius"],
        medoid_mask_id=row["medoid_mask_id"],
        centroid=centroid,
        born_in=row["born_in"],
        parents=tuple(row["parents"]),
        node=row.get("node"),
        neighbours=tuple(row.get("neighbours") or ()),
    )
