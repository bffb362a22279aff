"""The names of the objects of an output folder, by kind, and what to do about a damaged one.

Names are matched exactly. Whatever else lies in the folder (copies, files of editors and notebooks,
half a download) is ignored by every command, and named by `samseg doctor`.
"""

import re
from collections.abc import Iterable

_ID = r"(?P<id>[0-9a-f]+)"
_PART = rf"part-{_ID}\.parquet"
_NUMBER = r"(?P<id>[0-9]{6,})"
_CODEBOOK = r"classes/v(?P<version>[0-9]{6,})"
_RESOLVED = r"resolved/e(?P<edit>[0-9]{6,})/"
_CODEBOOK_OBJECTS = (
    r"((codebook|next|pruned)\.json|transform\.npz|(core|classes|tree|cells)\.parquet)"
)

VERSION = re.compile(r"v([0-9]{6,})")
"""Folder of a codebook."""
NIGHT = re.compile(r"([0-9]{8}T[0-9]{6}Z-[0-9a-f]+)")
"""Folder of a night."""
KINDS = {
    kind: re.compile(pattern)
    for kind, pattern in {
        "recipe": r"(embeddings/[^/]+/)?recipe\.json",
        "lake": r"lake(\.[0-9]+)?\.json",
        "plan": rf"plan/{_NUMBER}\.parquet",
        "masks": rf"masks/{_PART}",
        "embeddings": rf"embeddings/(?P<name>[^/]+)/{_PART}",
        "images": rf"images/{_PART}",
        "failed": rf"failed/{_ID}\.json",
        "quarantine": rf"quarantine/{_ID}(\.[0-9]+)?\.json",
        "forgotten": rf"forgotten/{_ID}\.json",
        "codebook": rf"{_CODEBOOK}/{_CODEBOOK_OBJECTS}",
        "assignments": rf"{_CODEBOOK}/assignments/{_PART}",
        "members": rf"{_CODEBOOK}/edits/(?P<edit>[0-9]{{6,}})/{_PART}",
        "split_cells": rf"{_CODEBOOK}/edits/{_NUMBER}/cells\.parquet",
        "resolved": rf"{_CODEBOOK}/resolved/e{_NUMBER}/(classes|cells|moves|outlines)\.parquet",
        "edits": rf"edits/{_NUMBER}\.json",
        "corrections": rf"corrections/{_NUMBER}\.parquet",
        "ledger": rf"ledger/{_NUMBER}\.parquet",
        "class_ledger": rf"{_CODEBOOK}/({_RESOLVED})?ledger/{_NUMBER}\.parquet",
        "nights": rf"nights/{NIGHT.pattern}/[^/]+",
        "exports": "exports/.+",
        "views": r"views(\.[0-9]+)?\.sql",
        "damaged": "damaged/.+",
        "probe": "doctor/probe",
    }.items()
}
"""Kind of an object -> what its key matches from end to end."""


def kind_of(key: str) -> str | None:
    """Return the kind of an object, None if samseg writes no such name."""
    return next((kind for kind, pattern in KINDS.items() if pattern.fullmatch(key)), None)


def ids(kind: str, keys: Iterable[str]) -> set[str]:
    """Return the ids in those keys that are of a kind: of shards, or numbers of plans."""
    return {found["id"] for key in keys if (found := KINDS[kind].fullmatch(key))}


def matched(pattern: re.Pattern[str], names: Iterable[str]) -> set[str]:
    """Return the first group of every name that a pattern matches from end to end."""
    return {found[1] for name in names if (found := pattern.fullmatch(name))}


def remedy(key: str, folder: str) -> str:
    """Return what to do if an object is damaged or missing.

    Args:
        key: of the object.
        folder: URI of the output folder.
    """
    copy, kind = "restore it from a copy of the folder", kind_of(key)
    repair = f"{copy}, or run `samseg doctor {folder} --repair`, which sets it aside"
    if kind in ("masks", "images"):
        return f"{repair} with its shard; the next night labels the shard again"
    if kind == "embeddings":
        return f"{repair}; `samseg describe -c CONFIG` writes it again"
    if kind in ("assignments", "ledger", "class_ledger", "members", "split_cells", "resolved"):
        return f"{repair}; the next night writes it again"
    if kind == "nights" and key.endswith("/drift.json"):
        return f"{repair}; `samseg drift` then passes over that night"
    if kind == "nights":
        return f"{repair}; nothing reads it"
    if kind == "codebook" and key.endswith("/next.json"):
        return f"{copy}, or delete it and run `samseg cluster`"
    if kind == "codebook":
        codebook = key.rpartition("/")[0]
        version = int(codebook.rpartition("/v")[2])
        return (
            f"{copy}, or delete {codebook} and the classes/*/next.json of version {version}, and "
            "run `samseg cluster`: it continues from the codebook before, and may use ids of "
            "classes again that were new in this one"
        )
    return copy
