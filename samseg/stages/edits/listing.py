"""The classes of a folder as people see them, and the history of their edits."""

from collections import Counter
from typing import Any

import pyarrow as pa

from samseg.class_counts import ClassCounts
from samseg.edits.edit import Edit, Example, Merge, Move, Name, Redraw, Refine, Split, Undo
from samseg.edits.replay import ClassState
from samseg.edits.resolved import ResolvedClasses
from samseg.engine.local import Local
from samseg.output import Output
from samseg.stages.class_tally import class_rows
from samseg.stages.edits.current_counts import current_rows
from samseg.stages.edits.lookup import quoted
from samseg.stages.edits.refits import refit_events
from samseg.superseded import superseded

_SHOWN = {"action", "class_id", "class_ids", "into", "name"}
"""Fields of an action that the history has; masks and vectors may be many."""


def class_list(
    output: Output, version: int, state: ClassState, found: ResolvedClasses
) -> list[dict[str, Any]]:
    """Return a row for each current class, largest first, then for retired ones with a name.

    Returns:
        `class_id`, `name`, `masks`, `named` (by a person), `ignored`, `merged` (classes that are
        part of it), `created_by` (number of the edit, else None), `retired`, and `notes`: what
        refits did to it, as sentences.
    """
    masks = mask_counts(output, version, found)
    parts: dict[int, list[int]] = {}
    for class_id, into in found.into.items():
        if into != class_id:
            parts.setdefault(into, []).append(class_id)
    notes: dict[int, list[str]] = {}
    for event in refit_events(output):
        notes.setdefault(event.class_id, []).append(str(event))

    def row(class_id: int, retired: bool) -> dict[str, Any]:
        created = state.created.get(class_id)
        return {
            "class_id": class_id,
            "name": found.name(class_id),
            "masks": masks[class_id],
            "named": class_id in state.names,
            "ignored": class_id in state.ignored,
            "merged": parts.get(class_id, []),
            "created_by": None if created is None else created.number,
            "retired": retired,
            "notes": [n for c in (class_id, *parts.get(class_id, ())) for n in notes.get(c, ())],
        }

    current = sorted(found.current, key=lambda c: (-masks[c], c))
    gone = [c for c in sorted(state.names) if c in found.into and found.into[c] == c]
    return [
        *(row(c, False) for c in current),
        *(row(c, True) for c in gone if c not in found.current),
    ]


def mask_counts(output: Output, version: int, found: ResolvedClasses) -> Counter[int]:
    """Count the masks of each class after all edits, from the ledgers as far as they go."""
    committed, engine = output.committed(), Local()
    if found.divided or superseded(output, committed):
        _, rows, new = current_rows(output, version, engine, committed, found)
        return ClassCounts.of(pa.concat_tables([rows, new])).masks_of
    sizes = {s: n for s, n in output.sizes("assignments", version).items() if s in committed}
    rows = pa.concat_tables(class_rows(output, version, engine, sizes))
    return ClassCounts.of(rows).merged(found.into).masks_of


def history(output: Output, state: ClassState) -> list[dict[str, Any]]:
    """Return a row for each edit, oldest first, then for what refits did to classes.

    Returns:
        `edit`, `time`, `author`, `reason`, `action` and its names and classes, `text`, `undone_by`
        (number of the undo, else None) and `idle` (why it has no effect; empty if it has one); and
        for refits `codebook` and `text`.
    """
    rows: list[dict[str, Any]] = [
        {
            "edit": edit.number,
            "time": edit.time,
            "author": edit.author,
            "reason": edit.reason,
            **edit.action.model_dump(mode="json", include=_SHOWN),
            "text": described(edit),
            "undone_by": state.undone.get(edit.number),
            "idle": state.idle.get(edit.number, ""),
        }
        for edit in state.edits.values()
    ]
    return rows + [
        {"codebook": event.codebook, "text": str(event)} for event in refit_events(output)
    ]


def described(edit: Edit) -> str:
    """Return what an edit does, in words."""
    action = edit.action
    if isinstance(action, Name):
        return f"class {action.class_id} is called {quoted(action.name)}"
    if isinstance(action, Merge):
        return f"merge {_ids(action.class_ids)} into class {action.into}"
    if isinstance(action, Split):
        return f"split class {action.class_id}; the new class is {edit.created}"
    if isinstance(action, Move):
        if action.into == "ignored":
            return f"leave {len(action.mask_ids)} masks out of exports"
        into = "no class" if action.into is None else f"class {action.into}"
        return f"move {len(action.mask_ids)} masks to {into}"
    if isinstance(action, Redraw):
        return f"outlines of {len(action.mask_ids)} masks as a person drew them"
    if isinstance(action, Example | Refine):
        chosen = f"{len(action.accepted)} accepted and {len(action.rejected)} rejected masks"
        if isinstance(action, Refine):
            return f"refine class {action.class_id} by {chosen}"
        return f"class {edit.created} {quoted(action.name)} by {chosen}"
    if isinstance(action, Undo):
        return f"undo edit {action.edit}"
    return f"{action.action} class {action.class_id}"


def _ids(class_ids: tuple[int, ...]) -> str:
    return ("class " if len(class_ids) == 1 else "classes ") + ", ".join(map(str, class_ids))
