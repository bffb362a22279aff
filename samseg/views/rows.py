"""Query results as text: a table, CSV, or one JSON object per line."""

import io
import json
import os
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from samseg.csv_cells import plain_cell
from samseg.printable import printable, printable_line

_SHOWN_ROWS = 200
_SHOWN_VALUES = 4
_MANY_COLUMNS = 6
_MAY_BE_UNSAFE = r"^\s*[^\pL\pN]|[\pC\p{Zl}\p{Zp}]"
"""Text that `_safe` may change: most columns have none."""


def render(table: pa.Table, format: Literal["table", "csv", "json"] = "table") -> str:
    """Return rows as text, without a trailing newline.

    `table` shows the first 200 rows and shortens long lists; `csv` and `json` are complete. CSV
    holds nested values as JSON. Spreadsheets compute cells that begin as a formula does, so in CSV
    such text has a `'` in front; JSON holds it as it is. Control characters are escaped.
    """
    if format == "csv":
        sink = io.BytesIO()
        pa_csv.write_csv(_flat(table), sink)
        return sink.getvalue().decode().rstrip("\n")
    if format == "json":
        return "\n".join(json.dumps(row, default=str) for row in table.to_pylist())
    return _table(table)


def _table(table: pa.Table) -> str:
    from rich.console import Console

    width = None if os.isatty(1) else 160
    console = Console(file=io.StringIO(), width=width, force_terminal=False, highlight=False)
    shown = table.slice(0, _SHOWN_ROWS).to_pylist()
    cells = [[printable_line(_cell(value)) for value in row.values()] for row in shown]
    columns = [[name, *(row[i] for row in cells)] for i, name in enumerate(table.column_names)]
    needed = sum(max(len(cell) for cell in column) + 2 for column in columns)
    if needed > console.width and len(columns) > _MANY_COLUMNS:
        names = [printable_line(name) for name in table.column_names]
        console.print(_records(names, cells), markup=False, soft_wrap=True)
    else:
        console.print(_grid(table.schema, cells))
    more = table.num_rows - _SHOWN_ROWS
    note = f"\n… {more} more rows; --format csv prints all" if more > 0 else ""
    return console.file.getvalue().rstrip("\n") + note  # type: ignore[attr-defined]


def _grid(columns: pa.Schema, cells: list[list[str]]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for field in columns:
        number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        name = Text(printable_line(field.name))
        grid.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in cells:
        grid.add_row(*(Text(cell) for cell in row))
    return grid


def _records(names: list[str], cells: list[list[str]]) -> str:
    """Format one value per line, for rows wider than the terminal."""
    wide = max(map(len, names))
    rows = [
        "\n".join(f"{n:<{wide}}  {c}" for n, c in zip(names, row, strict=True)) for row in cells
    ]
    return "\n\n".join(rows)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(v)}" for name, v in value.items())
    if isinstance(value, list) and len(value) > _SHOWN_VALUES:
        return f"[{', '.join(_cell(v) for v in value[:3])}, … {len(value)}]"
    return str(value)


def _flat(table: pa.Table) -> pa.Table:
    """Return a table whose text is safe in a spreadsheet, with nested values as JSON."""
    for i, field in enumerate(table.schema):
        column = table[i]
        if pa.types.is_nested(field.type):
            texts = [None if v is None else json.dumps(v) for v in column.to_pylist()]
            column = pa.chunked_array([pa.array(texts, pa.string())])
        elif pa.types.is_dictionary(field.type):
            column = column.cast(field.type.value_type)
        if pa.types.is_string(column.type) and _any_unsafe(column):
            texts = [None if v is None else _safe(v) for v in column.to_pylist()]
            column = pa.chunked_array([pa.array(texts, pa.string())])
        table = table.set_column(i, _safe(field.name), column)
    return table


def _any_unsafe(column: pa.ChunkedArray) -> bool:
    return bool(pc.any(pc.match_substring_regex(column, _MAY_BE_UNSAFE)).as_py())


def _safe(text: str) -> str:
    return plain_cell(printable(text))
