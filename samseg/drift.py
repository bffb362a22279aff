"""What a night changed: `nights/{stamp}/drift.json`, as a value.

A night is compared with the nights before it. Its new masks are those of shards that had no
assignments when it began; the masks before are all others. Both have the classes of the newest
codebook, so a refit does not count as drift by itself. Counts and shares are of all masks, from the
ledgers. Distances are of a sample: the parts of a bounded number of shards on either side, in the
order of their ids, which are hashes. Masks that are prototypes are left out, and distances of masks
that the mean of their class was fitted to are corrected to what others of the same kind would have
(`samseg.stages.distances.held_out`).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import TypeAdapter

METRICS = {
    "new_masks": "masks labelled this night",
    "masks_before": "masks of the nights before",
    "noise": "share of the new masks that have no class, 0 to 1",
    "noise_before": "the same of the masks before",
    "noise_change": "noise - noise_before",
    "distance": "mean cosine distance of the new masks to the nearest class, those without a class "
    "included",
    "distance_before": "the same of the masks before",
    "distance_ratio": "distance / distance_before",
    "total_variation": "total variation distance of the class shares of the new masks and of those "
    "before, noise as a class of its own: half the sum of the absolute differences, 0 to 1",
    "classes": "active classes",
    "new_classes": "classes that this night's fit found, and no fit before",
    "retired_classes": "classes that this night's fit did not find again",
    "split_classes": "classes whose masks this night's fit gave to several classes",
}
"""Name -> definition. A metric has no value (null) where there is nothing to compute it from: no
new masks, or in the first night nothing before."""


@dataclass(frozen=True, slots=True)
class FarMask:
    """A new mask that lies far from its class.

    Attributes:
        mask_id: its id.
        shard_id: the shard that has its row.
        distance: cosine distance to the nearest class.
    """

    mask_id: str
    shard_id: str
    distance: float


@dataclass(frozen=True, slots=True)
class ClassDrift:
    """One class this night and before, or noise.

    Attributes:
        class_id: its id, or `NOISE`.
        name: its display name.
        masks: new masks.
        masks_before: masks before.
        share: of the new masks; None if there are none.
        share_before: of the masks before.
        distance: mean cosine distance of the sampled new masks; None if there are none.
        distance_before: that of the sampled masks before.
        drifted: whether the new masks lie farther off, beyond what chance explains: Welch's t of
            the distances is at least `SIGNIFICANT_T`, of at least `MIN_SAMPLE` masks on either
            side.
        exemplars: if so, the new masks with the largest distances.
    """

    class_id: int
    name: str
    masks: int
    masks_before: int
    share: float | None = None
    share_before: float | None = None
    distance: float | None = None
    distance_before: float | None = None
    drifted: bool = False
    exemplars: tuple[FarMask, ...] = ()


SIGNIFICANT_T = 4.0
"""Masks of one image are alike, so the bound is stricter than the 2 of independent samples."""
MIN_SAMPLE = 8


@dataclass(frozen=True, slots=True)
class ClassEvent:
    """A class that was found, retired or split.

    Attributes:
        class_id: its id.
        name: its display name.
        masks: its masks; before the night, if it is retired.
        related: of a new class the classes that it derives from, of a retired one those that
            continue it, of a split one those that have its masks.
    """

    class_id: int
    name: str
    masks: int
    related: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Drift:
    """Contents of `drift.json`.

    Attributes:
        stamp: name of the night.
        codebook: the newest one; None if there is none.
        codebook_before: the newest one when the night began.
        metrics: value of every metric of `METRICS`; None where it has none.
        classes: the classes with the largest change of share first, a bounded number.
        born: new classes, the largest first, a bounded number.
        retired: retired classes, likewise.
        split: split classes, likewise.
    """

    stamp: str
    codebook: int | None
    codebook_before: int | None
    metrics: Mapping[str, int | float | None]
    classes: tuple[ClassDrift, ...] = ()
    born: tuple[ClassEvent, ...] = ()
    retired: tuple[ClassEvent, ...] = ()
    split: tuple[ClassEvent, ...] = ()

    def record(self) -> dict[str, Any]:
        """Return the contents of `drift.json`."""
        return asdict(self)

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Drift":
        """Return the contents of a `drift.json`; keys of later versions are left out.

        Raises:
            ValueError: it is damaged.
        """
        found = TypeAdapter(cls).validate_python(record)
        return replace(found, metrics={name: found.metrics.get(name) for name in METRICS})
