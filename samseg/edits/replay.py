"""The replay of a log of edits: what holds after all of them, under whatever codebook.

Edits are applied in the order of their numbers. An undone edit is left out. An edit that does not
apply to what the edits before it have left (it names a class whose split was undone, say) has no
effect; what it needed may come back only by a new edit. So any log has exactly one result.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from samseg.edits.edit import (
    CREATED,
    Action,
    Edit,
    Example,
    Ignore,
    Merge,
    Move,
    Name,
    Redraw,
    Refine,
    Restore,
    Split,
    Undo,
)
from samseg.types import IGNORED, NOISE


@dataclass(slots=True)
class ClassState:
    """What holds after some edits.

    Attributes:
        edits: all edits, by number.
        undone: number of an undone edit -> number of its undo.
        idle: number of an edit without effect -> why it has none.
        applied: the edits in effect, in order.
        names: class -> the name that a person gave it.
        merged: class -> the class that it was merged into directly.
        ignored: classes that are left out of exports -> number of the edit.
        created: class -> the edit that created it.
        chosen: class by example -> the edits that chose masks for it, in order.
        moved: mask -> the class that it was moved to, `NOISE` for none, or `IGNORED`.
        outlined: mask -> the edit that gave it the outline that a person drew.
        last: class -> number of the last edit that concerned it.
    """

    edits: dict[int, Edit] = field(default_factory=dict)
    undone: dict[int, int] = field(default_factory=dict)
    idle: dict[int, str] = field(default_factory=dict)
    applied: list[Edit] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    merged: dict[int, int] = field(default_factory=dict)
    ignored: dict[int, int] = field(default_factory=dict)
    created: dict[int, Edit] = field(default_factory=dict)
    chosen: dict[int, list[Edit]] = field(default_factory=dict)
    moved: dict[str, int] = field(default_factory=dict)
    outlined: dict[str, Edit] = field(default_factory=dict)
    last: dict[int, int] = field(default_factory=dict)

    @property
    def newest(self) -> int:
        """Number of the newest edit, 0 if there is none."""
        return max(self.edits, default=0)

    def final(self, class_id: int) -> int:
        """Return what a class was merged into, over all steps: itself in most cases."""
        while class_id in self.merged:  # only classes that are not merged yet can be merged
            class_id = self.merged[class_id]
        return class_id

    def refusal(self, action: Action) -> str:
        """Return why an action does not apply now; empty if it does."""
        if isinstance(action, Undo):
            return self._refusal_of_undo(action.edit)
        if isinstance(action, Merge):
            return self._refusal_of_merge(action)
        if isinstance(action, Example | Redraw):
            return ""
        if isinstance(action, Move):
            return self.missing(action.into) if isinstance(action.into, int) else ""
        if missing := self.missing(action.class_id):
            return missing
        by_example = action.class_id in self.chosen
        if isinstance(action, Split) and by_example:
            return f"class {action.class_id} is defined by examples, which no split divides"
        if isinstance(action, Refine) and not by_example:
            return (
                f"class {action.class_id} is not defined by examples; `move` gives it single masks"
            )
        is_ignored = action.class_id in self.ignored
        if isinstance(action, Ignore) and is_ignored:
            by = self.edits[self.ignored[action.class_id]].signature
            return f"class {action.class_id} is ignored already, since {by}"
        if isinstance(action, Restore) and not is_ignored:
            return f"class {action.class_id} is not ignored"
        return ""

    def _refusal_of_undo(self, number: int) -> str:
        edit = self.edits.get(number)
        if edit is None:
            return f"there is no edit {number}; the newest is {self.newest}"
        if isinstance(edit.action, Undo):
            again = self.edits.get(edit.action.edit)
            what = f" ({again.action.action})" if again else ""
            return (
                f"edit {number} is an undo, which cannot be undone; make edit {edit.action.edit}"
                f"{what} again"
            )
        if number in self.undone:
            return f"edit {number} was undone by {self.edits[self.undone[number]].signature}"
        return ""

    def _refusal_of_merge(self, action: Merge) -> str:
        if action.into in action.class_ids:
            return f"class {action.into} cannot be merged with itself"
        return next(filter(None, map(self.missing, (*action.class_ids, action.into))), "")

    def missing(self, class_id: int) -> str:
        """Return why a class is not there, as far as edits decide it."""
        if class_id in self.merged:
            number = self.last[class_id]
            return (
                f"class {class_id} was merged into class {self.final(class_id)} "
                f"({self.edits[number].signature})"
            )
        if class_id >= CREATED and class_id not in self.created:
            number = class_id - CREATED
            if number in self.undone:
                by = self.edits[self.undone[number]].signature
                return f"class {class_id} is gone, because edit {number} was undone ({by})"
            return f"there is no class {class_id}"
        return ""

    def apply(self, edit: Edit) -> None:
        """Apply the next edit; an `Undo` has been applied before."""
        action = edit.action
        if isinstance(action, Undo):
            return
        if refusal := self.refusal(action):
            self.idle[edit.number] = refusal
            return
        self.applied.append(edit)
        if edit.created is not None:
            self.created[edit.created] = edit
            self.last[edit.created] = edit.number
        if isinstance(action, Name):
            self.names[action.class_id] = action.name
        elif isinstance(action, Merge):
            self.merged |= dict.fromkeys(action.class_ids, action.into)
            self.last |= dict.fromkeys((*action.class_ids, action.into), edit.number)
        elif isinstance(action, Ignore):
            self.ignored[action.class_id] = edit.number
        elif isinstance(action, Restore):
            del self.ignored[action.class_id]
        elif isinstance(action, Move):
            self.moved |= dict.fromkeys(action.mask_ids, target_of(action))
        elif isinstance(action, Redraw):
            self.outlined |= dict.fromkeys(action.mask_ids, edit)
        elif isinstance(action, Example) and edit.created is not None:
            self.names[edit.created] = action.name
            self._choose(edit.created, edit, action)
        elif isinstance(action, Refine):
            self._choose(action.class_id, edit, action)
        if isinstance(action, Name | Split | Ignore | Restore | Refine):
            self.last[action.class_id] = edit.number

    def _choose(self, class_id: int, edit: Edit, action: Example | Refine) -> None:
        """Record which masks a person chose for a class by example."""
        self.chosen.setdefault(class_id, []).append(edit)
        accepted = [m.mask_id for m in action.accepted if m.mask_id is not None]
        self.moved |= dict.fromkeys(accepted, class_id)
        for mask in action.rejected:
            if mask.mask_id is not None and self.moved.get(mask.mask_id) == class_id:
                del self.moved[mask.mask_id]


def target_of(action: Move) -> int:
    """Return the class that a move gives, `NOISE` or `IGNORED` for none."""
    if isinstance(action.into, int):
        return action.into
    return NOISE if action.into is None else IGNORED


def replay(edits: Iterable[Edit]) -> ClassState:
    """Return what holds after these edits, whatever order they come in."""
    ordered = sorted(edits, key=lambda edit: edit.number)
    state = ClassState()
    for edit in ordered:
        if isinstance(edit.action, Undo):
            if refusal := state.refusal(edit.action):
                state.idle[edit.number] = refusal
            else:
                state.undone[edit.action.edit] = edit.number
        state.edits[edit.number] = edit
    for edit in ordered:
        if edit.number not in state.undone:
            state.apply(edit)
    return state
