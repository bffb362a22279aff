import io

import numpy as np
import pyarrow.parquet as pq
import pytest

from samseg import schema

TABLES = [schema.PLAN, schema.MASKS, schema.IMAGES, schema.ASSIGNMENTS, schema.CLASSES, schema.CORE]


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.metadata[b"samseg.table"].decode())
def test_every_table_survives_parquet_with_its_version(table):
    again = schema.decode(schema.encode(table.empty_table()))
    assert again.schema.equals(table)
    assert again.schema.metadata[b"samseg.schema"] == str(schema.VERSION).encode()


def test_embeddings_round_trip_and_empty_ones_are_null():
    matrix = np.random.default_rng(0).normal(size=(5, 256)).astype(np.float32)
    column = schema.embeddings_of(matrix, np.array([True, True, False, True, True]))
    assert column.null_count == 1
    assert np.array_equal(schema.matrix_of(column.drop_null()), matrix[[0, 1, 3, 4]])


def test_only_wanted_columns_are_read():
    payload = schema.encode(schema.table_of([{"mask_id": "a", "class_id": 3}], schema.ASSIGNMENTS))
    table = schema.decode(io.BytesIO(payload), ["class_id"])
    assert table.to_pylist() == [{"class_id": 3}]


def test_an_unknown_column_is_an_error():
    with pytest.raises(KeyError, match="klass"):
        schema.table_of([{"klass": 1}], schema.CLASSES)


def test_parts_are_compressed_and_have_statistics():
    payload = schema.encode(schema.table_of([{"mask_id": "a", "class_id": 3}], schema.ASSIGNMENTS))
    column = pq.ParquetFile(io.BytesIO(payload)).metadata.row_group(0).column(1)
    assert column.compression == "ZSTD"
    assert (column.statistics.min, column.statistics.max) == (3, 3)


def test_a_flipped_bit_is_an_error_or_changes_no_value():
    """Pages have checksums; a damaged footer loses a column's name and never gives other values."""
    rows = [{"mask_id": f"m{i}", "class_id": i % 3, "distance": 0.1 * i} for i in range(40)]
    table = schema.table_of(rows, schema.ASSIGNMENTS)
    payload = schema.encode(table)
    refused = 0
    for at in range(len(payload)):
        damaged = bytearray(payload)
        damaged[at] ^= 1 << at % 8
        try:
            found = schema.decode(bytes(damaged))
            names = [name for name in found.column_names if name in table.column_names]
        except (OSError, ValueError, NotImplementedError):
            refused += 1
            continue
        for name in names:
            assert found[name].to_pylist() == table[name].to_pylist(), at
    assert refused > len(payload) / 3
