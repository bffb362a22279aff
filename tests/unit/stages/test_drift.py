"""A night compared with the nights before it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from samseg import schema
from samseg.clustering import DBSCAN, Linkage
from samseg.clustering.settings import ClusterSettings
from samseg.conditions import conditions_in
from samseg.drift import METRICS, Drift
from samseg.errors import DamagedError
from samseg.output import Output
from samseg.stages import distances
from samseg.stages import drift as drifts
from samseg.types import NOISE

GATE = "noise>0.5,new_classes>20"
"""As in the README."""


FIXED = ClusterSettings(fit=DBSCAN(eps=0.2, min_samples=4))
FITS = {"dbscan": FIXED, "linkage": ClusterSettings(fit=Linkage())}


def drift_of(lake: Any, settings: ClusterSettings = FIXED, **options: Any) -> Drift:
    found = lake.night(settings, **options)
    return drifts.measure(lake, "night", found.before, found.new_shards)


@pytest.fixture
def first_night(lake: Any) -> Any:
    lake.night(FIXED)
    return lake


def holds(drift: Drift) -> list[str]:
    return [str(c) for c in conditions_in(GATE) if c.holds(drift.metrics)]


@pytest.mark.parametrize("fit", FITS)
def test_photos_of_the_same_kind_do_not_drift(lake: Any, fit: str) -> None:
    lake.night(FITS[fit])
    lake.add_shard("d", images=12)
    drift = drift_of(lake, FITS[fit])
    metrics = drift.metrics
    assert metrics["new_masks"] == 12 * 7 and metrics["masks_before"] == 18 * 7
    assert abs(metrics["noise_change"]) < 0.1 and metrics["total_variation"] < 0.1
    assert metrics["distance_ratio"] == pytest.approx(1, abs=0.1)
    assert not any(row.drifted for row in drift.classes)
    assert not holds(drift)


@pytest.mark.parametrize("fit", FITS)
def test_other_photos_drift(lake: Any, fit: str) -> None:
    lake.night(FITS[fit])
    lake.add_shard("d", images=12, kinds=(4, 5))
    drift = drift_of(lake, FITS[fit])
    metrics = drift.metrics
    assert metrics["noise"] == 1 and metrics["noise_change"] == pytest.approx(4 / 7)
    assert metrics["total_variation"] == pytest.approx(4 / 7)
    assert metrics["distance_ratio"] > 1.5
    assert holds(drift) == ["noise>0.5"]


def test_a_refit_finds_the_new_kinds_as_classes(first_night: Any) -> None:
    first_night.add_shard("d", images=12, kinds=(4, 5))
    drift = drift_of(first_night, refit=True)
    assert (drift.codebook_before, drift.codebook) == (1, 2)
    assert drift.metrics["new_classes"] == len(drift.born) == 2
    assert [(e.masks, e.related) for e in drift.born] == [(12, ())] * 2
    shares = {row.class_id: (row.masks, row.masks_before) for row in drift.classes}
    assert all(shares[event.class_id] == (12, 0) for event in drift.born)
    assert drift.metrics["retired_classes"] == drift.metrics["split_classes"] == 0


def test_the_first_night_has_nothing_to_compare_with(lake: Any) -> None:
    drift = drift_of(lake)
    compared = {name for name in METRICS if name.endswith(("_before", "_change", "_ratio"))}
    compared |= {"total_variation", "new_classes", "retired_classes", "split_classes"}
    compared -= {"masks_before"}
    assert {name for name, value in drift.metrics.items() if value is None} == compared
    assert drift.metrics["new_masks"] == 18 * 7 and drift.codebook_before is None


def test_a_night_without_new_masks_has_a_drift_too(first_night: Any) -> None:
    drift = drift_of(first_night)
    assert drift.metrics["new_masks"] == 0 and drift.metrics["noise"] is None
    assert drift.metrics["masks_before"] == 18 * 7 and not holds(drift)


def shifted(output: Output, shard: str, class_id: int, by: float) -> None:
    """Write the assignments of a shard again, with larger distances to one class."""
    key = output.assignments_key(1, shard)
    rows = output.read(key)
    farther = pc.add(rows["distance"], pc.if_else(pc.equal(rows["class_id"], class_id), by, 0.0))
    at = rows.schema.get_field_index("distance")
    rows = rows.set_column(at, schema.ASSIGNMENTS.field("distance"), farther.cast("float32"))
    Path(output.uri.removeprefix("file://"), key).write_bytes(schema.encode(rows))


def test_a_class_whose_new_masks_lie_farther_off_has_drifted(lake: Any) -> None:
    lake.night(FITS["linkage"])
    lake.add_shard("d", images=12)
    found = lake.night(FITS["linkage"])
    shifted(lake, "d", 2, 0.1)
    drift = drifts.measure(lake, "night", found.before, found.new_shards)
    (row,) = [row for row in drift.classes if row.drifted]
    assert row.class_id == 2
    assert row.distance - row.distance_before > 0.05
    part = lake.read(lake.assignments_key(1, "d")).to_pylist()
    farthest = sorted((r for r in part if r["class_id"] == 2), key=lambda r: -r["distance"])
    wanted = [r["mask_id"] for r in farthest[: len(row.exemplars)]]
    assert [far.mask_id for far in row.exemplars] == wanted and len(wanted) > 3
    assert {far.shard_id for far in row.exemplars} == {"d"}


def test_the_parts_read_are_bounded(first_night: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for shard in "def01":
        first_night.add_shard(shard)
    found = first_night.night()
    read: list[str] = []
    whole = Output.read

    def counting(output: Output, key: str, *columns: Any, **options: Any) -> Any:
        read.append(key)
        return whole(output, key, *columns, **options)

    monkeypatch.setattr(distances, "SHARDS", 2)
    monkeypatch.setattr(Output, "read", counting)
    drift = drifts.measure(first_night, "night", found.before, found.new_shards)
    assert sum("/assignments/" in key for key in read) == 4
    assert drift.metrics["new_masks"] == 5 * 6 * 7


def test_lineage(small_output: Callable[..., Any]) -> None:
    """Class 1 is retired and continued by 3, class 2 split into 2 and 4."""
    output = small_output().output
    shards = sorted(output.committed())
    rows = [
        {"class_id": i, "name": name, "status": status, "size": size, "parents": parents}
        for i, name, status, size, parents in (
            (0, "apples", "active", 12, []),
            (1, "crates", "retired", 8, []),
            (2, "", "active", 2, []),
            (3, "boxes", "active", 8, [1]),
            (4, "", "active", 2, [2]),
        )
    ]
    moved = {0: 0, 1: 3, 2: 4, NOISE: NOISE}
    for shard in shards:
        part = output.read(output.assignments_key(1, shard)).to_pylist()
        part = [row | {"class_id": moved[row["class_id"]], "codebook": 2} for row in part]
        put(output, output.assignments_key(2, shard), part, schema.ASSIGNMENTS)
    put(output, output.codebook_key(2, "classes.parquet"), rows, schema.CLASSES)
    put(output, output.codebook_key(2, "core.parquet"), [], schema.CORE)
    manifest = {"version": 2, "eps": 0.1, "split": {"2": [2, 4]}}
    output.storage.put_new(output.codebook_key(2, "codebook.json"), json.dumps(manifest).encode())
    drift = drifts.measure(output, "night", 1, shards[1:])
    assert [(e.name, e.masks, e.related) for e in drift.born] == [
        ("boxes", 8, (1,)),
        ("class 4", 4, (2,)),
    ]
    assert [(e.name, e.masks, e.related) for e in drift.retired] == [("crates", 8, (3,))]
    assert [(e.name, e.related) for e in drift.split] == [("class 2", (2, 4))]
    assert drift.metrics["retired_classes"] == drift.metrics["split_classes"] == 1


def put(output: Output, key: str, rows: list, table: Any) -> None:
    assert output.storage.put_new(key, schema.encode(schema.table_of(rows, table)))


def test_what_is_written_is_read_again(first_night: Any) -> None:
    first_night.add_shard("d", kinds=(4, 5))
    found = first_night.night()
    stamps = [f"2026112{n}T000000Z-ab" for n in range(4)]
    nights = [
        drifts.measure(first_night, stamp, found.before, found.new_shards) for stamp in stamps
    ]
    for night in nights[:3]:
        drifts.write(first_night, night)
    first_night.storage.put_new(f"nights/{stamps[3]}/status.json", b"{}")
    assert drifts.last(first_night, 2) == nights[1:3]
    assert np.isfinite(nights[0].metrics["distance"])


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b'{"stamp": 1'])
def test_a_damaged_drift_is_named(empty_lake: Any, payload: bytes) -> None:
    key = "nights/20261127T000000Z-ab/drift.json"
    empty_lake.storage.put_new(key, payload)
    with pytest.raises(DamagedError, match=key):
        drifts.last(empty_lake, 1)
