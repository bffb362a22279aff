"""A codebook: a fitted, versioned set of classes, and how it lies in an output folder.

A value: it is built whole (`samseg.clustering.build`), written object by object, and exists for
readers from the moment `codebook.json` does. Everything is deterministic, without times or names
of machines, so that writing the same codebook again meets identical bytes.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from samseg import schema
from samseg.clustering.anchors import Anchors
from samseg.clustering.nearest import nearest
from samseg.clustering.transform import Transform
from samseg.errors import CodebookError
from samseg.output import Output
from samseg.types import NOISE, Bool, Float32, Int32

MANIFEST = "codebook.json"
ACTIVE, RETIRED = "active", "retired"


@dataclass(frozen=True, slots=True, eq=False)
class Class:
    """One class.

    Attributes:
        class_id: never reused; its name is `class {class_id}` until a person names it.
        status: `active` or `retired`: no fit since finds it, nothing is assigned to it.
        size: masks of the reference in it, at the fit that last found it.
        radius: cosine distance within which a mask is assigned.
        medoid_mask_id: the mask nearest to the middle of the class.
        centroid: (256,) float32, mean of the raw embeddings.
        born_in: version of the codebook that found it first.
        parents: earlier classes that went into it.
    """

    class_id: int
    status: str
    size: int
    radius: float
    medoid_mask_id: str
    centroid: Float32
    born_in: int
    parents: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Assigned:
    """The classes of n masks.

    Attributes:
        class_ids: (n,) int32, -1 for noise.
        distances: (n,) float32, cosine distance to the nearest anchor; NaN where unknown.
        margins: (n,) float32, how much farther the nearest anchor of another class is; NaN where
            there is no other class.
        valid: (n,) bool, False for embeddings without a direction; they are noise.
    """

    class_ids: Int32
    distances: Float32
    margins: Float32
    valid: Bool


@dataclass(frozen=True, slots=True, eq=False)
class Codebook:
    """A fitted, versioned set of classes.

    Attributes:
        version: counts from 1.
        recipe: fingerprint of the recipe of the embeddings.
        parent: version that class ids were carried over from, None for the first.
        transform: from raw embeddings to points.
        eps: cosine distance within which a mask is assigned.
        anchors: the points that classes are recognised by.
        classes: every class there ever was, by id.
        settings: what determined the fit.
        notes: figures of the fit (`masks`, `masks_bytes`, `reference`, `invalid`, `noise`).
        curve: one row per radius tried, when eps was chosen.
    """

    version: int
    recipe: str
    parent: int | None
    transform: Transform
    eps: float
    anchors: Anchors
    classes: tuple[Class, ...]
    settings: dict[str, Any]
    notes: dict[str, Any]
    curve: tuple[dict[str, Any], ...] = field(default=())

    @property
    def active(self) -> tuple[Class, ...]:
        """The classes that masks are assigned to."""
        return tuple(c for c in self.classes if c.status == ACTIVE)

    @property
    def next_id(self) -> int:
        """The first class id never used."""
        return max((c.class_id for c in self.classes), default=-1) + 1

    def assign(self, embeddings: Float32) -> Assigned:
        """Give each mask the class of its nearest anchor, or none where that is beyond eps.

        Args:
            embeddings: (n, 256) float32, raw, any positive scale per row.
        """
        points, valid = self.transform.apply(embeddings)
        ids = np.full(len(points), NOISE, np.int32)
        distances = np.full(len(points), np.nan, np.float32)
        margins = np.full(len(points), np.nan, np.float32)
        if len(self.anchors):
            found = nearest(points[valid], self.anchors.vectors, self.anchors.class_ids)
            nearest_id = self.anchors.class_ids[found.index]
            ids[valid] = np.where(found.distance <= self.eps, nearest_id, NOISE)
            distances[valid] = found.distance
            several = np.isfinite(found.other)
            margins[valid] = np.where(several, found.other - found.distance, np.nan)
        return Assigned(ids, distances, margins, valid)

    # ------------------------------------------------------------------ on disk

    def write(self, output: Output) -> bool:
        """Write everything but the manifest.

        Returns:
            False when another codebook's objects stand at this version: take the next one.
        """
        objects = {
            "transform.npz": self.transform.to_bytes(),
            "core.parquet": schema.encode(self._core_table()),
            "classes.parquet": schema.encode(self._classes_table()),
        }
        return all(self._put(output, name, payload) for name, payload in objects.items())

    def commit(self, output: Output) -> bool:
        """Write the manifest: from now on readers see this codebook.

        Returns:
            False when another codebook's manifest stands at this version.
        """
        manifest = {
            "version": self.version,
            "recipe": self.recipe,
            "parent": self.parent,
            "eps": self.eps,
            "classes": len(self.active),
            "anchors": len(self.anchors),
            **self.notes,
            "settings": self.settings,
            "curve": list(self.curve),
        }
        return self._put(output, MANIFEST, json.dumps(manifest, indent=2).encode())

    def _put(self, output: Output, name: str, payload: bytes) -> bool:
        key = output.codebook_key(self.version, name)
        return output.storage.put_new(key, payload) or output.storage.get(key) == payload

    def _core_table(self) -> pa.Table:
        columns = [
            pa.array(self.anchors.mask_ids, pa.string()),
            pa.array(self.anchors.class_ids, pa.int32()),
            schema.embeddings_of(self.anchors.vectors),
        ]
        return pa.table(columns, schema=schema.CORE)

    def _classes_table(self) -> pa.Table:
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
            for c in self.classes
        ]
        return schema.table_of(rows, schema.CLASSES)

    @classmethod
    def load(cls, output: Output, recipe: str, version: int | None = None) -> "Codebook":
        """Read a codebook, the newest where no version is named.

        Raises:
            CodebookError: there is none, or it was fitted to embeddings of another recipe.
        """
        versions = output.codebook_versions()
        wanted = versions[-1] if version is None and versions else version
        if wanted not in versions or wanted is None:
            what = "no codebook" if wanted is None else f"no codebook v{wanted}"
            there = ", ".join(f"v{v}" for v in versions) or "none"
            raise CodebookError(
                f"{output.uri} has {what} (there: {there}); run `samseg cluster` to fit one"
            )
        manifest = json.loads(output.storage.get(output.codebook_key(wanted, MANIFEST)))
        if manifest["recipe"] != recipe:
            raise CodebookError(
                f"codebook v{wanted} of {output.uri} was fitted to embeddings of recipe "
                f"{manifest['recipe']}, these are of recipe {recipe}; distances between them mean "
                "nothing. Use the config it was fitted with, or a new output folder."
            )
        core = output.read(output.codebook_key(wanted, "core.parquet"))
        transform = output.storage.get(output.codebook_key(wanted, "transform.npz"))
        return cls(
            version=wanted,
            recipe=recipe,
            parent=manifest["parent"],
            transform=Transform.from_bytes(transform),
            eps=manifest["eps"],
            anchors=Anchors(
                tuple(core["mask_id"].to_pylist()),
                core["class_id"].to_numpy().astype(np.int32),
                schema.matrix_of(core["embedding"]),
            ),
            classes=_classes_in(output.read(output.codebook_key(wanted, "classes.parquet"))),
            settings=manifest["settings"],
            notes={
                k: manifest[k] for k in ("masks", "masks_bytes", "reference", "invalid", "noise")
            },
            curve=tuple(manifest["curve"]),
        )


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
