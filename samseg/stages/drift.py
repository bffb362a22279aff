"""Measures what a night changed, and reads what nights before have measured.

Counts come from the ledger of classes, distances from the assignments of at most `SHARDS` shards of
this night and as many of those before, so the cost does not grow with the lake.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from math import sqrt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from samseg.class_counts import ClassCounts
from samseg.drift import (
    METRICS,
    MIN_SAMPLE,
    SIGNIFICANT_T,
    ClassDrift,
    Drift,
    FarMask,
)
from samseg.engine.local import Local
from samseg.engine.protocol import Engine
from samseg.errors import NotFoundError
from samseg.output import Output
from samseg.stages.class_table import ClassRows, active, class_table, name_of
from samseg.stages.class_tally import class_rows
from samseg.stages.distances import Distances, held_out, prototypes_of_masks, read_distances
from samseg.stages.lineage import lineage
from samseg.types import NOISE

_CLASSES = 200
_EVENTS = 100
_DRIFTED = 8
"""Classes with exemplars, and exemplars of each."""
_EXEMPLARS = 6
_NIGHTS_TRIED = 60


def measure(
    output: Output,
    stamp: str,
    codebook_before: int | None,
    new_shards: Collection[str],
    engine: Engine | None = None,
) -> Drift:
    """Compare a night with the nights before it.

    Args:
        output: the output folder, after the night's cluster stage.
        stamp: name of the night.
        codebook_before: the newest one when that stage began; None if there was none.
        new_shards: shards that had no assignments then.
        engine: counts the shards that are in no ledger; None for this process.

    Raises:
        StorageError: the tables cannot be read.
    """
    version = max(output.codebook_versions(), default=None)
    classes = class_table(output, version)
    earlier = class_table(output, codebook_before)
    new, before = ClassCounts(), ClassCounts()
    found = known = Distances.of_parts({})
    by_means = False
    if version is not None:
        sizes = output.sizes("assignments", version)
        rows = pa.concat_tables(class_rows(output, version, engine or Local(), sizes))
        is_new = pc.is_in(rows["shard_id"], value_set=pa.array(sorted(new_shards), pa.string()))
        new = ClassCounts.of(rows.filter(is_new))
        before = ClassCounts.of(rows.filter(pc.invert(is_new)))
        own, by_means = prototypes_of_masks(output, version)
        found = read_distances(output, version, sorted(sizes.keys() & set(new_shards)), own)
        known = read_distances(output, version, sorted(sizes.keys() - set(new_shards)), own)
    shift: dict[int, float] = {}
    if by_means and version == codebook_before:  # the new masks are not in the means
        shift = _shift(classes, before, known)
    masks_of = Counter(new.masks_of) + Counter(before.masks_of)
    born, retired, split = lineage(output, version, codebook_before, classes, earlier, masks_of)
    is_first = codebook_before is None
    metrics = _metrics(new, before, found, known, shift) | {
        "classes": len(active(classes)),
        "new_classes": None if is_first else len(born),
        "retired_classes": None if is_first else len(retired),
        "split_classes": None if is_first else len(split),
    }
    return Drift(
        stamp=stamp,
        codebook=version,
        codebook_before=codebook_before,
        metrics={name: metrics[name] for name in METRICS},
        classes=_classes(classes, new, before, found, known, shift),
        born=tuple(born[:_EVENTS]),
        retired=tuple(retired[:_EVENTS]),
        split=tuple(split[:_EVENTS]),
    )


def write(output: Output, drift: Drift) -> None:
    """Write `drift.json`; one that exists is kept."""
    payload = json.dumps(drift.record(), indent=1).encode()
    output.storage.put_new(output.night_key(drift.stamp, "drift.json"), payload)


def last(output: Output, count: int) -> list[Drift]:
    """Return what the last nights measured, the newest last; nights without it are passed over.

    Raises:
        StorageError: a `drift.json` is damaged.
    """
    found: list[Drift] = []
    for stamp in output.nights()[: -_NIGHTS_TRIED - 1 : -1]:
        key = output.night_key(stamp, "drift.json")
        try:
            record = output.read_json(key)
        except NotFoundError:
            continue
        with output.decoding(key):
            found.append(Drift.of_record(record))
        if len(found) == count:
            break
    return found[::-1]


def _shift(classes: ClassRows, before: ClassCounts, known: Distances) -> dict[int, float]:
    """Return what to add to the distances of earlier masks, to compare new ones with them.

    A class lies nearer to the masks that it is the mean of than to others of the same kind.
    """
    shift = {}
    for class_id in active(classes):
        distance = _mean(known.of(class_id))
        if distance is not None and before.masks_of[class_id]:
            size = classes[class_id]["size"]
            share = min(1.0, size / before.masks_of[class_id])
            shift[class_id] = share * (held_out(distance, size) - distance)
    return shift


def _metrics(
    new: ClassCounts,
    before: ClassCounts,
    found: Distances,
    known: Distances,
    shift: Mapping[int, float],
) -> dict[str, float | None]:
    noise, noise_before = _share(new.noise, new.masks), _share(before.noise, before.masks)
    distance = _weighted(new, found, {})
    distance_before = _weighted(before, known, shift)
    variation = None
    if new.masks and before.masks:
        variation = 0.5 * sum(
            abs(new.masks_of[c] / new.masks - before.masks_of[c] / before.masks)
            for c in new.masks_of.keys() | before.masks_of.keys()
        )
    return {
        "new_masks": new.masks,
        "masks_before": before.masks,
        "noise": noise,
        "noise_before": noise_before,
        "noise_change": None if noise is None or noise_before is None else noise - noise_before,
        "distance": distance,
        "distance_before": distance_before,
        "distance_ratio": distance / distance_before if distance and distance_before else None,
        "total_variation": variation,
    }


def _share(masks: int, of: int) -> float | None:
    return masks / of if of else None


def _weighted(counts: ClassCounts, sample: Distances, shift: Mapping[int, float]) -> float | None:
    """Return the mean distance of all masks: of each class that of its sample."""
    total, masks = 0.0, 0
    for class_id, of_class in counts.masks_of.items():
        distance = _mean(sample.of(class_id))
        with_distance = of_class - (counts.invalid if class_id == NOISE else 0)
        if distance is not None and with_distance > 0:
            total += with_distance * (distance + shift.get(class_id, 0.0))
            masks += with_distance
    return total / masks if masks else None


def _mean(distances: NDArray[np.float64]) -> float | None:
    return float(distances.mean()) if len(distances) else None


def _classes(
    classes: ClassRows,
    new: ClassCounts,
    before: ClassCounts,
    found: Distances,
    known: Distances,
    shift: Mapping[int, float],
) -> tuple[ClassDrift, ...]:
    """Return noise, then the classes, the largest change of share first."""
    rows: list[ClassDrift] = []
    rise: dict[int, float] = {}
    for class_id in sorted(new.masks_of.keys() | before.masks_of.keys()):
        here, there = found.of(class_id), known.of(class_id) + shift.get(class_id, 0.0)
        t = _welch(here, there)
        if t >= SIGNIFICANT_T:
            rise[class_id] = t
        rows.append(
            ClassDrift(
                class_id=class_id,
                name=name_of(classes, class_id),
                masks=new.masks_of[class_id],
                masks_before=before.masks_of[class_id],
                share=_share(new.masks_of[class_id], new.masks),
                share_before=_share(before.masks_of[class_id], before.masks),
                distance=_mean(here),
                distance_before=_mean(there),
                drifted=class_id in rise,
            )
        )
    shown = Counter(rise).most_common(_DRIFTED)
    exemplars = {class_id: _farthest(found, class_id) for class_id, _ in shown}
    rows = [replace(row, exemplars=exemplars.get(row.class_id, ())) for row in rows]
    rows.sort(key=lambda r: (r.class_id != NOISE, not r.exemplars, -_change(r), r.class_id))
    return tuple(rows[:_CLASSES])


def _change(row: ClassDrift) -> float:
    return abs((row.share or 0) - (row.share_before or 0))


def _welch(here: NDArray[np.float64], there: NDArray[np.float64]) -> float:
    """Return Welch's t of two samples (Welch, 1947); 0 if one has fewer than `MIN_SAMPLE`."""
    if min(len(here), len(there)) < MIN_SAMPLE:
        return 0.0
    error = sqrt(here.var(ddof=1) / len(here) + there.var(ddof=1) / len(there))
    return float(here.mean() - there.mean()) / max(error, 1e-9)


def _farthest(found: Distances, class_id: int) -> tuple[FarMask, ...]:
    at = np.flatnonzero(found.class_ids == class_id)
    at = at[np.argsort(-found.values[at], kind="stable")][:_EXEMPLARS]
    return tuple(
        FarMask(found.mask_ids[i].as_py(), found.shards[i], float(found.values[i]))
        for i in at.tolist()
    )
