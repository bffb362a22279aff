"""The object `views.sql`: the tables in DuckDB alone, equal to those of `samseg.open`."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import samseg
from samseg import schema
from samseg.clustering import Linkage
from samseg.clustering.settings import ClusterSettings
from samseg.output import Output
from samseg.stages.cluster.stage import cluster
from samseg.types import image_id_of
from samseg.views_sql import views_sql

Build = Callable[..., Any]


def local(output: Output) -> Path:
    return Path(output.uri.removeprefix("file://"))


def loaded(output: Output) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(views_sql(output.uri))
    return connection


QUERIES = [
    "select image_id, key, status, width from images",
    "select mask_id, image_id, area, bbox, rle, embedding[1] from masks",
    "select mask_id, class_id, distance from assignments",
    "select class_id, name, size from classes",
    "select mask_id, class_id, name, key, area from labels",
    "select name, mask_id, status, len(embedding) from embeddings",
    "select node, parent from tree",
    "select shard_id, key from plans",
    "select mask_id, round(distance, 5) from nearest((select min(mask_id) from masks), k := 5)",
    "select distance((select min(mask_id) from masks), (select max(mask_id) from masks))",
]


@pytest.fixture(params=["fitted", "without a tree", "without classes", "without masks"])
def made(request: pytest.FixtureRequest, small_output: Build) -> Any:
    if request.param == "without masks":
        return small_output(codebook=False, masks=False)
    if request.param != "fitted":
        return small_output(codebook=request.param == "without a tree")
    found = small_output(codebook=False, failures=(("x.jpg", "undecodable", "cut short"),))
    settings = ClusterSettings(fit=Linkage(threshold=0.7, min_size=2))
    cluster(found.output, settings, recipe_fingerprint="recipe")
    return found


@pytest.mark.parametrize("sql", QUERIES)
def test_views_are_those_of_samseg_open(made: Any, sql: str) -> None:
    wanted = samseg.open(made.output).query(sql).to_pylist()
    found = loaded(made.output).sql(sql).to_arrow_table().to_pylist()
    assert sorted(map(repr, found)) == sorted(map(repr, wanted))


def test_classes_at_a_height(small_output: Build) -> None:
    made = small_output(codebook=False)
    cluster(made.output, ClusterSettings(fit=Linkage(min_size=2)), recipe_fingerprint="recipe")
    sql = "select mask_id, node from class_at(0.5) order by all"
    found = loaded(made.output).sql(sql).fetchall()
    assert found and found == [
        tuple(row.values()) for row in samseg.open(made.output).query(sql).to_pylist()
    ]


def test_an_empty_folder_has_every_view(tmp_path: Path) -> None:
    connection = loaded(Output(str(tmp_path / "none")))
    for view in ("images", "masks", "embeddings", "assignments", "classes", "plans", "labels"):
        assert connection.sql(f"select * from {view}").fetchall() == []


def test_only_committed_rows_count(small_output: Build) -> None:
    made = small_output()
    connection = loaded(made.output)
    before = connection.execute("select count(*) from masks").fetchone()
    (local(made.output) / made.output.images_key(made.shards[1])).unlink()
    kept = loaded(made.output)
    for view in ("masks", "assignments", "labels"):
        found = kept.sql(f"select distinct left(mask_id, 20) from {view}").fetchall()
        assert sorted(found) == sorted(kept.sql("select image_id from images").fetchall())
    assert before > kept.execute("select count(*) from masks").fetchone()


def test_a_codebook_counts_when_it_is_complete(small_output: Build) -> None:
    made = small_output()
    folder = local(made.output) / "classes" / "v000002"
    folder.mkdir()
    (folder / "classes.parquet").write_bytes(b"written first")
    assert loaded(made.output).sql("select name from classes where class_id = 0").fetchall() == [
        ("apples",)
    ]


def test_the_newest_plan_of_an_image_counts(small_output: Build) -> None:
    """An image of the first shard is labelled again in a third one, with one mask fewer."""
    made = small_output(codebook=False)
    output, again = made.output, "0" * 19 + "c"
    key = made.keys[0]
    for n, shard in enumerate((made.shards[0], again)):
        rows = [{"shard_id": shard, "key": key, "uri": key, "images": 1}]
        output.storage.put_new(
            output.plan_key(n), schema.encode(schema.table_of(rows, schema.PLAN))
        )
    ids = pa.array([image_id_of(key)])
    images = output.read(output.images_key(made.shards[0]))
    masks = output.read(output.masks_key(made.shards[0]))
    image = images.filter(pa.compute.is_in(images["image_id"], ids)).to_pylist()[0]
    kept = masks.filter(pa.compute.is_in(masks["image_id"], ids)).slice(1)
    row = image | {"shard_id": again, "note": "again"}
    output.storage.put_new(output.masks_key(again), schema.encode(kept))
    output.storage.put_new(
        output.images_key(again), schema.encode(schema.table_of([row], schema.IMAGES))
    )
    connection, tables = loaded(output), samseg.open(output)
    for view in ("images", "masks", "embeddings", "assignments", "labels"):
        sql = f"select * from {view} order by all"
        found, wanted = connection.sql(sql).to_arrow_table(), tables.query(sql)
        assert found.to_pylist() == wanted.to_pylist(), view
    of_image = f"where image_id = '{image_id_of(key)}'"
    assert connection.sql(f"select note from images {of_image}").fetchall() == [("again",)]
    found = connection.sql(f"select mask_id from masks {of_image} order by all").fetchall()
    assert [m for (m,) in found] == sorted(kept["mask_id"].to_pylist())
    assert connection.execute("select count(*) from images").fetchone() == (len(made.keys),)
    assert connection.execute("select count(*) from embeddings").fetchone() == (
        len(masks) - 1 + len(output.read(output.masks_key(made.shards[1]))),
    )


@pytest.mark.parametrize(
    "key",
    [
        "classes/v2/codebook.json",
        "classes/vorlage/codebook.json",
        "images/part-a (copy).parquet",
        "plan/backup.parquet",
    ],
)
def test_foreign_objects_are_ignored(small_output: Build, key: str) -> None:
    made = small_output()
    path = local(made.output) / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"junk")
    connection = loaded(made.output)
    assert connection.execute("select count(*) from labels").fetchone() == (len(made.class_of),)
    assert connection.execute("select name from classes where class_id = 0").fetchone() == (
        "apples",
    )


def test_a_moved_folder(small_output: Build, tmp_path: Path) -> None:
    made = small_output()
    script = views_sql(made.output.uri)
    moved = tmp_path / "it's moved"
    local(made.output).rename(moved)
    connection = duckdb.connect()
    quoted = str(moved).replace("'", "''")
    connection.execute(f"set variable samseg_at = '{quoted}'; {script}")
    assert connection.execute("select count(*) from labels").fetchone() == (len(made.class_of),)


def test_loading_again_shows_what_is_new(small_output: Build) -> None:
    made = small_output()
    path = local(made.output) / made.output.images_key(made.shards[1])
    payload = path.read_bytes()
    path.unlink()
    connection = loaded(made.output)
    before = connection.execute("select count(*) from images").fetchone()
    path.write_bytes(payload)
    assert connection.execute("select count(*) from images").fetchone() == before
    connection.execute(views_sql(made.output.uri))
    assert connection.execute("select count(*) from images").fetchone() > before


def test_it_needs_neither_samseg_nor_an_extension(small_output: Build) -> None:
    made = small_output()
    (local(made.output) / "views.sql").write_text(views_sql(made.output.uri))
    code = f"""
import duckdb, sys
connection = duckdb.connect(config={{"autoinstall_known_extensions": "false"}})
connection.execute(open({str(local(made.output) / "views.sql")!r}).read())
print(connection.execute("select count(*) from labels").fetchone()[0])
assert "samseg" not in sys.modules
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(ran.stdout) == len(made.class_of)


@pytest.mark.parametrize(
    "table", [schema.MASKS, schema.IMAGES, schema.ASSIGNMENTS, schema.CLASSES, schema.TREE]
)
def test_parts_name_the_units_of_their_columns(tmp_path: Path, table: pa.Schema) -> None:
    path = tmp_path / "part.parquet"
    path.write_bytes(schema.encode(table.empty_table()))
    units = json.loads(pq.read_schema(path).metadata[b"samseg.units"])
    assert units.keys() <= set(table.names)
    measured = {"area", "bbox", "distance", "margin", "radius", "width", "height", "seconds"}
    assert measured & set(table.names) <= units.keys()
    assert ("px" in units.get("height", "px")) == (
        table is not schema.CLASSES and table is not schema.TREE
    )
