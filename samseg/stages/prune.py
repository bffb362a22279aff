"""Deletes what earlier codebooks hold of every mask, so that refits do not add up.

Of a pruned codebook remain the manifest, the record of its successor and the table of its classes:
later codebooks name it as their parent, and no class id is given twice. `pruned.json` is written
before anything is deleted, and from then on the codebook cannot be read any more, so an interrupted
run is completed by running it again. Of a fit that never committed a codebook, and that newer ones
have passed by, nothing remains.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from samseg.errors import ConfigError, redact
from samseg.object_names import KINDS
from samseg.output import Output
from samseg.sealed_json import sealed

_KEPT = ("codebook.json", "next.json", "classes.parquet", "pruned.json")
_OF_CODEBOOK = re.compile(r"classes/v(?P<version>[0-9]{6,})/(?P<name>.+)")
_EXPORT = re.compile(r"exports/[^/]+/v(?P<version>[0-9]+)-.+")


@dataclass(frozen=True, slots=True)
class Prunable:
    """A codebook, and what is to be deleted of it.

    Attributes:
        version: of the codebook.
        committed: whether it was ever committed.
        keys: of the objects to delete.
        bytes: of these.
    """

    version: int
    committed: bool
    keys: Sequence[str]
    bytes: int


def prunable(output: Output, keep: int) -> list[Prunable]:
    """Find what can be deleted of codebooks and their exports: two LISTs.

    Args:
        output: the output folder.
        keep: how many of the newest codebooks keep everything.

    Raises:
        ConfigError: none is to be kept.
    """
    if keep < 1:
        raise ConfigError(
            f"--keep-codebooks {keep}: wanted 1 or more; {redact(output.uri)} needs the newest"
        )
    committed = output.codebook_versions(pruned=True)
    kept = output.codebook_versions()[-keep:]
    newest = max(committed, default=0)
    sizes: dict[int, dict[str, int]] = defaultdict(dict)
    for folder, pattern in (("classes/", _OF_CODEBOOK), ("exports/", _EXPORT)):
        for source in output.storage.list(folder):
            found = pattern.fullmatch(source.key)
            if found is None or not any(kind.fullmatch(source.key) for kind in KINDS.values()):
                continue
            version = int(found["version"])
            stays = found.groupdict().get("name") in _KEPT and version in {0, *committed}
            if version < newest and version not in kept and version and not stays:
                sizes[version][source.key] = source.bytes
    return [
        Prunable(version, version in committed, sorted(found), sum(found.values()))
        for version, found in sorted(sizes.items())
    ]


def prune(output: Output, found: Sequence[Prunable]) -> None:
    """Delete what `prunable` found."""
    for of in found:
        if of.committed:
            output.storage.put_new(output.codebook_key(of.version, "pruned.json"), sealed({}))
        output.storage.delete(*of.keys)
