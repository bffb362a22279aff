"""What the page says of a night's drift."""

from collections.abc import Mapping, Sequence

from samseg.drift import ClassEvent, Drift
from samseg.stages.class_table import ClassRows, name_of
from samseg.views.page import ClassChange, MovedClass, NightChanges, PageImage

_EVENTS = 24
"""Classes named per kind of event."""


def shards_of_exemplars(drift: Drift | None) -> dict[str, str]:
    """Return the masks that drifted, each with the shard that has its row."""
    rows = drift.classes if drift else ()
    return {far.mask_id: far.shard_id for row in rows for far in row.exemplars}


def changes_of(
    drift: Drift | None, classes: ClassRows, crops: Mapping[str, PageImage]
) -> NightChanges | None:
    """Return the page's section of this night; None if nothing is known of it.

    Args:
        drift: what the night changed.
        classes: of the newest codebook.
        crops: mask id -> its crop, of the exemplars that are still there.
    """
    if drift is None:
        return None

    def events(found: Sequence[ClassEvent]) -> list[ClassChange]:
        return [
            ClassChange(e.class_id, e.name, e.masks, [(i, name_of(classes, i)) for i in e.related])
            for e in found[:_EVENTS]
        ]

    moved = []
    for row in drift.classes:
        shown = [crops[far.mask_id] for far in row.exemplars if far.mask_id in crops]
        if shown and row.distance is not None and row.distance_before is not None:
            moved.append(
                MovedClass(row.class_id, row.name, row.distance, row.distance_before, shown)
            )
    return NightChanges(
        is_first=drift.codebook_before is None,
        metrics=drift.metrics,
        born=events(drift.born),
        retired=events(drift.retired),
        split=events(drift.split),
        moved=moved,
    )
