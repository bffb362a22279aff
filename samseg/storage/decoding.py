"""What damaged contents of a stored object are raised as."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from samseg.errors import DamagedError, SamsegError, redact

_DAMAGE = (
    *(ValueError, TypeError, LookupError, OSError, EOFError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error, pa.ArrowException, MemoryError, OverflowError),
)
"""What decoders of JSON, Parquet and NumPy raise on damaged bytes, and their readers on columns
that are not there."""


@contextmanager
def decoding(uri: str, remedy: str) -> Iterator[None]:
    """Decode an object: what its contents cause is raised as an error that names it.

    Args:
        uri: of the object.
        remedy: what to do if it is damaged.

    Raises:
        DamagedError: it is damaged.
    """
    try:
        yield
    except SamsegError:
        raise
    except _DAMAGE as e:
        cause = f"it lacks {e}" if isinstance(e, KeyError) else str(e).strip()
        first = (cause.splitlines() or [type(e).__name__])[0]
        raise DamagedError(f"{redact(uri)} is damaged ({redact(first)}); {remedy}") from e
