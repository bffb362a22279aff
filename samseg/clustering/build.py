"""Builds a codebook from a fit sample: fit, ids aligned with the parent, prototypes, classes.

Pure: the result depends on the arguments alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from samseg.clustering.align import Alignment, align
from samseg.clustering.codebook import ACTIVE, RETIRED, Class, Codebook
from samseg.clustering.fit import Fit
from samseg.clustering.prototypes import Prototypes, prototypes_of
from samseg.clustering.settings import ClusterSettings
from samseg.clustering.transform import Transform
from samseg.types import NOISE, Float32, Int32, Int64


@dataclass(frozen=True, slots=True, eq=False)
class FitSample:
    """The masks that a fit uses, as a struct of arrays of length n.

    Attributes:
        mask_ids: n ids, ascending.
        image_ids: n ids of their images.
        embeddings: (n, 256) float32, raw.
        parent_class_ids: (n,) int32, the class of each mask under the parent codebook, or -1.
    """

    mask_ids: Sequence[str]
    image_ids: Sequence[str]
    embeddings: Float32
    parent_class_ids: Int32


def build(
    sample: FitSample,
    settings: ClusterSettings,
    parent: Codebook | None,
    version: int,
    recipe: str,
    notes: dict[str, Any],
) -> Codebook:
    """Fit classes to `sample` and assign their ids.

    Args:
        sample: the masks to fit.
        settings: the strategy and its settings.
        parent: the codebook whose class ids are carried over.
        version: version of the new codebook.
        recipe: fingerprint of the embeddings' recipe.
        notes: figures to store with it.
    """
    transform = Transform.fit(sample.embeddings, settings.center)
    points, _ = transform.apply(sample.embeddings)
    fit = settings.fit.fit(points, sample.image_ids)
    next_id = parent.next_id if parent else 0
    aligned = align(fit.labels, sample.parent_class_ids, _by_size(fit.labels), next_id)
    active = _classes(fit, points, sample, aligned, parent, version)
    active_ids = {c.class_id for c in active}
    ended = [c for c in parent.classes if c.class_id not in active_ids] if parent else []
    retired = [replace(c, status=RETIRED) for c in ended]
    return Codebook(
        version=version,
        recipe=recipe,
        parent=parent.version if parent else None,
        transform=transform,
        eps=fit.eps,
        prototypes=_by_id(prototypes_of(fit, points, sample.mask_ids, aligned.class_ids)),
        classes=tuple(sorted([*active, *retired], key=lambda c: c.class_id)),
        settings=settings.of_fit(),
        notes={
            **notes,
            "reference": len(sample.mask_ids),
            "invalid": fit.invalid,
            "noise": int((fit.labels == NOISE).sum()),
        },
        curve=fit.curve,
    )


def _by_size(labels: Int64) -> Int64:
    """Return the classes, largest first; ties are ordered by their first member."""
    kept = labels[labels != NOISE]
    _, first, sizes = np.unique(kept, return_index=True, return_counts=True)
    return np.lexsort((first, -sizes)).astype(np.int64)


def _by_id(prototypes: Prototypes) -> Prototypes:
    order = np.argsort(prototypes.class_ids, kind="stable")
    return Prototypes(
        tuple(prototypes.mask_ids[i] for i in order),
        prototypes.class_ids[order],
        prototypes.vectors[order],
    )


def _classes(
    fit: Fit,
    points: Float32,
    sample: FitSample,
    aligned: Alignment,
    parent: Codebook | None,
    version: int,
) -> list[Class]:
    earlier = {c.class_id: c for c in parent.classes} if parent else {}
    found = []
    for label in range(fit.classes):
        members = np.flatnonzero(fit.labels == label)
        class_id = int(aligned.class_ids[label])
        mean = points[members].mean(axis=0, dtype=np.float64)
        medoid = members[np.argmax(np.einsum("ij,j->i", points[members], mean))]
        before = earlier.get(class_id)
        parents = {*(before.parents if before else ()), *aligned.parents[label]}
        centroid = sample.embeddings[members].mean(axis=0, dtype=np.float64)
        found.append(
            Class(
                class_id=class_id,
                status=ACTIVE,
                size=len(members),
                radius=fit.eps,
                medoid_mask_id=sample.mask_ids[medoid],
                centroid=centroid.astype(np.float32),
                born_in=before.born_in if before else version,
                parents=tuple(sorted(parents)),
            )
        )
    return found
