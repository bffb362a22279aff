"""Reads and writes codebooks in an output folder.

A codebook is written object by object, `codebook.json` last; readers ignore it until then. Its
objects contain no times or host names, so writing the same codebook again produces identical bytes.
"""

import json

import numpy as np
import pyarrow as pa

from samseg import schema
from samseg.clustering.codebook import Class, Codebook
from samseg.clustering.prototypes import Prototypes
from samseg.clustering.transform import Transform
from samseg.errors import CodebookError
from samseg.output import Output

MANIFEST = "codebook.json"
_NOTE_KEYS = ("masks", "masks_bytes", "reference", "invalid", "noise")


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
    return all(_put(output, codebook.version, name, payload) for name, payload in objects.items())


def commit_codebook(output: Output, codebook: Codebook) -> bool:
    """Write the manifest, which makes the codebook visible to readers.

    Returns:
        False if this version holds the manifest of another codebook.
    """
    manifest = {
        "version": codebook.version,
        "recipe": codebook.recipe,
        "parent": codebook.parent,
        "eps": codebook.eps,
        "classes": len(codebook.active),
        "anchors": len(codebook.prototypes),
        **codebook.notes,
        "settings": codebook.settings,
        "curve": list(codebook.curve),
    }
    return _put(output, codebook.version, MANIFEST, json.dumps(manifest, indent=2).encode())


def load_codebook(output: Output, recipe: str, version: int | None = None) -> Codebook:
    """Read a codebook, the newest if `version` is None.

    Raises:
        CodebookError: it does not exist, or was fitted to embeddings of another recipe.
    """
    versions = output.codebook_versions()
    wanted = versions[-1] if version is None and versions else version
    if wanted not in versions or wanted is None:
        what = "no codebook" if wanted is None else f"no codebook v{wanted}"
        available = ", ".join(f"v{v}" for v in versions) or "none"
        raise CodebookError(
            f"{output.uri} has {what} (available: {available}); run `samseg cluster` to fit one"
        )
    manifest = json.loads(output.storage.get(output.codebook_key(wanted, MANIFEST)))
    if manifest["recipe"] != recipe:
        raise CodebookError(
            f"codebook v{wanted} of {output.uri} was fitted to embeddings of recipe "
            f"{manifest['recipe']}, but the config has recipe {recipe}; their distances are not "
            "comparable. Use the config it was fitted with, or a new output folder."
        )
    core = output.read(output.codebook_key(wanted, "core.parquet"))
    transform = output.storage.get(output.codebook_key(wanted, "transform.npz"))
    return Codebook(
        version=wanted,
        recipe=recipe,
        parent=manifest["parent"],
        transform=Transform.from_bytes(transform),
        eps=manifest["eps"],
        prototypes=Prototypes(
            tuple(core["mask_id"].to_pylist()),
            core["class_id"].to_numpy().astype(np.int32),
            schema.matrix_of(core["embedding"]),
        ),
        classes=_classes_in(output.read(output.codebook_key(wanted, "classes.parquet"))),
        settings=manifest["settings"],
        notes={key: manifest[key] for key in _NOTE_KEYS},
        curve=tuple(manifest["curve"]),
    )


def _put(output: Output, version: int, name: str, payload: bytes) -> bool:
    key = output.codebook_key(version, name)
    return output.storage.put_new(key, payload) or output.storage.get(key) == payload


def _core_table(codebook: Codebook) -> pa.Table:
    columns = [
        pa.array(codebook.prototypes.mask_ids, pa.string()),
        pa.array(codebook.prototypes.class_ids, pa.int32()),
        schema.embeddings_of(codebook.prototypes.vectors),
    ]
    return pa.table(columns, schema=schema.CORE)


def _classes_table(codebook: Codebook) -> pa.Table:
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
        }
        for c in codebook.classes
    ]
    return schema.table_of(rows, schema.CLASSES)


def _classes_in(table: pa.Table) -> tuple[Class, ...]:
    centroids = schema.matrix_of(table["centroid"])
    return tuple(
        Class(
            class_id=row["class_id"],
            status=row["status"],
            size=row["size"],
            radius=row["radius"],
            medoid_mask_id=row["medoid_mask_id"],
            centroid=centroid,
            born_in=row["born_in"],
            parents=tuple(row["parents"]),
        )
        for row, centroid in zip(table.drop_columns("centroid").to_pylist(), centroids, strict=True)
    )
