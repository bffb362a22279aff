"""Builds a codebook from what was found: prototypes, ids aligned with the parent, classes.

Pure: the result depends on the arguments alone.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from samseg.clustering.align import Alignment, align
from samseg.clustering.codebook import ACTIVE, RETIRED, Class, Codebook
from samseg.clustering.found import Found
from samseg.clustering.prototypes import Prototypes, prototypes_of
from samseg.clustering.settings import ClusterSettings
from samseg.types import NOISE, Int64

_NEIGHBOURS = 5


def build(
    found: Found,
    settings: ClusterSettings,
    parent: Codebook | None,
    version: int,
    recipe: str,
    notes: dict[str, Any],
) -> Codebook:
    """Give what was found ids and make it a codebook.

    The sample is assigned by prototypes like any other masks, and these labels are the ones that
    are aligned: they are what later nights see.

    Args:
        found: classes of a fit sample.
        settings: the settings of the fit.
        parent: the codebook whose class ids are carried over.
        version: version of the new codebook.
        recipe: fingerprint of the embeddings' recipe.
        notes: figures to store with it.
    """
    sample, fit = found.sample, found.fit
    prototypes, labels, kept = _recognised(found)
    next_id = parent.next_id if parent else 0
    earlier, order = sample.parent_class_ids, _by_size(labels)
    aligned = align(labels, earlier, order, next_id, found.weights)
    prototypes = _by_id(prototypes, aligned)
    nodes = found.nodes[kept]
    active = _classes(found, labels, nodes, prototypes, aligned, parent, version)
    active_ids = {c.class_id for c in active}
    ended = [c for c in parent.classes if c.class_id not in active_ids] if parent else []
    retired = [replace(c, status=RETIRED, node=None, neighbours=()) for c in ended]
    lineage = {
        "retired": [c.class_id for c in ended if c.status == ACTIVE],
        "split": {str(old): list(new) for old, new in aligned.split.items()},
    }
    return Codebook(
        version=version,
        recipe=recipe,
        parent=parent.version if parent else None,
        embedding=settings.embedding,
        transform=found.transform,
        eps=float(prototypes.radii.max(initial=0)) if fit.eps is None else fit.eps,
        prototypes=prototypes,
        classes=tuple(sorted([*active, *retired], key=lambda c: c.class_id)),
        settings=settings.of_fit(),
        notes={
            **notes,
            "reference": len(sample),
            "invalid": fit.invalid,
            "noise": int((labels == NOISE).sum()),
            **lineage,
            **({"remark": fit.remark} if fit.remark else {}),
        },
        curve=fit.curve,
        hierarchy=found.hierarchy,
    )


def _recognised(found: Found) -> tuple[Prototypes, Int64, Int64]:
    """Return prototypes, the labels that they give the sample, and the labels of the fit they keep.

    A class none of whose prototypes is the nearest of any mask is dropped.
    """
    prototypes = prototypes_of(found.fit, found.points, found.sample.mask_ids, found.weights)
    valid = found.points.any(axis=1)
    while True:
        assigned = np.where(valid, prototypes.assign(found.points), NOISE)
        kept, labels = np.unique(assigned[assigned != NOISE], return_inverse=True)
        rows = np.flatnonzero(np.isin(prototypes.class_ids, kept))
        if len(rows) == len(prototypes):
            break
        prototypes = prototypes.take(rows, prototypes.class_ids[rows])
    assigned = assigned.astype(np.int64)
    assigned[assigned != NOISE] = labels
    renumbered = np.searchsorted(kept, prototypes.class_ids)
    return prototypes.take(np.arange(len(prototypes)), renumbered), assigned, kept


def _by_size(labels: Int64) -> Int64:
    """Return the classes, largest first; ties are ordered by their first member."""
    kept = labels[labels != NOISE]
    _, first, sizes = np.unique(kept, return_index=True, return_counts=True)
    return np.lexsort((first, -sizes)).astype(np.int64)


def _by_id(prototypes: Prototypes, aligned: Alignment) -> Prototypes:
    ids = aligned.class_ids[prototypes.class_ids]
    order = np.argsort(ids, kind="stable")
    return prototypes.take(order, ids[order])


def _classes(
    found: Found,
    labels: Int64,
    nodes: Int64,
    prototypes: Prototypes,
    aligned: Alignment,
    parent: Codebook | None,
    version: int,
) -> list[Class]:
    earlier = {c.class_id: c for c in parent.classes} if parent else {}
    radius = dict(zip(prototypes.class_ids.tolist(), prototypes.radii.tolist(), strict=True))
    classes = []
    for label, class_id in enumerate(aligned.class_ids.tolist()):
        members = np.flatnonzero(labels == label)
        points = found.points[members]
        mean = points.mean(axis=0, dtype=np.float64)
        medoid = members[np.argmax(np.einsum("ij,j->i", points, mean))]
        before = earlier.get(class_id)
        parents = {*(before.parents if before else ()), *aligned.parents[label]}
        centroid = found.sample.embeddings[members].mean(axis=0, dtype=np.float64)
        classes.append(
            Class(
                class_id=class_id,
                status=ACTIVE,
                size=len(members),
                radius=radius[class_id],
                medoid_mask_id=found.sample.mask_ids[medoid],
                centroid=centroid.astype(np.float32),
                born_in=before.born_in if before else version,
                parents=tuple(sorted(parents)),
                node=int(nodes[label]),
                neighbours=_neighbours(prototypes, class_id),
            )
        )
    return classes


def _neighbours(prototypes: Prototypes, class_id: int) -> tuple[int, ...]:
    """Return the classes that have the nearest prototypes, nearest first."""
    own = prototypes.vectors[prototypes.class_ids == class_id].astype(np.float64)
    distance = (1 - prototypes.vectors.astype(np.float64) @ own.T).min(axis=1)
    order = np.lexsort((prototypes.class_ids, distance))
    ids = dict.fromkeys(prototypes.class_ids[order].tolist())
    return tuple([i for i in ids if i != class_id][:_NEIGHBOURS])
