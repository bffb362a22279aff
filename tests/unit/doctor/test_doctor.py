"""`samseg doctor` on damaged folders, before and after `--repair`."""

import json
import shutil
from pathlib import Path

import pytest

from samseg.cli import main
from samseg.exporters import Yolo
from samseg.nightly import Night
from samseg.output import Output
from samseg.stages.embed.stage import pending
from samseg.stages.status import status_of
from samseg.storage import ObjectStorage

from .conftest import config_of, label
from .test_damaged import JUNK, READERS, empty, half, one_byte

LOST = [pattern for pattern in READERS if pattern.startswith(("recipe", "plan", "classes"))]
"""What no later run can write again; assignments can, and a manifest that has a copy."""
LOST = [p for p in LOST if not any(of in p for of in ("assignments", "codebook.json", "ledger"))]
LOST += ["embeddings/lite/recipe.json"]

WRITTEN_AGAIN = (
    *("images", "embeddings/lite/part", "nights"),
    *("classes/v000000", "classes/v000001/codebook", "classes/v000001/assignments"),
    *("ledger", "classes/v000001/ledger"),
)
"""What the next run writes if it is missing, or nothing needs."""


@pytest.fixture
def doctor(capsys):
    """Return a function that runs the command and returns what a program reads."""

    def run(folder: Path, *options: str) -> dict:
        with pytest.raises(SystemExit) as ended:
            main(["doctor", str(folder / "output"), *options])
        record = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert record["exit"] == ended.value.code
        return record

    return run


def keys_of(folder: Path) -> dict[str, bytes]:
    """Return the tables of a folder by key."""
    storage = Output(str(folder / "output")).storage
    tables = ("masks/", "embeddings/", "images/", "classes/", "plan/")
    return {s.key: storage.get(s.key) for s in storage.list() if s.key.startswith(tables)}


def next_night(folder: Path) -> None:
    """Label what is pending and assign classes."""
    night = Night(config_of(folder))
    for shard in pending(night.output).read(night.output):
        label(night.output, shard)
    night.describe()
    night.cluster()


def test_a_whole_folder_is_well(copied, doctor):
    folder = copied()
    for options in ([], ["--deep"], ["--deep", "--repair"]):
        found = doctor(folder, *options)
        assert (found["exit"], found["findings"], found["foreign"]) == (0, [], [])


@pytest.mark.parametrize("damage", [empty, half, one_byte, None])
@pytest.mark.parametrize("pattern", READERS)
def test_each_damage_is_named_and_mended_or_not(copied, doctor, pattern, damage):
    folder = copied()
    before = keys_of(folder)
    path = min((folder / "output").glob(pattern))
    key = path.relative_to(folder / "output").as_posix()
    output = Output(str(folder / "output"))
    undamaged = output.read(key) if key.endswith(".parquet") else None
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(path.read_bytes()))
    if damage is empty:
        assert [f["key"] for f in doctor(folder)["findings"]] == [key]
    found = doctor(folder, "--deep")
    if damage is one_byte and not found["findings"]:  # of statistics, or of a night's text
        assert key.startswith("nights/") or output.read(key).equals(undamaged)
        return
    if damage is None and key.startswith(WRITTEN_AGAIN):
        assert found["findings"] == []
        next_night(folder)
        after = keys_of(folder)
        again = {"classes/v000001/ledger/000001.parquet"}  # counts what has another size now
        assert after.keys() - again | {"classes/v000000/next.json"} == before.keys()
        return
    names = [f["key"] for f in found["findings"]]
    assert key in names and found["exit"] == 1
    mended = doctor(folder, "--deep", "--repair")
    if pattern in LOST:
        assert mended["exit"] == 1 and mended["repaired"] == []
        remedy = next(f["remedy"] for f in mended["findings"] if f["key"] == key)
        assert "from a copy of the folder" in remedy
        return
    assert mended["exit"] == 0
    if damage is not None:
        stamp = min((folder / "output" / "damaged").iterdir())
        assert (stamp / key).is_file()
    next_night(folder)
    after = keys_of(folder)
    if "lite" not in key:  # which the stub does not make as the network does
        assert {k: after.get(k) for k in before} == before
    more = after.keys() - before.keys()
    assert before.keys() <= after.keys()
    assert all("ledger/" in k for k in more), "shards of another size are counted anew"
    if not key.startswith("nights"):
        assert status_of(Output(str(folder / "output"))).complete


@pytest.mark.parametrize("lost", ["classes.parquet", "transform.npz"])
def test_classes_can_be_fitted_again_as_the_remedy_says(copied, doctor, lost):
    folder = copied()
    classes = folder / "output" / "classes"
    (classes / "v000001" / lost).write_bytes(b"x")
    (found,) = doctor(folder, "--deep")["findings"]
    assert "delete classes/v000001 and the classes/*/next.json of version 1" in found["remedy"]
    shutil.rmtree(classes / "v000001")
    (classes / "v000000" / "next.json").unlink()
    next_night(folder)
    assert doctor(folder, "--deep")["findings"] == []
    assert status_of(Output(str(folder / "output"))).complete


def test_labels_of_images_without_masks_are_no_damage(copied, doctor):
    """YOLO has an empty text file for each, and for a list without images."""
    folder = copied()
    night = Night(config_of(folder))
    night.export(formats=[Yolo(validation=0.0)])
    assert any(path.stat().st_size == 0 for path in folder.rglob("*.txt"))
    assert doctor(folder)["exit"] == 0


def test_foreign_objects_are_named_and_left(copied, doctor):
    folder = copied()
    for key in JUNK:
        (folder / "output" / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / "output" / key).write_bytes(b"junk")
    found = doctor(folder, "--deep", "--repair")
    assert sorted(found["foreign"]) == sorted(JUNK)
    assert found["exit"] == 0
    assert all((folder / "output" / key).is_file() for key in JUNK)


def test_a_shard_that_no_plan_has_is_named(copied, doctor):
    folder = copied()
    images = min((folder / "output" / "images").iterdir())
    for table in ("images", "masks"):
        source = folder / "output" / table / images.name
        (source.with_name(f"part-{'0' * 20}.parquet")).write_bytes(source.read_bytes())
    (found,) = doctor(folder)["findings"]
    assert found["problem"] == "belongs to a shard that no plan has"
    assert not status_of(Output(str(folder / "output"))).complete


def test_parts_of_one_shard_that_disagree_are_named(copied, doctor):
    folder = copied()
    parts = sorted((folder / "output" / "embeddings" / "lite").glob("part-*"))
    output = Output(str(folder / "output"))
    from samseg import schema

    table = output.read(parts[0].relative_to(folder / "output").as_posix())
    parts[0].write_bytes(schema.encode(table.slice(1)))
    (found,) = doctor(folder, "--deep")["findings"]
    assert found["problem"] == "has 23 rows instead of 24"


def test_a_store_that_overwrites_is_refused_with_the_way_to_go_on(copied, doctor, monkeypatch):
    def overwriting(self, key, payload):
        path = Path(self.uri_of(key).removeprefix("file://"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(payload)
        return True

    folder = copied()
    monkeypatch.setattr(ObjectStorage, "put_new", overwriting)
    found = doctor(folder)
    assert (found["exit"], found["error"]) == (3, "StorageError")
    assert "ignores If-None-Match" in found["message"]
    assert "--no-probe" in found["message"]
    assert doctor(folder, "--no-probe")["exit"] == 0


def test_what_is_no_output_folder_is_refused(tmp_path, doctor):
    (tmp_path / "output").mkdir()
    assert doctor(tmp_path)["exit"] == 2
    assert not list((tmp_path / "output").iterdir())
