"""The masks of each class after all edits, counted on the engine and kept in ledgers.

Names and merges follow from the ledger of the codebook. Where edits divide classes (splits, moves,
classes by example), the masks are counted anew, by one map over all shards after such an edit, and
`classes/v{n}/resolved/e{edit}/ledger/` keeps the counts: later nights count new shards only.
"""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samseg import ledger, schema
from samseg.class_counts import ClassCounts, class_row
from samseg.edits.resolved import ResolvedClasses
from samseg.engine.protocol import Engine
from samseg.errors import NotFoundError
from samseg.ledger import Sizes
from samseg.object_names import KINDS
from samseg.output import Output
from samseg.stages.class_tally import class_counts, tallied
from samseg.stages.edits.resolution import stored
from samseg.stages.edits.shard_classes import lacking_members, members_of
from samseg.stages.table_map import PerItem
from samseg.superseded import Superseded, is_current, superseded
from samseg.types import IGNORED, Bool


@dataclass(frozen=True, slots=True)
class CurrentTallySpec(PerItem[str, pa.Table]):
    """What workers receive.

    Attributes:
        output: the output folder.
        version: of the codebook.
        found: its classes after all edits.
        sizes: of its assignments parts, of the shards to count.
        again: images of these shards that were labelled again; they do not count here.
    """

    output: Output
    version: int
    found: ResolvedClasses
    sizes: Sizes
    again: Superseded = field(default_factory=dict)

    def of_item(self, item: str) -> pa.Table:
        """Count the classes of one shard: a row of the ledger."""
        part = self.output.read(self.output.assignments_key(self.version, item))
        members = members_of(self.output, self.version, item, self.found)
        classes = self.found.class_ids(part, members)
        margin = part["margin"].to_numpy().astype(np.float32)
        if members is not None:  # no codebook tells how clearly they are of their class
            margin[_among(part["mask_id"], members["mask_id"])] = np.nan
        margin[_among(part["mask_id"], self.found.moves["mask_id"])] = np.inf  # people say so
        columns = {
            "mask_id": part["mask_id"],
            "class_id": pa.array(classes),
            "distance": part["distance"],
            "margin": pa.array(margin, from_pandas=True),
        }
        kept = is_current(part["mask_id"], self.again.get(item, ()))
        table = pa.table(columns).filter(pa.array(kept))
        return ledger.table_of([class_row(item, self.sizes[item], table)], self.version)


def current_counts(
    output: Output, version: int, engine: Engine, images: pa.Table, found: ResolvedClasses
) -> ClassCounts:
    """Add up the masks of each class after all edits; ignored masks are of none of them.

    Args:
        output: the output folder.
        version: of the codebook.
        engine: counts the shards that are in no ledger.
        images: rows of the ledger of images; only their shards are counted.
        found: the classes after all edits.
    """
    if not found.divided:
        return class_counts(output, version, engine, images).merged(found.into)
    committed = set(images["shard_id"].to_pylist())
    _, rows, new = current_rows(output, version, engine, committed, found)
    counts = ClassCounts.of(pa.concat_tables([rows, new]))
    counts.drop(IGNORED)
    return counts


def keep_counts(output: Output, version: int, engine: Engine, found: ResolvedClasses) -> None:
    """Write the ledger of the classes after all edits, where edits divide classes."""
    if not found.divided:
        return
    committed = output.committed()
    complete = committed - lacking_members(output, version, found)
    edit, _, new = current_rows(output, version, engine, complete, found)
    again = pa.array(list(superseded(output, committed)), pa.string())
    kept = pc.invert(pc.is_in(new["shard_id"], value_set=again))
    ledger.append(output, new.filter(kept), version, edit)


def current_rows(
    output: Output,
    version: int,
    engine: Engine,
    committed: set[str],
    found: ResolvedClasses,
    *,
    known: bool = True,
) -> tuple[int, pa.Table, pa.Table]:
    """Count the classes after edits in every shard that has assignments under a codebook.

    Args:
        output: the output folder.
        version: of the codebook.
        engine: counts the shards that are in no ledger.
        committed: the shards to count.
        found: the classes after all edits.
        known: False counts every shard anew.

    Returns:
        The edit whose ledger has these counts, its rows, and rows that it lacks.
    """
    edit = counted_edit(output, version, found)
    sizes = {s: n for s, n in output.sizes("assignments", version).items() if s in committed}
    again = superseded(output, output.committed())
    whole = {shard: size for shard, size in sizes.items() if shard not in again}
    rows = ledger.read(output, whole if known else {}, version, edit)
    counted = set(rows["shard_id"].to_pylist())
    missing = {shard: sizes[shard] for shard in sorted(sizes) if shard not in counted}
    if not missing:
        return edit, rows, schema.CLASS_LEDGER.empty_table()
    of_missing = {shard: images for shard, images in again.items() if shard in missing}
    spec = CurrentTallySpec(output, version, found, missing, of_missing)
    return edit, rows, tallied(spec, list(missing), engine)


def _among(ids: pa.ChunkedArray, some: pa.ChunkedArray) -> Bool:
    found: Bool = pc.is_in(ids, value_set=some.combine_chunks()).to_numpy().astype(np.bool_)
    return found


def counted_edit(output: Output, version: int, found: ResolvedClasses) -> int:
    """Return the newest edit that has a ledger, if edits since then divided and merged nothing."""
    pattern = KINDS["class_ledger"]
    listed = (source.key for source in output.storage.list(f"classes/v{version:06d}/resolved/"))
    edits = {int(key["edit"]) for key in map(pattern.fullmatch, listed) if key and key["edit"]}
    newest = max((edit for edit in edits if edit <= found.edit), default=found.edit)
    if newest == found.edit:
        return newest
    try:
        same = stored(output, version, newest).same_classes(found)
    except NotFoundError:  # its tables were damaged, and set aside
        return found.edit
    return newest if same else found.edit
