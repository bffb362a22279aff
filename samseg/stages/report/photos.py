"""Chooses the photos that the page shows whole, and lists photos by name.

Photos of this night come first. A bounded number of images parts is read.
"""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import pyarrow as pa

from samseg.errors import redact
from samseg.lake import address_now
from samseg.output import Output
from samseg.stages.report.counts import LakeCounts
from samseg.stages.report.exemplars import examples
from samseg.superseded import is_current
from samseg.views.page import PhotoRow

SHOWN = 48
"""Photos on the page. At 720 px each is about 100 kB of it."""
LISTED = 1000
_COVERING = 12
"""Photos that together cover the most classes; they come first."""
_SHARDS = 32
"""Shards of this night, and of those before, that photos are listed of."""
_READS_AT_A_TIME = 16


@dataclass(frozen=True, slots=True)
class ChosenPhotos:
    """Photos of the page.

    Attributes:
        shown: image id -> shard of the photos shown whole, in the order of the page.
        listed: photos by name, those of this night first.
    """

    shown: dict[str, str]
    listed: list[PhotoRow]


def choose(output: Output, counts: LakeCounts, new_shards: Collection[str]) -> ChosenPhotos:
    """Choose and list photos.

    Args:
        output: the output folder.
        counts: of the folder.
        new_shards: shards that this night has labelled.
    """
    new = [shard for shard in counts.shards if shard in new_shards][:_SHARDS]
    others = (shard for shard in counts.shards if shard not in new_shards)
    shards = [*new, *islice(others, _SHARDS)]
    with ThreadPoolExecutor(_READS_AT_A_TIME) as threads:
        parts = list(threads.map(lambda shard: _rows(output, shard, counts), shards))
    rows = [
        (shard not in new, row["key"], shard, row)
        for shard, part in zip(shards, parts, strict=True)
        for row in part
    ]
    rows.sort(key=lambda row: row[:3])
    best = examples(counts, SHOWN)
    with_masks = {row["image_id"]: shard for *_, shard, row in rows if row["masks"]}
    order = dict.fromkeys(chain(islice(best, _COVERING), with_masks))
    shown = {i: best.get(i) or with_masks[i] for i in islice(order, SHOWN)}
    address = address_now(output)
    listed = [
        PhotoRow(
            image_id=row["image_id"],
            key=row["key"],
            masks=row["masks"] or 0,
            status=row["status"],
            address=redact(address(row["uri"])),
            is_new=not is_old,
        )
        for is_old, _, _, row in rows[:LISTED]
    ]
    return ChosenPhotos(shown, listed)


def _rows(output: Output, shard: str, counts: LakeCounts) -> list[dict[str, Any]]:
    columns = ["image_id", "key", "uri", "status", "masks"]
    rows = output.read(output.images_key(shard), columns)
    current = is_current(rows["image_id"], counts.again.get(shard, ()))
    return list(rows.filter(pa.array(current)).slice(0, LISTED).to_pylist())
