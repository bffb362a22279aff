"""Patterns in the URI of a lake: `s3://bucket/tars/train-{000..019}.tar`, `photos/2024-*`.

`*` and `**` match any text, also `/`, and `**/` also no folder; `?` is one character but `/`;
`[a-f]` is one of these characters, and `[!a-f]` one of the others, or the text as it is written;
`{a,b}` is `a` or `b`, `{000..019}` a number of three digits, and `{0..19}` one without leading
zeros. Letters match in both cases. `[[]`, `[*]`, `[?]` and `[{]` are the characters themselves.
What matches is an object, or a folder with all in it.

A folder or object that exists as it is written is meant literally, so `[2020] trip/*.jpg` needs no
escapes. Over HTTP, `?` begins a query. Chained URLs are no patterns.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from samseg.storage import exists

_ROOT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*/?")
_CLASS = re.compile(r"\[(!?)([^/][^/\]]*)\]")
_NUMBERS = re.compile(r"\{(\d+)\.\.(\d+)\}")
_LETTERS = re.compile(r"\{([A-Za-z])\.\.([A-Za-z])\}")
_SPECIAL = rf"\*|{_CLASS.pattern}|\{{[^{{}}]*,|{_NUMBERS.pattern}|{_LETTERS.pattern}"


class Located(NamedTuple):
    """Where a lake is.

    Attributes:
        root: URI of the folder that keys are relative to.
        pattern: what the keys below it match; empty where all do.
    """

    root: str
    pattern: str = ""

    @property
    def start(self) -> str:
        """What all keys that match begin with."""
        special = _special("").search(self.pattern)
        return self.pattern[: special.start()] if special else self.pattern


def located(uri: str) -> Located:
    """Split the URI of a lake into its root and a pattern of keys.

    Raises:
        LakeError, StorageError: the store does not say whether anything exists at the URI.
    """
    top = _ROOT.match(uri)
    start = at = top.end() if top else 0
    while "::" not in uri and (special := _special(uri).search(uri, at)):
        at = uri.find("/", special.end())
        if not exists(uri if at < 0 else uri[:at]):
            cut = uri.rfind("/", 0, special.start()) + 1
            root = uri[:cut] if cut <= max(start, 1) else uri[: cut - 1]
            return Located(root or ".", uri[cut:].rstrip("/"))
        if at < 0:
            break
    return Located(uri)


def expression(pattern: str) -> str:
    """Return the regular expression of the keys that a pattern means."""
    return f"(?:{''.join(_translated(pattern))})(?:/.*)?"


def literal(key: str) -> str:
    """Return the pattern that means one key."""
    return re.sub(r"[*?\[{]", r"[\g<0>]", key)


def _special(uri: str) -> re.Pattern[str]:
    is_web = uri.lower().startswith(("http://", "https://"))
    return re.compile(_SPECIAL if is_web else rf"{_SPECIAL}|\?")


def _translated(pattern: str) -> Iterator[str]:
    at = 0
    while at < len(pattern):
        if found := re.compile(r"\*\*+/").match(pattern, at):
            yield "(?:.*/)?" if at == 0 or pattern[at - 1] == "/" else ".*/"
        elif found := re.compile(r"\*+").match(pattern, at):
            yield ".*"
        elif found := re.compile(r"\?").match(pattern, at):
            yield "[^/]"
        elif found := _CLASS.match(pattern, at):
            inside = re.sub(r"([\\\[\]^&|~])", r"\\\1", found[2])
            yield f"(?:[{'^/' if found[1] else ''}{inside}]|{re.escape(found[0])})"
        elif found := _NUMBERS.match(pattern, at):
            yield _numbers(found[1], found[2])
        elif found := _LETTERS.match(pattern, at):
            yield f"[{min(found[1], found[2])}-{max(found[1], found[2])}]"
        elif (choices := _choices(pattern, at)) is not None:
            texts, at = choices
            yield f"(?:{'|'.join(''.join(_translated(text)) for text in texts)})"
            continue
        else:
            yield re.escape(pattern[at])
            at += 1
            continue
        at = found.end()


def _choices(pattern: str, at: int) -> tuple[list[str], int] | None:
    """Return what the braces at a position choose from, and where they end; None if they do not."""
    if pattern[at] != "{":
        return None
    depth, texts = 0, [""]
    for end in range(at, len(pattern)):
        character = pattern[end]
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return (texts, end + 1) if len(texts) > 1 else None
        if character == "," and depth == 1:
            texts.append("")
        elif end > at:
            texts[-1] += character
    return None


def _numbers(one: str, other: str) -> str:
    """Return the expression of the numbers between two; with leading zeros if one of them has."""
    low, high = sorted((one, other), key=int)
    padded = any(len(n) > 1 and n[0] == "0" for n in (low, high))
    if padded:
        width = max(len(low), len(high))
        return f"(?:{_between(low.zfill(width), high.zfill(width))})"
    widths = range(len(low), len(high) + 1)
    of_width = (
        _between(
            low if width == len(low) else "1" + "0" * (width - 1),
            high if width == len(high) else "9" * width,
        )
        for width in widths
    )
    return f"(?:{'|'.join(of_width)})"


def _between(low: str, high: str) -> str:
    """Return the expression of the numbers between two that have as many digits."""
    if not low or low[0] == high[0]:
        return low[:1] + (_between(low[1:], high[1:]) if low else "")
    rest = len(low) - 1
    first, last = int(low[0]), int(high[0])
    parts = [low[0] + _between(low[1:], "9" * rest), high[0] + _between("0" * rest, high[1:])]
    if last - first > 1:
        parts.append(f"[{first + 1}-{last - 1}]" + "[0-9]" * rest)
    return f"(?:{'|'.join(parts)})"
