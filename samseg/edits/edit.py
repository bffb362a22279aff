"""One edit: what a person said of classes, by whom, when and why.

Edits name classes and masks by their ids, never nodes of a tree, so that they hold under every
codebook. A class that an edit creates has the id `CREATED` + number of the edit; codebooks issue
lower ids.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter

from samseg.spec import Spec

FORMAT = 1
"""Of the objects of the log."""
CREATED = 2**30
"""A class created by edit n has the id `CREATED` + n."""
LONGEST_NAME = 200
LONGEST_REASON = 1000
EXEMPLARS = 50
"""Masks that a split stores per side, at most."""


def _encodable(text: str) -> str:
    text.encode()  # a UnicodeEncodeError is a ValueError, which pydantic reports
    return text


def _visible(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return _encodable(text)


def _not_digits(text: str) -> str:
    if text.strip().isdecimal():
        raise ValueError("consists of digits, and would be read as the id of a class")
    return text


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len({*values}) < len(values):
        raise ValueError("names one twice")
    return values


ClassName = Annotated[
    str, Field(max_length=LONGEST_NAME), AfterValidator(_visible), AfterValidator(_not_digits)
]
"""As it was typed; escaped wherever it is shown."""
ClassId = Annotated[int, Field(ge=0, lt=2 * CREATED)]
MaskId = Annotated[str, Field(min_length=1, max_length=100)]
Person = Annotated[str, Field(max_length=LONGEST_NAME), AfterValidator(_visible)]
Reason = Annotated[str, Field(max_length=LONGEST_REASON), AfterValidator(_encodable)]


class Name(Spec):
    """Gives a class a name."""

    action: Literal["name"] = "name"
    class_id: ClassId
    name: ClassName


class Merge(Spec):
    """Makes several classes one.

    Attributes:
        class_ids: the classes that end.
        into: the class that their masks have from now on.
    """

    action: Literal["merge"] = "merge"
    class_ids: Annotated[tuple[ClassId, ...], Field(min_length=1), AfterValidator(_distinct)]
    into: ClassId


class Exemplar(Spec):
    """A mask that stands for a side of a split.

    Attributes:
        mask_id: its id.
        shard_id: the shard in whose parts it is.
    """

    mask_id: MaskId
    shard_id: Annotated[str, Field(pattern=r"[0-9a-f]+")]


Exemplars = Annotated[tuple[Exemplar, ...], Field(min_length=1, max_length=EXEMPLARS)]


class Split(Spec):
    """Divides a class in two; the second one is new.

    Attributes:
        class_id: the class.
        kept: masks of the side that keeps the id.
        new: masks of the side that gets an id of its own.
    """

    action: Literal["split"] = "split"
    class_id: ClassId
    kept: Exemplars
    new: Exemplars


class Ignore(Spec):
    """Leaves a class out of exports."""

    action: Literal["ignore"] = "ignore"
    class_id: ClassId


class Restore(Spec):
    """Ends an `Ignore`."""

    action: Literal["restore"] = "restore"
    class_id: ClassId


class Move(Spec):
    """Gives masks another class.

    Attributes:
        mask_ids: the masks.
        into: the class, None for no class (noise), `ignored` for none and out of exports.
    """

    action: Literal["move"] = "move"
    mask_ids: Annotated[tuple[MaskId, ...], Field(min_length=1), AfterValidator(_distinct)]
    into: ClassId | Literal["ignored"] | None


class Redraw(Spec):
    """Gives masks the outlines that a person drew, in place of the machine's.

    Attributes:
        mask_ids: the masks.
        correction: number of the table of the outlines.
    """

    action: Literal["redraw"] = "redraw"
    mask_ids: Annotated[tuple[MaskId, ...], Field(min_length=1), AfterValidator(_distinct)]
    correction: Annotated[int, Field(ge=1)]


class ExampleMask(Spec):
    """A mask that a person accepted or rejected for a class by example.

    Attributes:
        mask_id: its id; None where its photo is not in the lake, or was forgotten.
        vector: its raw embedding; empty once its photo was forgotten.
    """

    mask_id: MaskId | None = None
    vector: tuple[float, ...]


class Example(Spec):
    """Creates a class from masks that a person chose.

    Attributes:
        name: of the class.
        embedding: name of the embedding that the vectors are of.
        accepted: masks of the class.
        rejected: masks that are not of it.
    """

    action: Literal["example"] = "example"
    name: ClassName
    embedding: str
    accepted: Annotated[tuple[ExampleMask, ...], Field(min_length=1)]
    rejected: tuple[ExampleMask, ...] = ()


class Refine(Spec):
    """Adds masks that a person chose to a class by example. The latest choice for a mask counts.

    Attributes:
        class_id: the class.
        embedding: name of the embedding that the vectors are of.
        accepted: masks of the class.
        rejected: masks that are not of it.
    """

    action: Literal["refine"] = "refine"
    class_id: ClassId
    embedding: str
    accepted: tuple[ExampleMask, ...] = ()
    rejected: tuple[ExampleMask, ...] = ()


class Undo(Spec):
    """Takes one edit out of the replay.

    Attributes:
        edit: its number.
    """

    action: Literal["undo"] = "undo"
    edit: Annotated[int, Field(ge=1)]


Action = Name | Merge | Split | Ignore | Restore | Move | Redraw | Example | Refine | Undo
_ACTION: TypeAdapter[Action] = TypeAdapter(Annotated[Action, Field(discriminator="action")])


class _Origin(Spec):
    format: Literal[1]
    time: str
    author: Person
    reason: Reason


@dataclass(frozen=True, slots=True)
class Edit:
    """One entry of the log.

    Attributes:
        number: its place in the log, from 1.
        time: UTC, ISO 8601.
        author: who made it.
        reason: why; may be empty.
        action: what it does.
    """

    number: int
    time: str
    author: str
    reason: str
    action: Action

    @property
    def created(self) -> int | None:
        """The id of the class that it creates, None for most edits."""
        return CREATED + self.number if isinstance(self.action, Split | Example) else None

    @property
    def signature(self) -> str:
        """Number, author and time, for messages."""
        return f"edit {self.number} by {self.author} at {self.time}"

    def to_json(self) -> dict[str, Any]:
        """Return the values that the log stores."""
        action = self.action.model_dump(mode="json")
        origin = {"time": self.time, "author": self.author, "reason": self.reason}
        return {"format": FORMAT, "action": action.pop("action"), **origin, **action}

    @classmethod
    def from_json(cls, number: int, values: Mapping[str, Any]) -> "Edit":
        """Return the edit with these stored values.

        Raises:
            ValueError: they are not those of an edit.
        """
        origin = _Origin.model_validate({k: v for k, v in values.items() if k in _OF_ORIGIN})
        action = _ACTION.validate_python({k: v for k, v in values.items() if k not in _OF_ORIGIN})
        return cls(number, origin.time, origin.author, origin.reason, action)


_OF_ORIGIN = frozenset(_Origin.model_fields)


def touched(action: Action, earlier: Mapping[int, Action]) -> frozenset[tuple[str, Any]]:
    """Return what an action concerns: classes, masks, names and edits.

    Two actions that concern nothing in common can be made in either order.

    Args:
        action: the action.
        earlier: the actions that an undo may refer to, by the number of their edit.
    """
    if isinstance(action, Name):
        return frozenset({("class", action.class_id), ("name", action.name.casefold())})
    if isinstance(action, Merge):
        return frozenset(("class", c) for c in (*action.class_ids, action.into))
    if isinstance(action, Move):
        return frozenset(("mask", mask) for mask in action.mask_ids)
    if isinstance(action, Redraw):
        return frozenset(("outline", mask) for mask in action.mask_ids)
    if isinstance(action, Example):
        return frozenset({("name", action.name.casefold())})
    if isinstance(action, Refine):  # others may name the class, or refine it by other masks
        masks = (m.mask_id for m in (*action.accepted, *action.rejected))
        return frozenset(("mask", mask) for mask in masks if mask is not None)
    if isinstance(action, Undo):
        undone = earlier.get(action.edit)
        of_undone = frozenset() if undone is None else touched(undone, {})
        return of_undone | {("edit", action.edit), ("class", CREATED + action.edit)}
    return frozenset({("class", action.class_id)})
