"""Storage over obstore: local folders and cloud stores, with commits by conditional PUT.

Every request to a cloud store is retried, also when its answer breaks midway. If the store does not
answer at all, a call ends within two minutes (see `samseg.storage.clients`). Requests to local
folders are not retried.
"""

import io
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import obstore
import pyarrow as pa
import pyarrow.compute as pc
from obstore import exceptions as obstore_errors
from obstore.store import LocalStore

from samseg.errors import NotFoundError, StorageError, redact
from samseg.storage.answers import first_line, version_tag
from samseg.storage.batches import Skipped, batch_of, ignore, page_of
from samseg.storage.clients import store_of
from samseg.storage.local import create, replace
from samseg.storage.raw_keys import is_addressable, raw_keys
from samseg.storage.raw_reader import RawReader
from samseg.storage.retries import Retries
from samseg.storage.uri import normal
from samseg.types import Source

T = TypeVar("T")

_BUFFER_BYTES = 4 << 20
_LIST_PAGE = 1000
"""Keys in one answer of a cloud store."""

_HEADS_AT_A_TIME = 16

_NO_PATH = "it holds keys that no store client can address; rename these objects"


class ObjectStorage:
    """Storage over obstore: local folders and cloud stores, for reading and committing."""

    def __init__(self, uri: str):
        """Use the root `uri`; a missing local folder is created on first access."""
        self.uri = normal(uri)
        self._local = self.uri.startswith("file://")
        self._retries = Retries(remote=not self._local)
        self._store: Any = None

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return type(self), (self.uri,)

    @property
    def _client(self) -> Any:
        if self._store is None:
            try:
                if self._local:
                    self._store = LocalStore(self.uri.removeprefix("file://"), mkdir=True)
                else:
                    self._store = store_of(self.uri)
            except (obstore_errors.BaseError, OSError, ValueError) as e:
                raise StorageError(f"cannot open {redact(self.uri)}: {first_line(e)}") from e
        return self._store

    def list(self, prefix: str = "", skipped: Skipped = ignore) -> Iterator[Source]:
        """See `Storage.list`."""
        for batch in self.batches(prefix, skipped):
            for row in batch.to_pylist():
                yield Source(row["key"], self.uri_of(row["key"]), row["etag"], row["bytes"])

    def batches(self, prefix: str = "", skipped: Skipped = ignore) -> Iterator[pa.RecordBatch]:
        """See `Storage.batches`.

        A LIST that breaks midway goes on after the last key, because cloud stores list in the order
        of keys. An answer with a key that obstore cannot address is replaced: on S3, see
        `raw_keys`; on others the folder with such a key is skipped.
        """
        pages: Iterator[Any] | None = None
        last: str | None = None

        def following() -> pa.RecordBatch | None:
            nonlocal pages
            try:
                if pages is None:
                    found = obstore.list(
                        self._client,
                        prefix=prefix or None,
                        offset=last,
                        chunk_size=_LIST_PAGE,
                        return_arrow=True,
                    )
                    pages = iter(found)
                page = next(pages, None)
                return None if page is None else pa.record_batch(page)
            except (obstore_errors.BaseError, OSError):
                pages = None
                raise

        raw: list[str] | None = None
        while True:
            try:
                page = self._ask("list", prefix, following)
            except StorageError as e:
                if self._local or not isinstance(e.__cause__, obstore_errors.InvalidPathError):
                    raise
                if not self.uri.startswith("s3://"):
                    yield from self._by_folder(prefix, last, skipped)
                    return
                raw = raw or self._ask("list", prefix, lambda: raw_keys(self.uri, prefix))
                batch, last = self._around_bad_keys(raw, last, skipped)
                if batch.num_rows:
                    yield batch
                if last is None:
                    return
            else:
                if page is None or not page.num_rows:
                    return
                last = page["path"][-1].as_py()
                yield page_of(page)

    def _by_folder(
        self, prefix: str, last: str | None, skipped: Skipped
    ) -> Iterator[pa.RecordBatch]:
        """List the objects after `last`, without the folders that obstore cannot list.

        Raises:
            StorageError: `prefix` itself cannot be listed.
        """
        folders = [prefix]
        while folders:
            folder = folders.pop()
            request = partial(
                obstore.list_with_delimiter, self._client, prefix=folder or None, return_arrow=True
            )
            try:
                found: Any = self._ask("list", folder, request)
            except StorageError as e:
                invalid = isinstance(e.__cause__, obstore_errors.InvalidPathError)
                if folder == prefix or not invalid:
                    raise
                skipped(f"{folder}/", _NO_PATH)
                continue
            inside = {path.strip("/") for path in found["common_prefixes"]}
            if inside & {"", folder}:  # keys with `//`, whose empty folder has no path
                skipped(f"{folder}/", _NO_PATH)
            folders += inside - {"", folder}
            for page in pa.table(found["objects"]).to_batches():
                batch = page_of(page)
                yield batch if last is None else batch.filter(pc.greater(batch["key"], last))

    def _around_bad_keys(
        self, raw: Sequence[str], last: str | None, skipped: Skipped
    ) -> tuple[pa.RecordBatch, str | None]:
        """List what LIST refuses: the keys after `last`, to the first after those that are bad.

        Returns:
            The objects, and the key after which to go on; None if there are no more.
        """
        start = 0 if last is None else bisect_right(raw, last.encode(), key=str.encode)
        good: list[str] = []
        bad = False
        for key in raw[start:]:
            if not is_addressable(key):
                bad = True
                skipped(key, "no store client can address such a key; rename the object")
                continue
            good.append(key)
            if bad:
                break
        with ThreadPoolExecutor(_HEADS_AT_A_TIME) as pool:
            sources = pool.map(self._stat_or_none, good)
        batch = batch_of([source for source in sources if source is not None])
        return batch, good[-1] if bad and good and raw[-1] != good[-1] else None

    def _stat_or_none(self, key: str) -> Source | None:
        try:
            return self.stat(key)
        except NotFoundError:  # deleted meanwhile
            return None

    def folders(self, prefix: str) -> set[str]:
        """Return the names of the folders directly below `prefix`, by one LIST."""

        def listed() -> Any:
            try:
                return obstore.list_with_delimiter(self._client, prefix=prefix)["common_prefixes"]
            except FileNotFoundError:
                return ()

        found = self._ask("list", prefix, listed)
        return {path.rstrip("/").rsplit("/", 1)[-1] for path in found}

    def get(self, key: str) -> bytes:
        """See `Storage.get`."""
        return self.get_version(key)[0]

    def get_version(self, key: str) -> tuple[bytes, str]:
        """See `Storage.get_version`."""

        def got() -> tuple[bytes, str]:
            found = obstore.get(self._client, key)
            return bytes(found.bytes()), version_tag(found.meta)

        return self._ask("read", key, got)

    def stat(self, key: str) -> Source:
        """See `Storage.stat`."""
        found = self._ask("reach", key, lambda: obstore.head(self._client, key))
        return Source(key, self.uri_of(key), version_tag(found), found["size"])

    def stream(self, key: str) -> BinaryIO:
        """See `Storage.stream`."""

        def opened() -> Any:
            return obstore.open_reader(self._client, key, buffer_size=_BUFFER_BYTES)

        reader = RawReader(opened, lambda request: self._ask("read", key, request))
        return cast(BinaryIO, io.BufferedReader(reader, _BUFFER_BYTES))

    def put_new(self, key: str, payload: bytes) -> bool:
        """Create one object in a single atomic PUT.

        On a local file system it is on the disk afterwards.

        Returns:
            True if this call created the object, False if one exists already and is unchanged.
            Never overwrites, renames or uploads in several parts. If the answer to an earlier try
            was lost, an object with these contents is this call's.

        Raises:
            StorageError: the store failed, or does not support conditional creation.
        """
        answer_lost = False

        def put() -> bool:
            nonlocal answer_lost
            if self._local:
                return create(self._path(key), payload)
            try:
                obstore.put(self._client, key, payload, mode="create", use_multipart=False)
                return True
            except obstore_errors.AlreadyExistsError:
                return False
            except (obstore_errors.BaseError, OSError):
                answer_lost = True
                raise

        return self._ask("write", key, put) or (answer_lost and self.get(key) == payload)

    def replace(self, key: str, payload: bytes) -> None:
        """Write an object over the one that is there, in one step; only `samseg forget` does."""
        if self._local:
            self._ask("write", key, lambda: replace(self._path(key), payload))
        else:
            put = partial(obstore.put, self._client, key, payload, use_multipart=False)
            self._ask("write", key, put)

    def delete(self, *keys: str) -> None:
        """Delete objects; only `samseg doctor --repair`, `prune` and `forget` do."""
        for start in range(0, len(keys), _LIST_PAGE):
            some = list(keys[start : start + _LIST_PAGE])
            self._ask("delete", some[0], partial(obstore.delete, self._client, some))

    def exists(self, key: str) -> bool:
        """Return whether there is an object at `key`."""
        try:
            self.stat(key)
            return True
        except NotFoundError:
            return False

    def _ask(self, verb: str, key: str, request: Callable[[], T]) -> T:
        """Send a request, and again where that can help; name the object if it fails.

        Raises:
            NotFoundError: there is no object to read.
            StorageError: any other failure.
        """
        try:
            return self._retries.call(request)
        except (obstore_errors.BaseError, OSError) as e:
            uri = redact(self.uri_of(key))
            if isinstance(e, FileNotFoundError) and verb in ("read", "reach"):
                raise NotFoundError(f"no object at {uri}") from e
            raise StorageError(f"cannot {verb} {uri}: {first_line(e)}") from e

    def _path(self, key: str) -> Path:
        names = key.split("/")
        if not all(names) or {".", ".."} & {*names}:
            raise StorageError(f"cannot write {key!r}: it is not a path below {redact(self.uri)}")
        return Path(self.uri.removeprefix("file://"), *names)

    def uri_of(self, key: str) -> str:
        """See `Storage.uri_of`."""
        return f"{self.uri}/{key}" if key else self.uri
