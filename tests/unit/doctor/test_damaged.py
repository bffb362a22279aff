"""Damaged and foreign objects: every command names them, or is not affected by them."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import samseg
from samseg.errors import StorageError
from samseg.nightly import Night
from samseg.output import Output
from samseg.stages.cluster.codebook_store import successor
from samseg.stages.drift import last
from samseg.stages.embed.stored_masks import StoredMasks
from samseg.stages.status import status_of

from .conftest import config_of


def night(stage: str, *arguments: Any) -> Callable[[Path], object]:
    return lambda folder: getattr(Night(config_of(folder)), stage)(*arguments)


def query(table: str) -> Callable[[Path], object]:
    return lambda folder: samseg.open(str(folder / "output")).query(f"select * from {table}")


def output(folder: Path) -> Output:
    return Output.existing(str(folder / "output"))


def resumed(folder: Path) -> object:
    """Read the masks of the first shard, as an attempt does that finds them there."""
    shard = min(output(folder).segmented())
    return StoredMasks.read(output(folder), shard)


COMMANDS: dict[str, Callable[[Path], object]] = {
    "status": lambda folder: status_of(output(folder)),
    "drift": lambda folder: last(output(folder), 1),
    "plan": night("plan"),
    "embed": night("embed"),
    "resumed embed": resumed,
    "successor": lambda folder: successor(output(folder), None),
    "images": query("images"),
    "masks": query("masks"),
    "plans": query("plans"),
    "assignments": query("assignments"),
    "classes": query("classes"),
    "tree": query("tree"),
    "embeddings": query("embeddings"),
    "labels": query("labels"),
    "cluster": night("cluster"),
    "export": night("export", True),
    "report": night("report"),
    "refit": night("cluster", True),  # the last, because it adds a codebook
}
ALL = frozenset(COMMANDS)
NIGHT = {"plan", "embed", "cluster", "refit", "export", "report"}
TABLES = {"images", "masks", "plans", "assignments", "classes", "tree", "embeddings", "labels"}
READERS = {
    "recipe.json": ALL,
    "embeddings/lite/recipe.json": NIGHT,
    "plan/000000.parquet": NIGHT | TABLES | {"status"},  # it tells which rows count
    "masks/part-*.parquet": {"status", "resumed embed", "export", "report"}
    | {"masks", "embeddings", "labels"},
    "embeddings/lite/part-*.parquet": {"refit", "report"} | TABLES,  # which differ in length
    "images/part-*.parquet": {"status", "export", "report", "images", "labels"},
    "classes/v000000/next.json": {"successor"},
    "classes/v000001/codebook.json": NIGHT | TABLES,
    "classes/v000001/classes.parquet": {"status", "cluster", "refit", "export", "report"}
    | {"classes", "labels"},
    "classes/v000001/core.parquet": {"cluster", "refit"},
    "classes/v000001/tree.parquet": {"cluster", "refit", "tree"},
    "classes/v000001/cells.parquet": {"cluster", "refit"},
    "classes/v000001/transform.npz": {"cluster", "refit"},
    "classes/v000001/assignments/part-*.parquet": {"status", "cluster", "refit", "export"}
    | {"report", "assignments", "labels"},
    "ledger/*.parquet": {"status", "embed", "cluster", "refit", "export", "report"},
    "classes/v000001/ledger/*.parquet": {"status", "cluster", "report"},
    "nights/*/status.json": set(),
    "nights/*/drift.json": {"drift", "report"},
}
"""Object -> the commands that read it whole or in part."""


def empty(whole: bytes) -> bytes:
    return b""


def half(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def one_byte(whole: bytes) -> bytes:
    at = len(whole) // 2
    return whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]


def ending(command: Callable[[Path], object], folder: Path, key: str) -> str:
    """Run a command: `ok`, or `named` if it says which object is damaged and what to do."""
    try:
        command(folder)
    except StorageError as e:
        assert f"/{key} is damaged (" in str(e)
        assert re.search("restore it from a copy", str(e))
        assert "\n" not in str(e)
        return "named"
    return "ok"


@pytest.mark.parametrize("damage", [empty, half, one_byte])
@pytest.mark.parametrize("pattern", READERS)
def test_a_damaged_object_is_named_by_every_command_that_reads_it(copied, pattern, damage):
    folder = copied()
    path = min((folder / "output").glob(pattern))
    path.write_bytes(damage(path.read_bytes()))
    key = path.relative_to(folder / "output").as_posix()
    named = {name for name, command in COMMANDS.items() if ending(command, folder, key) == "named"}
    if damage is one_byte:  # it may be in a column that a command does not read
        assert named <= READERS[pattern]
    else:
        assert named == READERS[pattern]


@pytest.mark.parametrize("pattern", ["masks/part-*", "images/part-*", "plan/*", "classes/*/a*/*"])
def test_a_missing_object_never_leaves_a_folder_complete(copied, pattern):
    folder = copied()
    path = min((folder / "output").glob(pattern))
    path.unlink()
    try:
        status = status_of(output(folder))
    except StorageError as e:
        assert path.name in str(e) and "samseg doctor" in str(e)
    else:
        assert status.complete == ("assignments" in path.parts)


JUNK = [
    "plan/backup.parquet",
    "plan/000001 (copy).parquet",
    "plan/000000.parquet.tmp",
    "images/part-x.parquet.tmp",
    "images/part-0d93ef08c4527197c82b (copy).parquet",
    "masks/.part-0d93ef08c4527197c82b.parquet.swp",
    "classes/.ipynb_checkpoints/codebook.json",
    "classes/v2/codebook.json",
    "classes/vorlage/codebook.json",
    "classes/v000001/assignments/part-0d93ef08c4527197c82b.parquet~",
    "embeddings/.DS_Store",
    "quarantine/notes.json",
    "nights/.ipynb_checkpoints/status.json",
    "desktop.ini",
]


def test_foreign_objects_change_nothing(copied):
    folder = copied()
    before = status_of(output(folder))
    for key in JUNK:
        (folder / "output" / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / "output" / key).write_bytes(b"junk")
    assert status_of(output(folder)) == before
    for name, command in COMMANDS.items():
        if name != "refit":
            command(folder)
    assert output(folder).codebook_versions() == [1]


def test_a_failed_night_leaves_its_record(copied):
    folder = copied()
    path = min((folder / "output" / "masks").iterdir())
    path.write_bytes(b"")
    failed = Night(config_of(folder))
    with pytest.raises(StorageError):
        failed.run(refit=True)
    record = json.loads(output(folder).storage.get(f"nights/{failed.summary.stamp}/status.json"))
    assert record["exit"] == 3
    assert f"{path.name} is damaged" in record["reasons"][0]
    assert set(record["counts"]) >= {"plan", "embed"}
