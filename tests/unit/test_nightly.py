"""Nights over lakes and folders that are not what they were, on the local engine."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import samseg
from samseg.config import parse
from samseg.errors import ConfigError, OutageError, RecipeError
from samseg.nightly import Night
from samseg.stages.status import status_of


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    folder = tmp_path / "lake"
    folder.mkdir()
    for i in range(3):
        pixels = np.full((60, 80, 3), 90, np.uint8)
        cv2.circle(pixels, (20 + 15 * i, 30), 14, (40, 60, 220), -1)
        cv2.imwrite(str(folder / f"{i}.png"), pixels)
    return folder


def night(lake: Path, **changes: Any) -> Night:
    tree = {
        "output": str(lake.parent / "labels"),
        "reader": {"kind": "folder", "uri": str(lake), "images_per_shard": 1},
        "masks": {"points_per_side": 2},
        "embeddings": [],
        "engine": {"kind": "local", "attempts": 2, "backoff_s": 0.0},
    }
    return Night(parse(tree | changes))


def statuses(lake: Path) -> dict[str, int]:
    table = samseg.open(str(lake.parent / "labels")).query(
        "select status, count(*) as n from images group by all"
    )
    return {row["status"]: row["n"] for row in table.to_pylist()}


@pytest.mark.parametrize("how", ["unmounted", "gone"])
def test_an_outage_after_the_plan_ends_the_night_and_the_next_one_labels_everything(
    lake: Path, how: str
) -> None:
    night(lake).plan()
    away = lake.rename(lake.parent / "away")
    if how == "unmounted":
        lake.mkdir()
    tonight = night(lake)
    with pytest.raises(
        OutageError, match=r"there when it was planned|does not answer, or is empty"
    ):
        tonight.embed()
    assert not tonight.output.committed() and not tonight.output.quarantined()

    shutil.rmtree(lake, ignore_errors=True)
    away.rename(lake)
    tomorrow = night(lake)
    tomorrow.embed()
    assert tomorrow.summary.exit == 0 and status_of(tomorrow.output).complete
    assert statuses(lake).keys() <= {"ok", "no_masks"} and sum(statuses(lake).values()) == 3


def test_a_photo_that_was_deleted_is_a_row(lake: Path) -> None:
    night(lake).plan()
    (lake / "1.png").unlink()
    tonight = night(lake)
    tonight.embed()
    assert statuses(lake)["unreadable"] == 1 and sum(statuses(lake).values()) == 3


def test_a_photo_that_came_back_is_labelled_by_the_next_night(lake: Path) -> None:
    night(lake).plan()
    away = (lake / "1.png").rename(lake.parent / "1.png")
    tonight = night(lake).run()
    assert tonight.exit == 1 and "The next night tries 1 of them once more" in tonight.reasons[0]
    away.rename(lake / "1.png")
    tomorrow = night(lake).run()
    assert (tomorrow.exit, tomorrow.counts["plan"]["again"]) == (0, 1)
    assert tomorrow.counts["embed"]["images"] == 1 and "unreadable" not in statuses(lake)
    after = night(lake).run()
    assert (after.exit, after.counts["embed"]["images"]) == (0, 0)


def test_a_photo_that_changed_since_it_was_planned_is_labelled_and_noted(lake: Path) -> None:
    night(lake).plan()
    shutil.copy(lake / "0.png", lake / "1.png")
    tonight = night(lake)
    tonight.embed()
    sql = "select key from images where note = 'changed_since_plan'"
    found = samseg.open(str(lake.parent / "labels")).query(sql).to_pylist()
    assert (found, tonight.summary.exit) == ([{"key": "1.png"}], 0)
    assert night(lake).plan().again == 0


def test_another_lake_between_plan_and_embed_is_refused(lake: Path) -> None:
    night(lake).plan()
    other = Path(shutil.copytree(lake, lake.parent / "other"))
    with pytest.raises(ConfigError, match="holds the lake"):
        night(other).embed()
    with pytest.raises(ConfigError, match="holds the lake"):
        night(other).plan()
    moved = night(other)
    moved.lake.move()
    moved.embed()
    rows = samseg.open(str(lake.parent / "labels")).query("select uri from images").to_pylist()
    assert sorted(row["uri"] for row in rows) == [f"file://{other}/{i}.png" for i in range(3)]


def test_photos_of_a_moved_lake_are_shown_and_described_from_where_they_are_now(lake: Path) -> None:
    night(lake).run()
    moved = lake.rename(lake.parent / "moved")
    lite = {"embeddings": [{"kind": "efficientnet_lite0"}]}
    tonight = night(moved)
    tonight.run(lake_moved=True)
    page = Path(str(tonight.summary.page).removeprefix("file://")).read_text()
    assert page.count("data:image") and "unreadable" not in page
    tables = samseg.open(str(lake.parent / "labels"))
    image_id = tables.query("select image_id from images limit 1").to_pylist()[0]["image_id"]
    assert tables.image(image_id).shape == (60, 80, 3)
    assert night(moved, **lite).describe().statuses["missing"] == 0


def test_a_lost_recipe_lets_no_other_recipe_in(lake: Path) -> None:
    """The masks parts know what they were written with; the same recipe is created again."""
    night(lake).plan()
    night(lake).embed()
    recipe = lake.parent / "labels" / "recipe.json"
    written = recipe.read_bytes()
    recipe.unlink()
    cv2.imwrite(str(lake / "new.png"), np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(RecipeError, match=r"lost its recipe.json(.|\n)*masks.points_per_side"):
        night(lake, masks={"points_per_side": 3}).plan()
    assert not recipe.exists()
    night(lake).plan()
    night(lake).embed()
    assert recipe.read_bytes() == written


def test_what_the_lake_cannot_show_is_counted_and_the_night_is_incomplete(lake: Path) -> None:
    (lake / "gone.jpg").symlink_to(lake / "nowhere")
    made = night(lake)
    assert made.plan().skipped_count == 1
    assert made.summary.exit == 1
    assert "'gone.jpg': a link to nothing" in made.summary.reasons[0]
    made.summary.stamp = "20260101T000000Z-0000"
    made.close()
    embedding = night(lake)
    embedding.summary.stamp = "20260102T000000Z-0000"
    embedding.embed()
    embedding.close()
    status = status_of(made.output)
    assert status.skipped == 1 and "1 objects or folders" in dict(status.lines())["not planned"]
    (lake / "gone.jpg").unlink()
    later = night(lake)
    later.summary.stamp = "20260103T000000Z-0000"
    later.plan()
    later.close()
    assert status_of(made.output).skipped == 0
