"""What became of classes between two codebooks."""

from collections.abc import Iterable, Mapping

from samseg.drift import ClassEvent
from samseg.output import Output
from samseg.stages.class_table import ClassRows, active, name_of


def lineage(
    output: Output,
    version: int | None,
    codebook_before: int | None,
    classes: ClassRows,
    earlier: ClassRows,
    masks_of: Mapping[int, int],
) -> tuple[list[ClassEvent], list[ClassEvent], list[ClassEvent]]:
    """Return the classes that were found, retired and split since a night began.

    Args:
        output: the output folder.
        version: the newest codebook; None if there is none.
        codebook_before: the newest one when the night began.
        classes: those of the newest codebook.
        earlier: those of the one before.
        masks_of: masks of each class under the newest codebook.
    """
    now, then = active(classes), active(earlier)

    def event(class_id: int, related: Iterable[int], of: ClassRows = classes) -> ClassEvent:
        masks = masks_of.get(class_id, 0) if class_id in now else of[class_id]["size"]
        return ClassEvent(class_id, name_of(of, class_id), masks, tuple(sorted(related)))

    born = [event(c, classes[c]["parents"]) for c in now - then]
    retired = [
        event(c, (n for n in now if c in classes[n]["parents"]), earlier) for c in then - now
    ]
    split: dict[int, list[int]] = {}
    if version is not None and version != codebook_before:
        split = output.codebook_manifest(version).get("split") or {}
    splits = [event(int(c), into, earlier) for c, into in split.items() if int(c) in earlier]
    return _by_size(born), _by_size(retired), _by_size(splits)


def _by_size(events: Iterable[ClassEvent]) -> list[ClassEvent]:
    return sorted(events, key=lambda e: (-e.masks, e.class_id))
