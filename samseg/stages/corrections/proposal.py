"""What an import is to change now: what a person changed in an export, and nobody else since.

Three states are compared: what was exported, what the file says, and what holds now. What the file
leaves as it was exported is no correction, whatever was edited since. What both have changed, and
not alike, is left as it is and named.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from samseg.corrections.corrected_file import Rle
from samseg.corrections.differences import Differences
from samseg.edits.edit import Merge, Move, Name
from samseg.edits.log import valid
from samseg.edits.replay import ClassState
from samseg.edits.resolved import RETIRED, ResolvedClasses
from samseg.stages.edits.lookup import labelled, name_in_use, quoted
from samseg.stages.edits.refits import RefitEvent
from samseg.types import IGNORED, NOISE

MASKS_PER_EDIT = 10_000
"""Bounds the size of an object of the log."""
_NAMED = 3


@dataclass(slots=True)
class Proposal:
    """What is left to do, in the classes of now.

    Attributes:
        names: the edits of names.
        merges: the merges, one per class that stays.
        added: name of a class that does not exist yet -> its masks.
        moves: the moves.
        redrawn: mask -> its outline.
        conflicts: what was changed otherwise since the export, as sentences.
    """

    names: list[Name] = field(default_factory=list)
    merges: list[Merge] = field(default_factory=list)
    added: dict[str, list[str]] = field(default_factory=dict)
    moves: list[Move] = field(default_factory=list)
    redrawn: dict[str, Rle] = field(default_factory=dict)
    conflicts: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.names or self.merges or self.added or self.moves or self.redrawn)


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds: when the file was exported, and now.

    Attributes:
        then: the replay of the edits up to the export.
        state: the replay of all edits.
        found: the classes of now.
        refits: what refits did to classes since.
        drawn_now: returns the RLEs of masks that have an outline by a person.
    """

    then: ClassState
    state: ClassState
    found: ResolvedClasses
    refits: Sequence[RefitEvent]
    drawn_now: Callable[[Iterable[str]], Mapping[str, Rle]]

    def now(self, class_id: int) -> int | None:
        """Return what a class of the export is now; None if it ended and has no one heir."""
        if class_id in (NOISE, IGNORED):
            return class_id
        row = self.found.rows.get(class_id)
        if row is not None and row["status"] != RETIRED:
            return self.state.final(class_id)
        ended = [f for f in self.refits if f.class_id == class_id and f.ended]
        heirs = ended[-1].others if ended else ()
        return self.now(heirs[0]) if len(heirs) == 1 and heirs[0] != class_id else None


def propose(
    changed: Differences, exported_names: Mapping[int, str], standing: Standing
) -> Proposal:
    """Decide what is left to do.

    Args:
        changed: what a person changed.
        exported_names: class -> its name in the export.
        standing: what holds.

    Raises:
        ConfigError: a name is none that a class can have.
    """
    found = Proposal()
    _names(found, changed, exported_names, standing)
    _merges(found, changed, standing)
    into: dict[int, list[str]] = {}
    for target, masks in changed.moved.items():
        now = standing.now(target)
        if now is None:
            found.conflicts.append(_gone(standing, target, f"{len(masks)} masks are not moved"))
        else:
            into.setdefault(now, []).extend(masks)
    for name, masks in changed.added.items():
        _called(0, name)
        known = name_in_use(standing.found, name)
        if known is None:
            found.added[name] = masks
        else:
            into.setdefault(known, []).extend(masks)
    into.setdefault(IGNORED, []).extend(changed.removed)
    for now, masks in into.items():
        _moves(found, now, masks, standing)
    _outlines(found, changed, standing)
    return found


def _names(
    found: Proposal, changed: Differences, names: Mapping[int, str], standing: Standing
) -> None:
    pending = {c for c in map(standing.now, changed.renamed) if c is not None}
    for class_id, name in changed.renamed.items():
        action = _called(class_id, name)
        now = standing.now(class_id)
        if now != class_id:
            found.conflicts.append(_gone(standing, class_id, f"it is not called {quoted(name)}"))
            continue
        held = standing.found.name(now)
        other = name_in_use(standing.found, name, but=now)
        if held == name:
            continue
        if held != names[class_id]:
            found.conflicts.append(
                f"class {now} was exported as {quoted(names[class_id])}; it is "
                f"{quoted(name)} in the file and {quoted(held)} by now"
            )
        elif other is not None and other not in pending:
            found.conflicts.append(
                f"class {now} is {quoted(name)} in the file, and "
                f"{labelled(standing.found, other)} has that name by now"
            )
        else:
            found.names.append(action)


def _called(class_id: int, name: str) -> Name:
    """Return the edit of a name.

    Raises:
        ConfigError: no class can have it.
    """
    valid(lambda: Name(class_id=class_id, name=name))
    return Name(class_id=class_id, name=name)


def _merges(found: Proposal, changed: Differences, standing: Standing) -> None:
    into: dict[int, list[int]] = {}
    for class_id, target in changed.merged.items():
        now, kept = standing.now(class_id), standing.now(target)
        if now is None or kept is None:
            gone = class_id if now is None else target
            end = f"class {class_id} is not merged into class {target}"
            found.conflicts.append(_gone(standing, gone, end))
        elif now == kept:
            continue
        elif now != standing.then.final(class_id):
            found.conflicts.append(
                f"class {class_id} is merged into class {target} in the file, and part of "
                f"{labelled(standing.found, now)} by now"
            )
        else:
            into.setdefault(kept, []).append(now)
    found.merges += [Merge(class_ids=tuple(ids), into=kept) for kept, ids in into.items()]


def _moves(found: Proposal, target: int, masks: Sequence[str], standing: Standing) -> None:
    """Add the moves of masks to a class of now."""
    state = standing.state
    todo: list[str] = []
    others: list[str] = []
    for mask in masks:
        held = state.moved.get(mask)
        if held is not None and state.final(held) == target:
            continue
        (todo if held == standing.then.moved.get(mask) else others).append(mask)
    into: int | str | None = target
    if target in (NOISE, IGNORED):
        into = None if target == NOISE else "ignored"
    for start in range(0, len(todo), MASKS_PER_EDIT):
        some = tuple(todo[start : start + MASKS_PER_EDIT])
        found.moves.append(Move.model_validate({"mask_ids": some, "into": into}))
    if others:
        found.conflicts.append(
            f"{_some(others)}: {_destination(standing, target)} in the file, and given another "
            "class since the export"
        )


def _outlines(found: Proposal, changed: Differences, standing: Standing) -> None:
    now, then = standing.state.outlined, standing.then.outlined
    since = [mask for mask in changed.redrawn if now.get(mask) != then.get(mask)]
    drawn = standing.drawn_now(mask for mask in since if mask in now)
    others = [m for m in since if drawn.get(m, {}).get("counts") != changed.redrawn[m]["counts"]]
    left = changed.redrawn.keys() - {*since}
    found.redrawn = {mask: rle for mask, rle in changed.redrawn.items() if mask in left}
    if others:
        found.conflicts.append(
            f"{_some(others)}: another outline in the file, and a third one since the export"
        )


def _gone(standing: Standing, class_id: int, end: str) -> str:
    refits = [str(event) for event in standing.refits if event.class_id == class_id]
    merged = standing.state.missing(class_id)
    return f"{merged or '; '.join(refits) or f'class {class_id} is not there any more'}; {end}"


def _destination(standing: Standing, target: int) -> str:
    if target == IGNORED:
        return "deleted"
    return "of no class" if target == NOISE else f"of {labelled(standing.found, target)}"


def _some(masks: Sequence[str]) -> str:
    named = ", ".join(masks[:_NAMED]) + (" ..." if len(masks) > _NAMED else "")
    return f"mask {named}" if len(masks) == 1 else f"{len(masks)} masks ({named})"
