"""The part of a named embedding."""

import io

import numpy as np
import pyarrow.parquet as pq

from samseg import schema
from samseg.features import MaskEmbeddings
from samseg.output import Output
from samseg.stages.embed.named_rows import NamedRows
from samseg.types import sample_rank_of


def test_a_prefix_of_a_large_part_is_a_few_row_groups(tmp_path):
    output, rows = Output(str(tmp_path)), NamedRows("colours", 2)
    rng = np.random.default_rng(0)
    vectors = {}
    for image in range(50):
        ids = [f"{image:020d}-{i:04d}" for i in range(50)]
        matrix = rng.standard_normal((50, 2)).astype(np.float32)
        vectors |= dict(zip(ids, matrix.tolist(), strict=True))
        rows.add(ids, MaskEmbeddings(matrix, ("ok",) * 50))
    assert rows.put(output, "s") and not rows.put(output, "s")
    file = pq.ParquetFile(io.BytesIO(output.storage.get(output.embeddings_key("colours", "s"))))
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [
        1000, 1000, 500,
    ]  # fmt: skip
    first = file.read_row_group(0)
    smallest = sorted(vectors, key=sample_rank_of)[:1000]
    assert first["mask_id"].to_pylist() == smallest
    assert schema.matrix_of(first["embedding"]).tolist() == [vectors[m] for m in smallest]


def test_rows_without_a_vector_are_null():
    rows = NamedRows("colours", 3)
    rows.add(["a-0000", "a-0001"], MaskEmbeddings(np.ones((2, 3), np.float32), ("ok", "empty")))
    rows.add_without(["b-0000"], "missing")
    found = {r["mask_id"]: (r["status"], r["embedding"]) for r in rows.table().to_pylist()}
    assert found == {
        "a-0000": ("ok", [1, 1, 1]),
        "a-0001": ("empty", None),
        "b-0000": ("missing", None),
    }
    assert rows.statuses == {"ok": 1, "empty": 1, "missing": 1}


def test_a_shard_without_masks_has_an_empty_part():
    table = NamedRows("colours", 3).table()
    assert table.num_rows == 0
    assert table.schema.field("embedding").type.list_size == 3
