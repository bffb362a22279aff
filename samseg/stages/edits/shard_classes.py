"""The classes of the masks of a shard after all edits.

Reads its assignments, and the parts that hold the members of classes by example.
"""

from collections.abc import Iterable

import pyarrow as pa

from samseg.edits.resolved import ResolvedClasses
from samseg.edits.tables import MEMBERS
from samseg.errors import NotFoundError
from samseg.object_names import KINDS
from samseg.output import Output
from samseg.types import Int32


def members_of(output: Output, version: int, shard: str, found: ResolvedClasses) -> pa.Table | None:
    """Read the members of all classes by example in a shard; None where there are none."""
    parts = list(_parts(output, version, shard, found.examples))
    return pa.concat_tables(parts) if parts else None


def _parts(output: Output, version: int, shard: str, edits: Iterable[int]) -> Iterable[pa.Table]:
    for edit in edits:
        try:
            yield output.read(output.members_key(version, edit, shard), MEMBERS.names)
        except NotFoundError:  # of a codebook of another embedding, or not written yet
            continue


def classes_in(
    output: Output, version: int, shard: str, found: ResolvedClasses
) -> tuple[pa.ChunkedArray, Int32]:
    """Return the masks of a shard that has assignments, and their classes after all edits."""
    key = output.assignments_key(version, shard)
    table = output.read(key) if found.cells.num_rows else output.read(key, ["mask_id", "class_id"])
    return table["mask_id"], found.class_ids(table, members_of(output, version, shard, found))


def member_keys(output: Output, version: int, shards: Iterable[str]) -> list[str]:
    """Return the keys of all parts of members under a codebook, of the given shards."""
    wanted, pattern = {*shards}, KINDS["members"]
    listed = (source.key for source in output.storage.list(f"classes/v{version:06d}/edits/"))
    parts = filter(None, map(pattern.fullmatch, listed))
    return [part.string for part in parts if part["id"] in wanted]


def lacking_members(output: Output, version: int, found: ResolvedClasses) -> set[str]:
    """Return shards that have assignments and lack members that other shards have."""
    assigned = output.assigned(version)
    lacking: set[str] = set()
    for edit in found.examples:
        have = output.member_shards(version, edit)
        lacking |= assigned - have if have else set()
    return lacking
