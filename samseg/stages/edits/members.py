"""The members of classes by example, shard by shard: a map over assignments and embeddings.

`classes/v{n}/edits/{e}/part-{shard}.parquet` holds the masks of a shard that a class by example
takes, where e is the last edit that chose masks for it: those inside its region. Where several such
classes take a mask, the nearest has it (`samseg.edits.resolved`). Assignments are never written
again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from samseg import schema
from samseg.clustering.codebook import Codebook
from samseg.edits.edit import CREATED
from samseg.edits.evidence import Evidence
from samseg.edits.replay import ClassState
from samseg.edits.tables import MEMBERS
from samseg.engine.protocol import Engine, Task
from samseg.output import Output
from samseg.stages.cluster.codebook_store import load_codebook
from samseg.stages.edits.example_region import ClassRegion, region_of
from samseg.stages.embeddings import read_embeddings
from samseg.stages.table_map import ROWS_PER_PART, PerItem, grouped, results


@dataclass(frozen=True, slots=True)
class ExampleRegion:
    """A class by example under one codebook.

    Attributes:
        edit: number of the last edit that chose masks for it.
        region: which points it takes.
        rejected: masks that it never takes.
    """

    edit: int
    region: ClassRegion
    rejected: frozenset[str]


@dataclass(frozen=True, slots=True)
class MembersSpec(PerItem[str, int]):
    """What workers receive, once each.

    Attributes:
        output: the output folder.
        codebook: the classes.
        regions: the classes by example.
        done: number of an edit -> shards that have its part.
    """

    output: Output
    codebook: Codebook
    regions: Sequence[ExampleRegion]
    done: dict[int, set[str]]

    def of_item(self, item: str) -> int:
        """Write the parts that a shard lacks; returns the number of members."""
        part = read_embeddings(self.output, item, self.codebook.embedding, ["mask_id", "embedding"])
        part = part.filter(part["embedding"].is_valid())
        members = 0
        for of in self.regions:
            if item not in self.done[of.edit]:
                table = members_in(self.codebook, of, part)
                members += table.num_rows
                part_key = self.output.members_key(self.codebook.version, of.edit, item)
                self.output.storage.put_new(part_key, schema.encode(table))
        return members


def members_in(codebook: Codebook, of: ExampleRegion, part: pa.Table) -> pa.Table:
    """Return the masks that a class by example takes, of `MEMBERS`, in the order of `part`.

    Args:
        codebook: the classes.
        of: the class by example.
        part: `mask_id` and `embedding`, without nulls.
    """
    if not part.num_rows:
        return MEMBERS.empty_table()
    points, valid = codebook.transform.apply(schema.matrix_of(part["embedding"]))
    distance = of.region.distances(points)
    allowed = np.array([mask not in of.rejected for mask in part["mask_id"].to_pylist()])
    rows = np.flatnonzero(valid & of.region.takes(points) & allowed)
    columns = [
        part["mask_id"].take(rows),
        pa.array(np.full(len(rows), CREATED + of.edit, np.int32)),
        pa.array(distance[rows].astype(np.float32)),
    ]
    return pa.table(columns, schema=MEMBERS)


def write_members(
    output: Output,
    version: int,
    state: ClassState,
    engine: Engine,
    on_progress: Callable[[int], None] = lambda done: None,
) -> int:
    """Write the members of classes by example in all shards that have assignments and lack them.

    Args:
        output: the output folder.
        version: of the codebook.
        state: the replay of the edits.
        engine: runs the map.
        on_progress: called with the number of shards done.

    Returns:
        The number of shards that were written.
    """
    if not state.chosen:
        return 0
    codebook = load_codebook(output, version)
    chosen = [Evidence.of(edits, codebook.embedding) for edits in state.chosen.values()]
    regions = [region for one in chosen if (region := region_under(codebook, one)) is not None]
    shards = output.committed() & output.assigned(version)
    done = {of.edit: output.member_shards(version, of.edit) for of in regions}
    left = sorted({s for shards_of in done.values() for s in shards - shards_of})
    if not left:
        return 0
    spec = MembersSpec(output, codebook, regions, done)
    written = 0
    engine = engine.for_tables(ROWS_PER_PART * len(left))
    tasks = (Task(group[0], group) for group in grouped(left))
    for found in results(engine, spec.build, tasks):
        written += len(found)
        on_progress(written)
    return written


def region_under(codebook: Codebook, chosen: Evidence) -> ExampleRegion | None:
    """Return a class by example under a codebook; None if no vector says what it is."""
    region = region_of(codebook, *chosen.vectors)
    ids = frozenset(m.mask_id for m in chosen.rejected if m.mask_id is not None)
    return None if region is None else ExampleRegion(chosen.edit, region, ids)
