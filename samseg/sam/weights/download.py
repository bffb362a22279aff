"""Download one checkpoint to a cache: resumable, verified, safe for concurrent workers.

The holder of a lock downloads to `{file}.{version}.part`. A later run resumes an interrupted
download from the end of that file if the source still has the same version. The complete file is
renamed to its final name. Not for many small files.
"""

import fcntl
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from samseg.errors import CheckpointError, redact
from samseg.sam.weights.digest import sha256_of
from samseg.sam.weights.tensors import weight_format

CHUNK = 1 << 23
"""Bytes per request: the most that a dropped connection loses."""

_ATTEMPTS = 5
_FIRST_PAUSE_S = 0.5


def fetch(
    url: str,
    path: Path,
    sha256: str | None,
    progress: Callable[[int, int | None], None] | None = None,
) -> str:
    """Download `url` to `path` unless it is there already, and return its hex sha256.

    Args:
        url: any URL that fsspec can open.
        path: target file; kept if it exists and is what is required.
        sha256: the required digest; None accepts any checkpoint.
        progress: called with bytes downloaded and bytes in total (None if unknown).

    Raises:
        CheckpointError: the download fails, or the file is no checkpoint or has another digest (it
            is then removed, so that a retry starts from the beginning).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_name(path.name + ".lock")):
            if path.is_file():
                found = sha256_of(path)
                if found == sha256 or (sha256 is None and weight_format(path)):
                    return found
                path.unlink()
            source = _RemoteFile(url)
            part = path.with_name(f"{path.name}.{source.version}.part")
            for stale in path.parent.glob(f"{path.name}.*.part"):
                if stale != part:
                    stale.unlink()
            _complete(source, part, progress)
            found = sha256_of(part)
            if sha256 not in (None, found):
                part.unlink()
                raise CheckpointError(
                    f"{redact(url)} has sha256 {found}, wanted {sha256}; the download to {path} "
                    "was removed. Run again; if the error persists, the source or `model.sha256` "
                    "is wrong"
                )
            if sha256 is None and weight_format(part) is None:
                with part.open("rb") as f:
                    start = f.read(32)
                part.unlink()
                raise CheckpointError(
                    f"{redact(url)} is not a checkpoint: it begins with {start!r}, wanted "
                    "safetensors or a file of torch.save; the download was removed. Check that the "
                    "URL needs no login, or download the file elsewhere and give its path as the "
                    "checkpoint"
                )
            part.replace(path)
            return found
    except OSError as e:
        raise CheckpointError(
            f"cannot write {path}: {e.strerror or e}; set `model.cache` to a writable folder with "
            "enough space"
        ) from e


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock, which the system releases if the process dies."""
    with path.open("a") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def _complete(
    source: "_RemoteFile", part: Path, progress: Callable[[int, int | None], None] | None
) -> None:
    """Download the rest of `part`, and retry after a dropped connection."""
    size = source.size
    if size is not None and _bytes_in(part) > size:
        part.unlink()
    part.touch()  # a file of no bytes needs no request
    failures, pause = 0, _FIRST_PAUSE_S
    while (have := _bytes_in(part)) != size or size is None:
        try:
            block = source.read(have)
        except source.errors as e:
            failures += 1
            if failures == _ATTEMPTS or source.permanent(e):
                raise CheckpointError(
                    f"cannot fetch {redact(source.url)}: {redact(str(e)) or type(e).__name__}; "
                    f"{have} bytes are kept and the next run resumes there. Without a network, "
                    "download the file elsewhere and give its path as the checkpoint"
                ) from e
            time.sleep(pause)
            pause *= 2
            continue
        failures, pause = 0, _FIRST_PAUSE_S
        whole_file = size is None or len(block) > min(CHUNK, size - have)
        with part.open("wb" if whole_file else "ab") as f:
            f.write(block)
        if progress is not None:
            progress(_bytes_in(part), size)
        if whole_file:
            return


def _bytes_in(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


class _RemoteFile:
    """A remote file that can be read by ranges.

    Attributes:
        size: bytes; None if the server does not report it.
        version: short hash of the size, ETag and modification time that the server reports.
    """

    def __init__(self, url: str):
        """Request size and version."""
        from samseg.storage import filesystem, transport_errors

        self.url = url
        self.errors: tuple[type[BaseException], ...] = transport_errors()
        unusable: tuple[type[BaseException], ...] = (ValueError, ImportError, *self.errors)
        try:
            self._fs = filesystem(url)
            self._path = self._fs._strip_protocol(url)
            info = self._fs.info(self._path)
        except unusable as e:
            raise CheckpointError(
                f"cannot reach {redact(url)}: {redact(str(e)) or type(e).__name__}; check the URL "
                "and the network, or download the file elsewhere and give its path as the "
                "checkpoint"
            ) from e
        self.size: int | None = info.get("size")
        fields = ("size", "ETag", "e_tag", "Last-Modified", "last_modified")
        reported = [info.get(field) for field in fields]
        self.version = hashlib.sha256(repr(reported).encode()).hexdigest()[:8]

    def read(self, start: int) -> bytes:
        """Read the next block; the whole file if the size is unknown.

        A server that ignores ranges also returns the whole file, which its length reveals.
        """
        if self.size is None:
            return bytes(self._fs.cat_file(self._path))
        end = min(start + CHUNK, self.size)
        return bytes(self._fs.cat_file(self._path, start=start, end=end))

    @staticmethod
    def permanent(error: BaseException) -> bool:
        """Return whether a retry cannot succeed (not found, forbidden)."""
        status = getattr(error, "status", 0)
        return isinstance(error, FileNotFoundError | PermissionError) or 400 <= status < 500
