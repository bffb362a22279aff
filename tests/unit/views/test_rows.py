import csv
import json

import pyarrow as pa
import pytest

from samseg.views.rows import render

TABLE = pa.table(
    {
        "mask_id": ["a-0000", 'odd [red]"name"', None],
        "distance": [0.123456, 1.0, None],
        "embedding": [[0.5] * 256, [1.0, 2.0], None],
    }
)


def test_a_table_is_shortened_and_shows_markup_literally():
    text = render(TABLE)
    assert "0.1235" in text and 'odd [red]"name"' in text and "… 256]" in text
    assert max(len(line) for line in text.split("\n")) <= 160


def test_wide_rows_are_shown_one_value_per_line():
    row = {f"column_{i}": "x" * 30 for i in range(8)} | {
        "seconds": {"read": 0.00171261, "pool": 1.0}
    }
    lines = render(pa.Table.from_pylist([row, row])).split("\n")
    assert lines[0] == "column_0  " + "x" * 30
    assert lines[8] == "seconds   read 0.001713, pool 1"
    assert lines[9] == "" and len(lines) == 19


def test_a_long_table_reports_omitted_rows():
    assert "50 more rows" in render(pa.table({"n": range(250)}))


def test_csv_is_complete():
    rows = list(csv.DictReader(render(TABLE, "csv").split("\n")))
    assert rows[1]["mask_id"] == 'odd [red]"name"'
    assert len(json.loads(rows[0]["embedding"])) == 256


def test_json_is_one_object_per_line():
    rows = [json.loads(line) for line in render(TABLE, "json").split("\n")]
    assert rows == TABLE.to_pylist()


EVIL = "we[/red]ird\x1b]0;t\x07\u202e"


@pytest.mark.parametrize("columns", [1, 8])
def test_names_are_shown_as_plain_text(columns):
    row = {f"[/red]\x1b{i}": EVIL + "x" * 20 for i in range(columns)}
    text = render(pa.Table.from_pylist([row, row]))
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert r"[/red]\x1b0" in text and r"we[/red]ird\x1b]0;t\x07\u202e" in text


def test_cells_of_csv_are_no_formulas():
    keys = ["=cmd|' /C calc'!A0.jpg", "a.jpg", None, "-1", EVIL]
    table = pa.table(
        {
            "=key": keys,
            "coded": pa.array(keys).dictionary_encode(),
            "nested": [[key] for key in keys],
            "number": [-1.0] * 5,
        }
    )
    head, *rows = csv.reader(render(table, "csv").splitlines())
    assert head == ["'=key", "coded", "nested", "number"]
    safe = ["'=cmd|' /C calc'!A0.jpg", "a.jpg", "", "'-1", r"we[/red]ird\x1b]0;t\x07\u202e"]
    assert [row[0] for row in rows] == [row[1] for row in rows] == safe
    assert [json.loads(row[2]) for row in rows] == [[key] for key in keys]
    assert {row[3] for row in rows} == {"-1"}
    assert [json.loads(line)["=key"] for line in render(table, "json").split("\n")] == keys
