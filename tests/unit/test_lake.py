"""The one lake of an output folder: recorded, compared, moved."""

import json
from pathlib import Path

import pytest

from samseg.errors import ConfigError, LakeError
from samseg.lake import LakeRoot
from samseg.output import Output
from samseg.readers.folder import Folder
from samseg.stages.plan import plan


def photos(root: Path, *names: str, payload: bytes = b"a photo") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / name).write_bytes(payload)
    return root


@pytest.fixture
def planned(tmp_path: Path) -> tuple[Output, Path]:
    lake = photos(tmp_path / "a", "1.jpg", "2.jpg")
    output = Output(str(tmp_path / "labels"))
    plan(output, Folder(uri=str(lake)), listed=LakeRoot(output, str(lake)).claim)
    return output, lake


def test_the_first_plan_records_the_lake(planned: tuple[Output, Path]) -> None:
    output, lake = planned
    assert output.read_json("lake.json") == {"uri": f"file://{lake}"}
    assert LakeRoot(output, str(lake)).recorded() == f"file://{lake}"


def test_a_lake_that_cannot_be_listed_is_not_recorded(tmp_path: Path) -> None:
    output = Output(str(tmp_path / "labels"))
    with pytest.raises(LakeError):
        plan(output, Folder(uri=str(tmp_path / "tpyo")), listed=LakeRoot(output, "tpyo").claim)
    assert LakeRoot(output, "tpyo").recorded() is None


@pytest.mark.parametrize("spelled", ["{}/", "file://{}", "file://{}/", "{}/../a", "{}"])
def test_other_spellings_are_the_same_lake(planned: tuple[Output, Path], spelled: str) -> None:
    output, lake = planned
    LakeRoot(output, spelled.format(lake)).check()


def test_a_link_to_the_lake_is_the_same_lake(planned: tuple[Output, Path]) -> None:
    output, lake = planned
    (lake.parent / "link").symlink_to(lake)
    LakeRoot(output, str(lake.parent / "link")).check()


@pytest.mark.parametrize("old", [False, True], ids=["recorded", "folder of an earlier version"])
def test_another_lake_is_refused(planned: tuple[Output, Path], old: bool) -> None:
    """Also where it has the same keys."""
    output, lake = planned
    if old:
        (lake.parent / "labels" / "lake.json").unlink()
    other = photos(lake.parent / "b", "1.jpg", "2.jpg")
    with pytest.raises(ConfigError, match=r"holds the lake file://.*/a, .*/b.*--lake-moved"):
        LakeRoot(output, str(other)).check()


def test_two_runs_that_begin_one_folder_with_two_lakes(tmp_path: Path) -> None:
    output = Output(str(tmp_path / "labels"))
    first, second = LakeRoot(output, "s3://one/lake"), LakeRoot(output, "s3://two/lake")
    first.check()
    second.check()
    first.claim()
    with pytest.raises(ConfigError, match="holds the lake s3://one/lake"):
        second.claim()


def test_a_moved_lake_is_accepted_and_read(planned: tuple[Output, Path]) -> None:
    output, lake = planned
    moved = lake.rename(lake.parent / "moved")
    at_the_new_place = LakeRoot(output, str(moved))
    at_the_new_place.move()
    at_the_new_place.check()
    assert output.read_json("lake.1.json") == {
        "uri": f"file://{moved}",
        "moved_from": f"file://{lake}",
    }
    (shard,) = output.planned()
    images = list(Folder(uri=str(moved)).read(shard))
    assert [i.payload for i in images] == [b"a photo"] * 2
    assert [i.uri for i in images] == [f"file://{moved}/{k}.jpg" for k in (1, 2)]
    with pytest.raises(ConfigError, match="holds the lake"):
        LakeRoot(output, str(lake)).check()
    at_the_new_place.move()  # a second time: nothing to record
    assert not output.storage.exists("lake.2.json")


@pytest.mark.parametrize(
    ("names", "payload", "words"),
    [
        (["1.jpg"], b"a photo", "2.jpg cannot be read there"),
        (["1.jpg", "2.jpg"], b"another photo", "has 13 bytes there, and 7 when it was planned"),
    ],
)
def test_another_lake_is_not_accepted_as_the_moved_one(
    planned: tuple[Output, Path], names: list[str], payload: bytes, words: str
) -> None:
    output, lake = planned
    other = photos(lake.parent / "other", *names, payload=payload)
    with pytest.raises(LakeError, match=words):
        LakeRoot(output, str(other)).move()
    assert not output.storage.exists("lake.1.json")


def test_two_drivers_that_plan_at_one_moment_plan_everything_once(tmp_path: Path) -> None:
    """The second one lists the lake before the first one's plan is written."""
    lake = photos(tmp_path / "lake", *(f"{i}.jpg" for i in range(5)))
    output = Output(str(tmp_path / "labels"))
    runs = []

    def while_listing() -> None:
        if not runs:
            runs.append(1)
            plan(output, Folder(uri=str(lake), images_per_shard=2))

    plan(output, Folder(uri=str(lake), images_per_shard=3), listed=while_listing)
    keys = output.plan_table(["key"])["key"].to_pylist()
    assert sorted(keys) == [f"{i}.jpg" for i in range(5)]


def test_records_are_plain_json(planned: tuple[Output, Path]) -> None:
    output, _ = planned
    assert json.loads(output.storage.get("lake.json")).keys() == {"uri"}
