"""Finds a class by what a person calls it: its id, or its name."""

import difflib

from samseg.edits.replay import ClassState
from samseg.edits.resolved import ResolvedClasses
from samseg.errors import ConfigError
from samseg.printable import printable_line

_NAMED = 3


def class_of(found: ResolvedClasses, state: ClassState, which: str | int) -> int:
    """Return the id of a current class.

    Args:
        found: the classes.
        state: the replay of the edits that led to them.
        which: an id, or a name; upper and lower case differ only where names do.

    Raises:
        ConfigError: there is no such class, or there are several; the nearest ones are named.
    """
    text = str(which).strip()
    if text.isdecimal():
        return _by_id(found, state, int(text))
    exact = [c for c in found.current if found.name(c) == which]
    folded = [c for c in found.current if found.name(c).casefold() == text.casefold()]
    matches = exact or folded
    if len(matches) > 1:
        ids = ", ".join(map(str, matches))
        raise ConfigError(f"{quoted(text)} is the name of several classes: {ids}; give the id")
    if matches:
        return matches[0]
    for gone in found.rows:  # merged or retired: say so
        if found.name(gone).casefold() == text.casefold():
            return _by_id(found, state, gone)
    raise ConfigError(f"there is no class {quoted(text)}; {_nearest(found, text)}")


def name_in_use(found: ResolvedClasses, name: str, but: int | None = None) -> int | None:
    """Return another current class that has a name already, None if none has."""
    folded = name.strip().casefold()
    others = (c for c in found.current if c != but)
    return next((c for c in others if found.name(c).strip().casefold() == folded), None)


def require_free(found: ResolvedClasses, name: str, class_id: int | None) -> None:
    """Refuse a name that another class has.

    Raises:
        ConfigError: a current class other than `class_id` has it.
    """
    other = name_in_use(found, name, but=class_id)
    if other is not None:
        raise ConfigError(
            f"{labelled(found, other)} has that name already; choose another one, or `merge` makes "
            "two classes one"
        )


def quoted(name: str) -> str:
    """Return an untrusted name for a message: on one line, with what a terminal hides escaped."""
    return f"'{printable_line(name)}'"


def labelled(found: ResolvedClasses, class_id: int) -> str:
    """Return a class for a message: its id, and its name if it has one."""
    name = found.name(class_id)
    default = name == f"class {class_id}"
    return name if default else f"class {class_id} {quoted(name)}"


def _by_id(found: ResolvedClasses, state: ClassState, class_id: int) -> int:
    if class_id in found.current:
        return class_id
    gone = state.missing(class_id)
    if not gone and class_id in found.rows:
        gone = f"{labelled(found, class_id)} is retired: the newest codebook has no such class"
    gone = gone or f"there is no class {class_id}"
    raise ConfigError(f"{gone}; {_nearest(found, str(class_id))}")


def _nearest(found: ResolvedClasses, text: str) -> str:
    names = {found.name(c): c for c in reversed(found.current)}
    folded = {name.casefold(): name for name in names}
    near = [folded[n] for n in difflib.get_close_matches(text.casefold(), folded, n=_NAMED)]
    if near:
        return f"did you mean {' or '.join(labelled(found, names[n]) for n in near)}?"
    some = ", ".join(labelled(found, c) for c in found.current[: 2 * _NAMED])
    more = " ..." if len(found.current) > 2 * _NAMED else ""
    return f"the classes are {some}{more}" if some else "there are no classes"
