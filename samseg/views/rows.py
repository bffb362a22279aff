"""Rows of a query for people and programs: a table, CSV, or one JSON object per line."""

import io
import json
import os
from typing import Any, Literal

import pyarrow as pa
import pyarrow.csv as pa_csv

_SHOWN_ROWS = 200
_SHOWN_VALUES = 4


def render(table: pa.Table, format: Literal["table", "csv", "json"] = "table") -> str:
    """Write rows as text, without a newline at the end.

    `table` shows the first 200 rows and shortens long lists; `csv` and `json` are complete (nested
    values are JSON within CSV).
    """
    if format == "csv":
        sink = io.BytesIO()
        pa_csv.write_csv(_flat(table), sink)
        return sink.getvalue().decode().rstrip("\n")
    if format == "json":
        return "\n".join(json.dumps(row, default=str) for row in table.to_pylist())
    return _drawn(table)


def _drawn(table: pa.Table) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for field in table.schema:
        number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        drawn.add_column(field.name, justify="right" if number else "left", overflow="fold")
    for row in table.slice(0, _SHOWN_ROWS).to_pylist():
        drawn.add_row(*(_cell(value) for value in row.values()))
    width = None if os.isatty(1) else 160
    console = Console(file=io.StringIO(), width=width, force_terminal=False, highlight=False)
    console.print(drawn, markup=False)
    more = table.num_rows - _SHOWN_ROWS
    note = f"\n… {more} more rows; --format csv prints all" if more > 0 else ""
    return console.file.getvalue().rstrip("\n") + note  # type: ignore[attr-defined]


def _cell(value: Any) -> Any:
    from rich.text import Text

    if value is None:
        return Text("-", style="dim")
    if isinstance(value, float):
        return Text(f"{value:.4g}")
    if isinstance(value, list) and len(value) > _SHOWN_VALUES:
        shown = ", ".join(f"{v:.3g}" if isinstance(v, float) else str(v) for v in value[:3])
        return Text(f"[{shown}, … {len(value)}]")
    return Text(str(value))


def _flat(table: pa.Table) -> pa.Table:
    for i, field in enumerate(table.schema):
        if pa.types.is_nested(field.type):
            texts = [None if v is None else json.dumps(v) for v in table[i].to_pylist()]
            table = table.set_column(i, field.name, pa.array(texts, pa.string()))
    return table
