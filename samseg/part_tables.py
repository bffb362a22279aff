"""Parquet parts as tables of a DuckDB connection, without the rows that do not count."""

from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as pds
import pyarrow.fs as pafs

from samseg.output import Output
from samseg.storage import filesystem
from samseg.superseded import Superseded

_SHARD = "samseg_shard"
_SUPERSEDED = "samseg_superseded"
_ID_LENGTH = 20  # of an image's id, with which the ids of its masks begin


class PartTables:
    """Registers tables, each made of one part per shard."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, output: Output, superseded: Superseded
    ):
        """Open the folder.

        Args:
            connection: where the tables are registered.
            output: the folder.
            superseded: its rows that do not count.
        """
        self._connection = connection
        self._store, self._root = _arrow_filesystem(output.uri)
        pairs = [(image, shard) for shard, images in superseded.items() for image in images]
        self._superseded = bool(pairs)
        if pairs:
            images, shards = zip(*pairs, strict=True)
            connection.register(_SUPERSEDED, pa.table({"image": images, "shard": shards}))

    def register(self, name: str, columns: pa.Schema, keys: Sequence[str]) -> None:
        """Register a table, or one of the same name anew; no part is opened.

        Args:
            name: of the table.
            columns: of all parts.
            keys: of the parts. Those of tables of images and masks end with `-{shard}.parquet`.
        """
        owner = next((c for c in ("image_id", "mask_id") if c in columns.names), None)
        if not self._superseded or owner is None or not keys:
            self._connection.register(name, self._dataset(columns, keys))
            return
        shards = [key.rpartition("-")[2].removesuffix(".parquet") for key in keys]
        self._connection.register(f"{name}_all", self._dataset(columns, keys, shards))
        self._connection.execute(
            f'create or replace view "{name}" as select * exclude ({_SHARD}) from "{name}_all" '
            f"where ({owner}[:{_ID_LENGTH}], {_SHARD}) not in (from {_SUPERSEDED})"
        )

    def _dataset(
        self, columns: pa.Schema, keys: Sequence[str], shards: Sequence[str] | None = None
    ) -> Any:
        """Return a dataset of parts with a given schema, without opening any of them.

        Args:
            columns: the schema.
            keys: of the parts.
            shards: values of a further column, one per part.
        """
        if not keys:
            return columns.empty_table()
        checked = pds.ParquetFragmentScanOptions(page_checksum_verification=True)
        parquet = pds.ParquetFileFormat(default_fragment_scan_options=checked)
        return pds.FileSystemDataset.from_paths(
            [f"{self._root}/{key}" for key in keys],
            schema=columns if shards is None else columns.append(pa.field(_SHARD, pa.string())),
            format=parquet,
            filesystem=self._store,
            partitions=None if shards is None else [pds.field(_SHARD) == s for s in shards],
        )


def _arrow_filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
    """Return the pyarrow filesystem of `uri`, and the path of its root."""
    if uri.startswith("file://"):
        return pafs.LocalFileSystem(), uri.removeprefix("file://").rstrip("/")
    return pafs.PyFileSystem(pafs.FSSpecHandler(filesystem(uri))), uri.split("://", 1)[1]
