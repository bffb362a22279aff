"""Reading the objects of an output folder: tables and JSON, with what to do if one is damaged."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from samseg import schema
from samseg.errors import NotFoundError, redact
from samseg.object_names import remedy
from samseg.output_keys import OutputKeys
from samseg.sealed_json import unsealed
from samseg.storage import ObjectStorage, decoding, open_output


class OutputObjects(OutputKeys):
    """The objects of one output folder, by key."""

    def __init__(self, uri: str):
        """Open the folder at `uri`; nothing is created yet."""
        self.storage: ObjectStorage = open_output(uri)

    @property
    def uri(self) -> str:
        """Root URI without a trailing slash."""
        return self.storage.uri

    def read(self, key: str, columns: list[str] | None = None, rows: int | None = None) -> pa.Table:
        """Read one Parquet object; with `columns`, only the bytes of those columns.

        Args:
            key: of the object.
            columns: to read; all for None.
            rows: with `columns`, read only the row groups that the first `rows` rows are in.

        Raises:
            StorageError: it is damaged, missing (a NotFoundError) or cannot be read.
        """
        with self._present(key):
            if columns is None:
                payload = self.storage.get(key)
                with self.decoding(key):
                    return schema.decode(payload)
            with self.storage.stream(key) as stream, self.decoding(key):
                return schema.decode(stream, columns, rows).select(columns)

    def row_groups(self, key: str) -> Iterator[pa.Table]:
        """Read one Parquet object by ranges, one row group in memory at a time."""
        with self._present(key), self.storage.stream(key) as stream, self.decoding(key):
            parquet = pq.ParquetFile(stream, page_checksum_verification=True)
            for group in range(parquet.num_row_groups):
                yield parquet.read_row_group(group, use_threads=False)

    def rows(self, key: str) -> int:
        """Return the number of rows of one Parquet object; reads its end only."""
        with self._present(key), self.storage.stream(key) as stream, self.decoding(key):
            return schema.rows(stream)

    def metadata(self, key: str) -> dict[bytes, bytes]:
        """Return the metadata in the footer of one Parquet object."""
        with self._present(key), self.storage.stream(key) as stream, self.decoding(key):
            return dict(pq.read_schema(stream).metadata or {})

    def read_json(self, key: str) -> dict[str, Any]:
        """Read one JSON object, without the checksum that it may have."""
        with self._present(key):
            payload = self.storage.get(key)
        with self.decoding(key):
            return unsealed(payload)

    def decoding(self, key: str) -> AbstractContextManager[None]:
        """Raise what damaged contents of an object cause as a StorageError that names it."""
        return decoding(self.storage.uri_of(key), remedy(key, redact(self.uri)))

    @contextmanager
    def _present(self, key: str) -> Iterator[None]:
        try:
            yield
        except NotFoundError as e:
            raise NotFoundError(f"{e}; {remedy(key, redact(self.uri))}") from e
