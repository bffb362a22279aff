"""A codebook: a fitted, versioned set of classes, and how masks are assigned to them.

An immutable value: `samseg.clustering.build` builds it, `samseg.stages.cluster.codebook_store`
reads and writes it.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from samseg.clustering.nearest import nearest
from samseg.clustering.prototypes import Prototypes
from samseg.clustering.transform import Transform
from samseg.types import NOISE, Bool, Float32, Int32

ACTIVE, RETIRED = "active", "retired"


@dataclass(frozen=True, slots=True, eq=False)
class Class:
    """One class.

    Attributes:
        class_id: never reused; the name is `class {class_id}` until a person sets one.
        status: `active`, or `retired`: not found by the newest fit, never assigned.
        size: masks of the fit sample in it, at the last fit that found it.
        radius: cosine distance within which a mask is assigned.
        medoid_mask_id: the mask with the highest cosine to the mean of the class.
        centroid: (256,) float32, mean of the raw embeddings.
        born_in: version of the codebook that first contained it.
        parents: other earlier classes it derives from (`samseg.clustering.align`).
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
        distances: (n,) float32, cosine distance to the nearest prototype; NaN where unknown.
        margins: (n,) float32, distance to the nearest prototype of another class minus `distances`;
            NaN where there is no other class.
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
        prototypes: the points that masks are compared with.
        classes: all classes, retired ones included, by id.
        settings: settings that determined the fit.
        notes: figures of the fit (`masks`, `masks_bytes`, `reference`, `invalid`, `noise`).
        curve: one row per radius evaluated, where eps was chosen automatically.
    """

    version: int
    recipe: str
    parent: int | None
    transform: Transform
    eps: float
    prototypes: Prototypes
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
        """The lowest class id never used."""
        return max((c.class_id for c in self.classes), default=-1) + 1

    def assign(self, embeddings: Float32) -> Assigned:
        """Assign each mask to the class of its nearest prototype, or to noise beyond eps.

        Args:
            embeddings: (n, 256) float32, raw, any positive scale per row.
        """
        points, valid = self.transform.apply(embeddings)
        ids = np.full(len(points), NOISE, np.int32)
        distances = np.full(len(points), np.nan, np.float32)
        margins = np.full(len(points), np.nan, np.float32)
        if len(self.prototypes):
            found = nearest(points[valid], self.prototypes.vectors, self.prototypes.class_ids)
            nearest_id = self.prototypes.class_ids[found.index]
            ids[valid] = np.where(found.distance <= self.eps, nearest_id, NOISE)
            distances[valid] = found.distance
            has_other = np.isfinite(found.other)
            margins[valid] = np.where(has_other, found.other - found.distance, np.nan)
        return Assigned(ids, distances, margins, valid)
