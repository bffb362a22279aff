"""The plan stage: list the lake, drop what earlier plans hold, commit the rest as new shards.

Plans are append-only, so a growing lake never reshuffles the shards of earlier nights.
"""

from dataclasses import dataclass

from samseg.errors import StorageError
from samseg.output import Output
from samseg.readers import Reader

_RACES = 5


@dataclass(frozen=True, slots=True)
class PlanReport:
    """What one planning found.

    Attributes:
        shards: shards planned now.
        sources: objects in them.
        known: objects that earlier plans hold.
        changed: objects whose version differs from the planned one; they stay as first seen.
        ignored: objects that are no images.
    """

    shards: int
    sources: int
    known: int
    changed: int
    ignored: int


def plan(output: Output, reader: Reader) -> PlanReport:
    """Plan what is new in the lake.

    Raises:
        LakeError: the lake cannot be listed, or holds no image at all.
        StorageError: the output folder cannot be written.
    """
    for _ in range(_RACES):
        table = output.plan_table(["key", "etag"])
        known = dict(zip(table["key"].to_pylist(), table["etag"].to_pylist(), strict=True))
        found = reader.plan(known)
        shards = list(found.shards)
        if not shards or output.add_plan(shards, reader.images_per_source) is not None:
            return PlanReport(
                shards=len(shards),
                sources=sum(len(s.sources) for s in shards),
                known=found.known,
                changed=found.changed,
                ignored=found.ignored,
            )
    raise StorageError(
        f"other runs kept adding plans to {output.uri} at the same moment; run again when they end"
    )
