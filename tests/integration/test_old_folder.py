"""A folder written by an earlier samseg is read, continued, exported and reported.

See `tests/fixtures/output-v1/README.md` for what is in it.
"""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import pytest
import yaml

import samseg
from samseg.clustering.settings import ClusterSettings
from samseg.config import parse
from samseg.nightly import Night, Summary
from samseg.output import Output
from samseg.query import Tables
from samseg.stages.cluster.stage import cluster
from samseg.stages.status import status_of

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures" / "output-v1"
LABELLED = [f"scene-{i}.jpg" for i in range(7)]
CLASSES = {"class 0", "class 1", "class 2", "noise"}


@pytest.fixture(scope="module")
def lake() -> Iterator[None]:
    """The lake at the URI and with the dates that the rows were written with."""
    memory = fsspec.filesystem("memory")
    for path in (FIXTURE / "lake").iterdir():
        memory.pipe(f"/lake/{path.name}", path.read_bytes())
        memory.store[f"/lake/{path.name}"].created = datetime(2026, 1, 1, tzinfo=UTC)
    yield
    memory.rm("/lake", recursive=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the old folder."""
    return Path(shutil.copytree(FIXTURE / "output", tmp_path_factory.mktemp("old") / "output"))


@pytest.fixture(scope="module")
def before(folder: Path) -> dict[str, bytes]:
    """Every object of the folder as the earlier samseg wrote it."""
    return objects(folder)


@pytest.fixture(scope="module")
def night(lake: None, folder: Path, before: dict[str, bytes]) -> Summary:
    """The next night over the folder: one shard is planned already, one image is new."""
    config = parse(
        {
            "output": str(folder),
            "reader": {"kind": "folder", "uri": "memory://lake", "images_per_shard": 2},
            "masks": {"points_per_side": 8},
            "exports": [{"kind": "coco"}, {"kind": "png"}],
            "engine": {"kind": "local"},
        }
    )
    return Night(config).run()  # with the weights that `tiny` stood for then


def objects(folder: Path) -> dict[str, bytes]:
    paths = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}


def classes_of(tables: Tables) -> dict[str, str]:
    rows = tables.query("select mask_id, name from labels").to_pylist()
    return {row["mask_id"]: row["name"] for row in rows}


def test_it_is_read_as_it_was_left() -> None:
    tables = samseg.open(str(FIXTURE / "output"))
    images = tables.query("select key, status, error, masks from images order by key").to_pylist()
    assert [i["key"] for i in images] == ["broken.jpg", *LABELLED]
    assert [i["status"] for i in images] == ["undecodable", *["ok"] * 7]
    assert "truncated" in images[0]["error"]
    assert sum(i["masks"] for i in images) == len(tables.query("select * from masks")) == 70
    names = tables.query("select distinct name from labels")["name"].to_pylist()
    assert set(names) == CLASSES
    assert len(tables.query("select distinct key from plans")) == 9
    one = tables.query("select medoid_mask_id from classes where class_id = 1")
    like = tables.query("select * from nearest(?, 5)", [one["medoid_mask_id"][0].as_py()])
    assert like["class_id"].to_pylist()[0] == 1
    found = status_of(Output(str(FIXTURE / "output")))
    assert (found.shards, found.committed, found.nights, found.complete) == (5, 4, 2, False)


def test_the_next_night_labels_only_what_is_new(
    night: Summary, folder: Path, before: dict[str, bytes]
) -> None:
    counts = night.counts
    assert night.exit == 0
    assert (counts["plan"]["sources"], counts["plan"]["known"]) == (1, 9)
    assert counts["plan"]["changed"] == 0
    assert counts["embed"]["statuses"] == {"ok": 2}
    after = objects(folder)
    assert {key: after[key] for key in before} == before
    assert status_of(Output(str(folder))).complete


def test_its_classes_stay(night: Summary, folder: Path) -> None:
    assert not night.counts["cluster"]["refitted"]
    assert night.counts["cluster"]["version"] == 1
    old = classes_of(samseg.open(str(FIXTURE / "output")))
    new = classes_of(samseg.open(str(folder)))
    assert old.items() <= new.items()
    added = [new[mask] for mask in new.keys() - old.keys()]
    assert len(added) == night.counts["cluster"]["new_masks"] > 0
    assert set(added) <= CLASSES and set(added) != {"noise"}


def test_its_exports_hold_the_same_masks_and_the_new_ones(night: Summary, folder: Path) -> None:
    (stamp, *_) = sorted(p.name for p in (FIXTURE / "output" / "exports" / "coco").iterdir())[::-1]
    old = annotations(FIXTURE / "output" / "exports" / "coco" / stamp)
    new = annotations(folder / "exports" / "coco" / "v1-e0")
    assert old.items() <= new.items()
    assert {image for image, _ in new} == {*LABELLED, "scene-7.jpg", "scene-8.jpg"}
    drawn = (folder / "exports" / "png" / "v1-e0").rglob("*.jpg.png")
    assert sorted(p.name for p in drawn) == [f"scene-{i}.jpg.png" for i in range(9)]


def annotations(folder: Path) -> dict[tuple[str, str], object]:
    """What a COCO export says of each mask, by image and mask."""
    trees = [json.loads(file.read_text()) for file in folder.glob("instances-*.json")]
    image = {i["id"]: i["file_name"] for tree in trees for i in tree["images"]}
    return {
        (image[a["image_id"]], a["mask_id"]): (
            a["category_id"],
            a["bbox"],
            a["area"],
            a["segmentation"],
        )
        for tree in trees
        for a in tree["annotations"]
    }


def test_its_page_shows_old_and_new_images(night: Summary, folder: Path) -> None:
    page = (folder / "nights" / night.stamp / "report.html").read_text()
    assert "broken.jpg" in page and page.count("data:image/") > 40
    for name in CLASSES:
        assert name in page


def test_an_embedding_can_be_added_to_it(
    night: Summary, folder: Path, before: dict[str, bytes], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "output"))
    assert not Output(str(copy)).embeddings()  # the night did not add the default of new folders
    config = parse(
        {
            "output": str(copy),
            "reader": {"kind": "folder", "uri": "memory://lake", "images_per_shard": 2},
            "embeddings": [{"kind": "efficientnet_lite0"}],
            "engine": {"kind": "local"},
        }
    )
    tonight = Night(config)
    tonight.recipe["weights_sha256"] = json.loads(before["recipe.json"])["weights_sha256"]
    tonight.describe()
    assert tonight.summary.exit == 0
    tables = samseg.open(str(copy))
    (count,) = tables.query("select count(*) as n from masks")["n"].to_pylist()
    statuses = tables.query(
        "select status, count(*) from embeddings where name <> 'sam' group by 1"
    )
    assert statuses.to_pylist() == [{"status": "ok", "count_star()": count}]
    tonight.cluster()
    assert not tonight.summary.counts["cluster"]["refitted"]  # still on SAM's embeddings


def test_its_settings_of_clustering_stay(night: Summary, folder: Path) -> None:
    resolved = yaml.safe_load((folder / "nights" / night.stamp / "config.yaml").read_text())
    manifest = json.loads((folder / "classes" / "v000001" / "codebook.json").read_text())
    stored, recipe = manifest["settings"], manifest["recipe"]
    assert stored["fit"]["kind"] == "dbscan"
    assert resolved["cluster"].items() >= {**stored, "embedding": "sam"}.items()
    settings = ClusterSettings.model_validate(resolved["cluster"])
    report = cluster(Output(str(folder)), settings, refit=True, recipe_fingerprint=recipe)
    assert report.version == 2 and report.classes >= 3 and not report.retired
