"""What people do to the classes of an output folder: each verb looks up, checks and appends."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from samseg.clustering.codebook import Codebook
from samseg.edits.author import this_user
from samseg.edits.edit import (
    Action,
    Edit,
    Example,
    Ignore,
    Merge,
    Move,
    Name,
    Refine,
    Restore,
    Split,
    Undo,
)
from samseg.edits.log import append, read_log, valid
from samseg.edits.replay import ClassState, replay
from samseg.edits.resolved import ResolvedClasses
from samseg.errors import ConfigError, redact
from samseg.output import Output
from samseg.stages.cluster.codebook_store import load_codebook
from samseg.stages.edits.chosen import ChosenMasks, chosen
from samseg.stages.edits.listing import class_list, history
from samseg.stages.edits.lookup import class_of, require_free
from samseg.stages.edits.masks import located
from samseg.stages.edits.resolution import Resolver, resolved
from samseg.stages.edits.sides import (
    Division,
    Exemplars,
    StoredExemplars,
    divided_by_masks,
    divided_by_tree,
)
from samseg.views_sql import keep_views

Which = str | int
"""A class: its id or its name."""
Rows = list[dict[str, Any]]
Act = Callable[[ClassState, ResolvedClasses], Action]
"""Decides what to do, given what holds now."""
NO_CLASS, IGNORED = "none", "ignored"


class ClassEditor:
    """The classes of an output folder under its newest codebook, to look at and to edit.

    Every edit is one object of the log `edits/`, and holds under all later codebooks. Methods that
    edit take `author`, by default the user of this process, and `reason`, and return the edit.
    They raise a `ConfigError` for a class or mask that is not there, and a `ConflictError` if
    somebody changed the same classes at the same time.

    Attributes:
        found: the classes after the last edit that was made here; None before the first.
    """

    def __init__(self, output: Output):
        """Read nothing yet."""
        self._output = output
        self._loaded: Codebook | None = None
        self._division: Division | None = None
        self._resolvers: dict[int, Resolver] = {}
        self.found: ResolvedClasses | None = None

    def list(self) -> Rows:
        """Return the classes, largest first; see `samseg.stages.edits.listing.class_list`."""
        version, state, found = self._read()
        return class_list(self._output, version, state, found)

    def history(self) -> Rows:
        """Return all edits and what refits did to classes, oldest first."""
        return history(self._output, replay(self._log()))

    def consequences(self, edit: Edit) -> Sequence[str]:
        """Return, as sentences, which edits an undo leaves without effect."""
        log = self._log()
        before = replay(e for e in log if e.number < edit.number).idle
        after = replay(e for e in log if e.number <= edit.number).idle
        return [
            f"edit {number} has no effect now: {why}"
            for number, why in after.items()
            if number not in before
        ]

    def name(self, which: Which, name: str, author: str | None = None, reason: str = "") -> Edit:
        """Give a class a name that no other class has."""

        def act(state: ClassState, found: ResolvedClasses) -> Action:
            class_id = class_of(found, state, which)
            action = valid(lambda: Name(class_id=class_id, name=name))
            require_free(found, name, class_id)
            return action

        return self._edit(act, author, reason)

    def merge(
        self,
        which: Which | Iterable[Which],
        into: Which,
        author: str | None = None,
        reason: str = "",
    ) -> Edit:
        """Make classes part of another one, which keeps its id and its name."""
        classes = [which] if isinstance(which, str | int) else [*which]

        def act(state: ClassState, found: ResolvedClasses) -> Action:
            ids = tuple(dict.fromkeys(class_of(found, state, one) for one in classes))
            target = class_of(found, state, into)
            return valid(lambda: Merge(class_ids=ids, into=target))

        return self._edit(act, author, reason)

    def split(
        self,
        which: Which,
        by: Sequence[str] = (),
        author: str | None = None,
        reason: str = "",
    ) -> Edit:
        """Divide a class in two, along its branches in the codebook's tree.

        Args:
            which: the class. The larger side keeps its id and its name.
            by: two masks, one for each side, in place of the branches.
            author: who does it.
            reason: why.
        """

        def act(state: ClassState, found: ResolvedClasses) -> Action:
            class_id = class_of(found, state, which)
            codebook, exemplars = self._codebook(), self._exemplars(found)
            if by:
                sides = divided_by_masks(self._output, codebook, found, class_id, by, exemplars)
            else:
                sides = divided_by_tree(codebook, found, class_id, exemplars)
            self._division = sides
            return valid(lambda: Split(class_id=class_id, kept=sides.kept, new=sides.new))

        return self._edit(act, author, reason)

    def ignore(self, which: Which, author: str | None = None, reason: str = "") -> Edit:
        """Leave a class out of exports."""
        return self._edit(
            lambda state, found: Ignore(class_id=class_of(found, state, which)), author, reason
        )

    def restore(self, which: Which, author: str | None = None, reason: str = "") -> Edit:
        """Take an ignored class into exports again."""
        return self._edit(
            lambda state, found: Restore(class_id=class_of(found, state, which)), author, reason
        )

    def move(
        self,
        masks: str | Iterable[str],
        into: Which | None,
        author: str | None = None,
        reason: str = "",
    ) -> Edit:
        """Give masks another class.

        `None` or `"none"` is no class, and `"ignored"` also leaves them out of exports.
        """
        ids = [masks] if isinstance(masks, str) else [*dict.fromkeys(masks)]

        def act(state: ClassState, found: ResolvedClasses) -> Action:
            target: int | Literal["ignored"] | None = None
            if into == IGNORED:
                target = "ignored"
            elif into is not None and into != NO_CLASS:
                target = class_of(found, state, into)
            action = valid(lambda: Move(mask_ids=tuple(ids), into=target))
            self._locate(ids)
            return action

        return self._edit(act, author, reason)

    def undo(self, edit: int, author: str | None = None, reason: str = "") -> Edit:
        """Take one edit back; the others stay, and those that needed it have no effect."""
        return self._edit(lambda state, found: valid(lambda: Undo(edit=edit)), author, reason)

    def example(
        self,
        name: str,
        embedding: str,
        accepted: ChosenMasks,
        rejected: ChosenMasks = (),
        author: str | None = None,
        reason: str = "",
    ) -> Edit:
        """Make a class from masks that a person chose.

        Accepted masks are of it. Which others are, `samseg.stages.edits.members.write_members`
        writes, which every night calls.

        Args:
            name: of the class.
            embedding: name of the embedding that the vectors are of.
            accepted: masks of the class: ids, or vectors.
            rejected: masks that are not of it.
            author: who does it.
            reason: why.
        """

        def act(state: ClassState, found: ResolvedClasses) -> Action:
            yes, no = chosen(self._output, embedding, accepted, rejected)
            action = valid(
                lambda: Example(name=name, embedding=embedding, accepted=yes, rejected=no)
            )
            require_free(found, name, None)
            return action

        return self._edit(act, author, reason)

    def refine(
        self,
        which: Which,
        accepted: ChosenMasks = (),
        rejected: ChosenMasks = (),
        author: str | None = None,
        reason: str = "",
    ) -> Edit:
        """Accept and reject more masks for a class by example; the latest choice for a mask counts.

        Accepted masks are of the class at once, and rejected ones are not. Which others are,
        `samseg.stages.edits.members.write_members` writes; until then the class has no others.

        Args:
            which: the class.
            accepted: masks of the class: ids, or vectors of the newest codebook's embedding.
            rejected: masks that are not of it.
            author: who does it.
            reason: why.
        """

        def act(state: ClassState, found: ResolvedClasses) -> Action:
            class_id = class_of(found, state, which)
            embedding = self._output.embedding_of(self._version())
            yes, no = chosen(self._output, embedding, accepted, rejected)
            return valid(
                lambda: Refine(class_id=class_id, embedding=embedding, accepted=yes, rejected=no)
            )

        return self._edit(act, author, reason)

    def _edit(self, act: Act, author: str | None, reason: str) -> Edit:
        version, state, found = self._read()
        action = act(state, found)
        edit = append(self._output, action, author or this_user(), reason, state)
        known = state.edits.values() if edit.number == state.newest + 1 else self._log()
        after = replay([*(e for e in known if e.number < edit.number), edit])
        resolver = self._resolver(version)
        sides = self._division
        if isinstance(edit.action, Split) and sides and sides.version == version:
            resolver.sides[edit.number] = sides.cells
        self.found = resolver.after(after, write=True)
        keep_views(self._output)
        return edit

    def _read(self) -> tuple[int, ClassState, ResolvedClasses]:
        version, state = self._version(), replay(self._log())
        found = resolved(self._output, version)
        if found.edit != state.newest:  # somebody edits meanwhile
            found = self._resolver(version).after(state)
        return version, state, found

    def _resolver(self, version: int) -> Resolver:
        return self._resolvers.setdefault(version, Resolver(self._output, version))

    def _log(self) -> Sequence[Edit]:
        return read_log(self._output)

    def _locate(self, mask_ids: Sequence[str]) -> None:
        """Refuse masks that are not there."""
        located(self._output, mask_ids)

    def _codebook(self) -> Codebook:
        version = self._version()
        if self._loaded is None or self._loaded.version != version:
            self._loaded = load_codebook(self._output, version)
        return self._loaded

    def _exemplars(self, found: ResolvedClasses) -> Exemplars:
        return StoredExemplars(self._output, self._codebook(), found)

    def _version(self) -> int:
        versions = self._output.codebook_versions()
        if not versions:
            raise ConfigError(
                f"{redact(self._output.uri)} has no classes yet; run `samseg cluster -c CONFIG`"
            )
        return versions[-1]
