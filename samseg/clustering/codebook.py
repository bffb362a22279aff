"""A codebook: a fitted, versioned set of classes, and how masks are assigned to them.

An immutable value: `samseg.clustering.build` builds it, `samseg.stages.cluster.codebook_store`
reads and writes it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from samseg.clustering.hierarchy import Hierarchy
from samseg.clustering.prototypes import Prototypes
from samseg.clustering.transform import Transform
from samseg.errors import CodebookError
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
        node: the node of the codebook's tree that it is; None if retired.
        neighbours: ids of the classes that have the nearest prototypes, nearest first; empty if
            retired.
    """

    class_id: int
    status: str
    size: int
    radius: float
    medoid_mask_id: str
    centroid: Float32
    born_in: int
    parents: tuple[int, ...] = ()
    node: int | None = None
    neighbours: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Assigned:
    """The classes of n masks.

    Attributes:
        class_ids: (n,) int32, -1 for noise.
        distances: (n,) float32, cosine distance to the nearest prototype; NaN where unknown.
        margins: (n,) float32, distance to the nearest prototype of another class minus `distances`;
            NaN where there is no other class.
        valid: (n,) bool, False for embeddings without a direction; they are noise.
        cells: (n,) int32, the nearest cell of the class, -1 for noise; None without a tree.
    """

    class_ids: Int32
    distances: Float32
    margins: Float32
    valid: Bool
    cells: Int32 | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Codebook:
    """A fitted, versioned set of classes.

    Attributes:
        version: counts from 1.
        recipe: fingerprint of the recipe of the embeddings.
        parent: version that class ids were carried over from, None for the first.
        transform: from raw embeddings to points.
        eps: cosine distance within which a mask is assigned; where every class has a radius of its
            own, the largest.
        prototypes: the points that masks are compared with.
        classes: all classes, retired ones included, by id.
        settings: settings that determined the fit.
        notes: figures of the fit: `masks`, `reference`, `invalid` and `noise`; `retired` and
            `split`, the classes that ended or went to several; `remark`, if there is one.
        curve: one row per radius evaluated, where eps was chosen automatically.
        embedding: name of the embedding it is fitted to.
        hierarchy: the tree that has its classes as branches; None in codebooks of earlier versions
            that `linkage` did not find. These have no `node` and no `neighbours` either.
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
    curve: tuple[dict[str, Any], ...] = ()
    embedding: str = "sam"
    hierarchy: Hierarchy | None = None

    @property
    def active(self) -> tuple[Class, ...]:
        """The classes that masks are assigned to."""
        return tuple(c for c in self.classes if c.status == ACTIVE)

    @property
    def next_id(self) -> int:
        """The lowest class id never used."""
        return max((c.class_id for c in self.classes), default=-1) + 1

    @property
    def node_classes(self) -> Int32:
        """The class of every node of the tree, as `Hierarchy.class_ids` gives it."""
        if self.hierarchy is None:
            return np.zeros(0, np.int32)
        class_of_node = {c.node: c.class_id for c in self.active if c.node is not None}
        return self.hierarchy.class_ids(class_of_node)

    def check(self, embedding: str, recipe: str) -> None:
        """Refuse embeddings that the codebook was not fitted to.

        Args:
            embedding: their name.
            recipe: fingerprint of their recipe.

        Raises:
            CodebookError: the name or the recipe differs.
        """
        if embedding != self.embedding:
            raise CodebookError(
                f"codebook v{self.version} was fitted to the embedding {self.embedding!r}, these "
                f"are {embedding!r}; their distances are not comparable. Set cluster.embedding to "
                f"{self.embedding!r}, or refit"
            )
        if recipe != self.recipe:
            raise CodebookError(
                f"codebook v{self.version} was fitted to embeddings of recipe {self.recipe}, but "
                f"the config has recipe {recipe}; their distances are not comparable. Use the "
                "config it was fitted with, or a new output folder."
            )

    def assign(self, embeddings: Float32) -> Assigned:
        """Assign each mask to the class of its nearest prototype, or to noise beyond its radius.

        Args:
            embeddings: (n, d) float32, raw, any positive scale per row.
        """
        points, valid = self.transform.apply(embeddings)
        points = points if valid.all() else points[valid]
        ids = np.full(len(valid), NOISE, np.int32)
        distances = np.full(len(valid), np.nan, np.float32)
        margins = np.full(len(valid), np.nan, np.float32)
        cells = None
        ids[valid], found = self.prototypes.nearest(points)
        if len(self.prototypes):
            distances[valid] = found.distance
            has_other = np.isfinite(found.other)
            margins[valid] = np.where(has_other, found.other - found.distance, np.nan)
        if self.hierarchy is not None:
            cells = np.full(len(valid), NOISE, np.int32)
            of_cells = self.node_classes[: self.hierarchy.tree.leaves]
            cells[valid] = self.hierarchy.nearest_cells(points, ids[valid], of_cells)
        return Assigned(ids, distances, margins, valid, cells)
