"""Finds masks by their ids. No table leads from an image to its shard, so parts are searched."""

import difflib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from samseg.edits.edit import Exemplar
from samseg.errors import ConfigError, redact
from samseg.output import Output
from samseg.superseded import is_current, superseded

_READS_AT_A_TIME = 16


def located(output: Output, mask_ids: Sequence[str]) -> list[Exemplar]:
    """Find the shards of masks: reads the image ids of committed shards until all are found.

    Args:
        output: the output folder.
        mask_ids: ids of masks.

    Raises:
        ConfigError: a mask does not exist; the nearest ids are named.
    """
    masks = _masks_of_images(output, mask_ids)
    for mask in mask_ids:
        if mask not in masks:
            raise ConfigError(_unknown(output, mask, masks))
    return [Exemplar(mask_id=mask, shard_id=masks[mask]) for mask in mask_ids]


def present(output: Output, mask_ids: Iterable[str]) -> list[Exemplar]:
    """Find the shards of masks as `located` does; those that do not exist are left out."""
    ids = [*mask_ids]
    masks = _masks_of_images(output, ids)
    return [Exemplar(mask_id=mask, shard_id=masks[mask]) for mask in ids if mask in masks]


def _masks_of_images(output: Output, mask_ids: Iterable[str]) -> dict[str, str]:
    """Return all masks of the images that these masks belong to, with their shards."""
    shard_of = shards_of(output, {mask.rpartition("-")[0] for mask in mask_ids})
    masks: dict[str, str] = {}
    for shard in sorted({*shard_of.values()}):
        for mask in _ids(output, output.masks_key(shard), "mask_id"):
            if shard_of.get(mask.rpartition("-")[0]) == shard:
                masks[mask] = shard
    return masks


def shards_of(output: Output, images: Iterable[str]) -> dict[str, str]:
    """Return the shard in which each image counts; images that no shard has are left out."""
    committed = output.committed()
    left, again = pa.array(sorted(images), pa.string()), superseded(output, committed)

    def among(shard: str) -> list[tuple[str, str]]:
        ids = output.read(output.images_key(shard), ["image_id"])["image_id"]
        ids = ids.filter(pa.array(is_current(ids, again.get(shard, ()))))
        own = ids.filter(pc.is_in(ids, value_set=left))
        return [(image, shard) for image in own.to_pylist()]

    found: dict[str, str] = {}
    shards = iter(sorted(committed))
    with ThreadPoolExecutor(_READS_AT_A_TIME) as threads:
        while len(found) < len(left) and (some := list(islice(shards, 4 * _READS_AT_A_TIME))):
            for pairs in threads.map(among, some):
                found |= dict(pairs)
    return found


def _ids(output: Output, key: str, column: str) -> list[str]:
    ids: list[str] = output.read(key, [column])[column].to_pylist()
    return ids


def _unknown(output: Output, mask: str, known: Iterable[str]) -> str:
    image = mask.rpartition("-")[0]
    siblings = sorted(m for m in known if m.startswith(f"{image}-"))
    where = f"{redact(output.uri)} has no mask {mask!r}"
    if siblings:
        near = difflib.get_close_matches(mask, siblings, n=3, cutoff=0)
        return f"{where}; its image has {len(siblings)} masks, among them {', '.join(near)}"
    sample = _first_ids(output)
    near = difflib.get_close_matches(mask, sample, n=1, cutoff=0.8)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{where}, nor its image{hint}; `samseg query` lists masks: select mask_id from labels"


def _first_ids(output: Output, shards: int = 16) -> list[str]:
    """Return the masks of the first shards: enough to recognise a mistyped id in a small folder."""
    keys = [output.masks_key(shard) for shard in sorted(output.committed())[:shards]]
    return [mask for key in keys for mask in _ids(output, key, "mask_id")]
