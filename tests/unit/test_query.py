"""SQL over the tables, through samseg and with DuckDB alone."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import samseg
from samseg import schema
from samseg.errors import CodebookError, ConfigError, StorageError

Build = Callable[..., Any]


def rows(tables: Any, sql: str, params: Any = None) -> list[tuple]:
    return [tuple(row.values()) for row in tables.query(sql, params).to_pylist()]


@pytest.fixture
def made(small_output: Build) -> Any:
    return small_output(failures=(("x.jpg", "undecodable", "cut short"),))


def vectors(made: Any) -> dict[str, np.ndarray]:
    found = {}
    for shard in made.shards:
        table = made.output.read(made.output.masks_key(shard))
        found |= dict(
            zip(table["mask_id"].to_pylist(), schema.matrix_of(table["embedding"]), strict=True)
        )
    return found


def by_distance(made: Any, mask_id: str) -> list[tuple[str, float]]:
    """Return all other masks by cosine distance in float64, nearest first."""
    matrix = {
        m: v.astype(float) / np.linalg.norm(v.astype(float)) for m, v in vectors(made).items()
    }
    rest = [(m, 1 - float(v @ matrix[mask_id])) for m, v in matrix.items() if m != mask_id]
    return sorted(rest, key=lambda pair: pair[1])


def test_labels_join_masks_classes_and_keys(made: Any) -> None:
    tables = samseg.open(made.output.uri)
    found = rows(tables, "select mask_id, class_id, name, key from labels")
    names = {0: "apples", 1: "crates", 2: "class 2", -1: "noise"}
    assert {m: c for m, c, _, _ in found} == made.class_of
    assert len(found) == len(made.class_of)
    assert all(name == names[c] for _, c, name, _ in found)
    assert {key for *_, key in found} == set(made.keys)


def test_all_tables_can_be_queried(made: Any) -> None:
    tables = samseg.open(made.output)
    counts = {
        name: len(getattr(tables, name).fetchall())
        for name in ("images", "masks", "assignments", "classes", "plans", "labels")
    }
    n = len(made.class_of)
    assert counts == {
        "images": len(made.keys) + 1,
        "masks": n,
        "assignments": n,
        "classes": 3,
        "plans": 0,
        "labels": n,
    }
    assert rows(tables, "select key, error from images where status = ?", ["undecodable"]) == [
        ("x.jpg", "cut short")
    ]


def test_nearest_and_distance_need_no_casts(made: Any) -> None:
    tables = samseg.open(made.output)
    mask = next(iter(made.class_of))
    wanted = by_distance(made, mask)
    found = rows(tables, "select mask_id, distance, class_id from nearest(?, k := 5)", [mask])
    assert [m for m, _, _ in found] == [m for m, _ in wanted[:5]]
    assert [d for _, d, _ in found] == pytest.approx([d for _, d in wanted[:5]], abs=1e-6)
    assert [c for _, _, c in found] == [made.class_of[m] for m, _, _ in found]
    other, far = wanted[-1]
    assert rows(tables, "select distance($a, $b)", {"a": mask, "b": other}) == [
        (pytest.approx(far, abs=1e-6),)
    ]
    assert len(rows(tables, f"from nearest('{mask}')")) == 10
    assert rows(tables, "from nearest('no such mask')") == []


def test_without_a_codebook_labels_have_no_class(small_output: Build) -> None:
    made = small_output(codebook=False)
    tables = samseg.open(made.output)
    assert tables.codebook is None
    assert rows(tables, "select count(*), count(class_id), count(name) from labels") == [
        (len(made.class_of), 0, 0)
    ]
    assert tables.assignments.columns == schema.ASSIGNMENTS.names
    assert len(rows(tables, f"from nearest('{next(iter(made.class_of))}', k := 3)")) == 3


@pytest.mark.parametrize("codebook", [True, False])
def test_an_output_without_masks(small_output: Build, codebook: bool) -> None:
    tables = samseg.open(small_output(masks=False, codebook=codebook).output)
    assert rows(tables, "select count(*) from labels") == [(0,)]
    assert rows(tables, "select status, count(*) from images group by all") == [("no_masks", 4)]
    assert rows(tables, "from nearest('a')") == []


def test_masks_without_an_embedding_are_not_neighbours(small_output: Build) -> None:
    made = small_output()
    empty = {"mask_id": "e-0000", "image_id": "e", "status": "empty"}
    store, shard = made.output.storage, "0" * 19 + "c"
    store.put_new(
        made.output.masks_key(shard), schema.encode(schema.table_of([empty], schema.MASKS))
    )
    store.put_new(made.output.images_key(shard), schema.encode(schema.table_of([], schema.IMAGES)))
    tables = samseg.open(made.output)
    mask = next(iter(made.class_of))
    assert len(rows(tables, f"from nearest('{mask}', k := 1000)")) == len(made.class_of) - 1
    assert rows(tables, "from nearest('e-0000')") == []


def test_uncommitted_parts_are_ignored(small_output: Build) -> None:
    made = small_output()
    row = {"mask_id": "u-0000", "image_id": "u"}
    part = schema.encode(schema.table_of([row], schema.MASKS))
    made.output.storage.put_new(made.output.masks_key("f" * 20), part)
    assert rows(samseg.open(made.output), "select * from masks where mask_id = 'u-0000'") == []


def test_an_older_codebook_on_request(small_output: Build) -> None:
    made = small_output()
    classes = schema.table_of([{"class_id": 7, "name": "new"}], schema.CLASSES)
    made.output.storage.put_new(
        made.output.codebook_key(2, "classes.parquet"), schema.encode(classes)
    )
    made.output.storage.put_new(made.output.codebook_key(2, "codebook.json"), b"{}")
    assert rows(samseg.open(made.output), "select class_id from classes") == [(7,)]
    assert len(rows(samseg.open(made.output, codebook=1), "from classes")) == 3
    with pytest.raises(CodebookError, match="no codebook 3; available: 1, 2"):
        samseg.open(made.output, codebook=3)


def put_embedding(made: Any, name: str, shards: list[str]) -> dict[str, np.ndarray]:
    """Give the masks of some shards another embedding, of three numbers."""
    from samseg.features import MaskEmbeddings
    from samseg.stages.embed.named_rows import NamedRows

    made.output.guard({"kind": "efficientnet_lite0"}, made.output.embedding_recipe_key(name))
    rng, found = np.random.default_rng(4), {}
    for shard in shards:
        rows = NamedRows(name, 3)
        masks = made.output.read(made.output.masks_key(shard), ["mask_id"])["mask_id"].to_pylist()
        vectors = rng.standard_normal((len(masks), 3)).astype(np.float32)
        rows.add(masks[:-1], MaskEmbeddings(vectors[:-1], ("ok",) * (len(masks) - 1)))
        rows.add_without(masks[-1:], "missing")
        rows.put(made.output, shard)
        found |= dict(zip(masks[:-1], vectors, strict=False))
    return found


def test_named_embeddings_beside_sam_s(made: Any) -> None:
    vectors = put_embedding(made, "colours", made.shards)
    put_embedding(made, "half", made.shards[:1])
    put_embedding(made, "none", [])
    tables = samseg.open(made.output)
    counts = "select name, count(*), count(embedding) from embeddings group by all order by name"
    n = len(made.class_of)
    half = made.output.read(made.output.masks_key(made.shards[0]), ["mask_id"]).num_rows
    assert rows(tables, counts) == [("colours", n, n - 2), ("half", half, half - 1), ("sam", n, n)]

    mask = next(iter(vectors))
    wanted = sorted(
        (1 - float(v @ vectors[mask]) / np.linalg.norm(v) / np.linalg.norm(vectors[mask]), m)
        for m, v in vectors.items()
        if m != mask
    )
    by_colour = "select mask_id, distance from nearest(?, 5, embedding := 'colours')"
    assert rows(tables, by_colour, [mask]) == [
        (m, pytest.approx(d, abs=1e-6)) for d, m in wanted[:5]
    ]
    assert rows(tables, "select distance(?, ?, embedding := 'colours')", [mask, wanted[0][1]]) == [
        (pytest.approx(wanted[0][0], abs=1e-6),)
    ]
    sam = rows(tables, "select mask_id from nearest(?, 5)", [mask])
    assert sam == rows(tables, "select mask_id from nearest(?, 5, embedding := 'sam')", [mask])
    assert sam == [(m,) for m, _ in by_distance(made, mask)[:5]]
    assert rows(tables, "from nearest(?, embedding := 'none')", [mask]) == []


def test_nearest_compares_what_the_codebook_was_fitted_to(small_output: Build) -> None:
    made = small_output(codebook=False)
    put_embedding(made, "colours", made.shards)
    classes = schema.table_of([], schema.CLASSES)
    put = made.output.storage.put_new
    put(made.output.codebook_key(1, "classes.parquet"), schema.encode(classes))
    put(made.output.codebook_key(1, "codebook.json"), b'{"embedding": "colours"}')
    tables, mask = samseg.open(made.output), next(iter(made.class_of))
    found = rows(tables, "select mask_id, distance from nearest(?)", [mask])
    assert found and found == rows(
        tables, "select mask_id, distance from nearest(?, embedding := 'colours')", [mask]
    )


def test_an_embedding_that_is_not_there_is_named_with_those_that_are(made: Any) -> None:
    put_embedding(made, "colours", made.shards)
    with pytest.raises(ConfigError, match="no embedding dino; this folder has: sam, colours"):
        samseg.open(made.output).query("from nearest('a', embedding := 'dino')")


@pytest.mark.parametrize(
    "sql",
    [
        "select * from read_csv('/etc/passwd')",
        "select * from read_text('/etc/passwd')",
        "select * from read_parquet('{root}/masks/*.parquet')",
        "select * from '/etc/passwd'",
        "select * from glob('/etc/*')",
        "copy masks to '{root}/copy.parquet'",
        "copy (select 1) to '/tmp/samseg-test.csv'",
        "export database '{root}/all'",
        "import database '{root}'",
        "attach '{root}/other.db' as other",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "set lock_configuration = false",
        "reset enable_external_access",
        "set memory_limit = '1GB'",
        "set log_query_path = '{root}/log'",
        "create persistent secret (type s3)",
        "select * from made",
        "select * from small_output",
        "insert into masks from masks",
    ],
)
def test_queries_can_access_the_tables_only(made: Any, sql: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match=r"^query: .*Error"):
        samseg.open(made.output).query(sql.replace("{root}", str(tmp_path)))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("sql", "hint"),
    [
        ("select * from mask", r'Did you mean "masks"\?(.|\n)*Tables: labels, masks, images'),
        ("select * from nearst('a')", r"Macros: nearest\('MASK_ID', k := 10\)"),
        ("select clas_id from labels", r"labels: mask_id, image_id, key, class_id"),
        ("select name from CLASSES where nam = 1", r"classes: class_id, name"),
        ("selct 1", "syntax error"),
        ("select ?", "parameter"),
    ],
)
def test_mistakes_are_reported_with_a_hint(made: Any, sql: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        samseg.open(made.output).query(sql)


@pytest.mark.parametrize("table", ["masks", "classes"])
def test_a_damaged_part_is_a_storage_error(made: Any, table: str) -> None:
    tables = samseg.open(made.output)
    parts = {
        "masks": made.output.masks_key(made.shards[0]),
        "classes": made.output.codebook_key(1, "classes.parquet"),
    }
    path = Path(made.output.uri.removeprefix("file://"), parts[table])
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(StorageError, match=rf"(?s){parts[table]}.*restore it from a copy"):
        tables.query(f"select * from {table}")


def test_a_missing_part_is_a_storage_error(made: Any) -> None:
    tables = samseg.open(made.output)
    Path(made.output.uri.removeprefix("file://"), made.output.masks_key(made.shards[0])).unlink()
    with pytest.raises(StorageError, match=made.shards[0]):
        tables.query("select count(embedding) from masks")


def test_a_missing_folder_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no output folder"):
        samseg.open(str(tmp_path / "typo"))
    assert not (tmp_path / "typo").exists()


COUNTS = """
select class_id, count(*) as masks
from '{output}/masks/*.parquet'
join '{output}/classes/v000001/assignments/*.parquet' using (mask_id)
group by all order by masks desc
"""

NEAREST = """
with query as (
    select embedding::float[256] as embedding
    from '{output}/masks/*.parquet' where mask_id = '{mask}'
)
select m.mask_id, array_cosine_distance(m.embedding::float[256], query.embedding) as distance
from '{output}/masks/*.parquet' m, query
where m.mask_id <> '{mask}'
order by distance limit 10
"""


def test_duckdb_alone_reads_the_folder(made: Any) -> None:
    mask = next(iter(made.class_of))
    root = made.output.uri.removeprefix("file://")
    code = f"""
import duckdb, sys
print(duckdb.sql('''{COUNTS.format(output=root)}''').fetchall())
print(duckdb.sql('''{NEAREST.format(output=root, mask=mask)}''').fetchall())
assert 'samseg' not in sys.modules
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    counts, nearest = (eval(line) for line in ran.stdout.splitlines())
    assert dict(counts) == Counter(made.class_of.values())
    assert [m for m, _ in nearest] == [m for m, _ in by_distance(made, mask)[:10]]
