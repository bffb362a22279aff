"""Untrusted text on a terminal: file names, class names, messages of libraries and stores.

A terminal interprets escape sequences (they move the cursor, and set the title and the clipboard),
and bidirectional control characters make a name look like another one.
"""

import unicodedata

_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Control and format characters, surrogates, and separators of lines and paragraphs."""

_KEPT = frozenset("\n\t\u200c\u200d")
"""Ends of lines, and the joiners that some scripts and emoji need."""


def printable(text: str) -> str:
    r"""Escape what a terminal interprets or hides, as Python does: `\x1b`, `\u202e`."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def printable_line(text: str) -> str:
    r"""Return `text` as `printable` does, on one line: `\n` in a name does not begin another."""
    return printable(text).replace("\n", r"\n")


def _escaped(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in _CATEGORIES:
        return character
    return character.encode("unicode_escape").decode("ascii")
