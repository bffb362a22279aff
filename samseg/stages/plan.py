"""The plan stage: list the lake and commit objects not yet planned as new shards.

Plans are append-only, so a growing lake does not change the shards of earlier nights.
"""

from dataclasses import dataclass

from samseg.errors import StorageError
from samseg.output import Output
from samseg.readers import Reader

_MAX_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class PlanReport:
    """Result of one run of the stage.

    Attributes:
        shards: newly planned shards.
        sources: objects in them.
        known: objects in earlier plans.
        changed: objects whose version differs from the planned one; they are not planned again.
        ignored: objects that are not images.
    """

    shards: int
    sources: int
    known: int
    changed: int
    ignored: int


def plan(output: Output, reader: Reader) -> PlanReport:
    """Plan the new objects of the lake.

    Raises:
        LakeError: the lake cannot be listed or contains no images.
        StorageError: the output folder cannot be written.
    """
    for _ in range(_MAX_ATTEMPTS):
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
        f"other runs added plans to {output.uri} during each of {_MAX_ATTEMPTS} attempts; "
        "run again when they have finished"
    )
