"""Sets damaged objects aside, so that later runs write them again."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from samseg.doctor.finding import Finding
from samseg.object_names import kind_of
from samseg.output import Output

_ORDER = ("images", "masks", "embeddings", "assignments")
"""The commit of a shard goes first, so that whatever is killed here leaves it uncommitted."""


def repair(output: Output, findings: Iterable[Finding], keys: Iterable[str]) -> Sequence[str]:
    """Copy what has to be written again to `damaged/{stamp}/`, then delete it.

    With a masks or images part goes its whole shard, since their rows belong together.

    Args:
        output: the output folder.
        findings: those that are repairable are mended.
        keys: all objects of the folder.

    Returns:
        The keys that were set aside.
    """
    keys = list(keys)
    aside: dict[str, None] = {}
    for finding in findings:
        if finding.repairable:
            aside |= dict.fromkeys(k for k in _with(finding.key, keys) if k in keys)
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
    for key in aside:
        output.storage.put_new(f"damaged/{stamp}/{key}", output.storage.get(key))
    ordered = sorted(aside, key=_position)
    for key in ordered:
        output.storage.delete(key)
    return ordered


def _with(key: str, keys: Sequence[str]) -> Sequence[str]:
    """Return the keys of the objects that belong to a damaged one."""
    if kind_of(key) not in ("masks", "images"):
        return [key]
    part = f"/{key.rpartition('/')[2]}"
    return [k for k in keys if kind_of(k) in _ORDER and k.endswith(part)]


def _position(key: str) -> tuple[int, str]:
    kinds: Mapping[str | None, int] = {kind: n for n, kind in enumerate(_ORDER)}
    return kinds.get(kind_of(key), len(kinds)), key
