"""Keys of an S3 store as they are stored, for listings that hold keys obstore cannot address.

Such keys have an empty segment (`a//b`), `.` or `..` as a segment, a control character, or a slash
at an end. One of them makes obstore refuse a whole answer to LIST.
"""

from typing import Any

import obstore
import pyarrow.fs as pafs
from obstore import exceptions as obstore_errors
from obstore.store import MemoryStore

from samseg.storage import aws
from samseg.storage.uri import bucket_and_key


def raw_keys(uri: str, prefix: str) -> list[str]:
    """Return all keys below `prefix`, relative to the root `uri`, in the order of the store.

    Raises:
        OSError: they cannot be listed.
    """
    bucket, root = bucket_and_key(uri)
    base = f"{bucket}/{root}".rstrip("/")
    selected = pafs.FileSelector(
        f"{base}/{prefix}".rstrip("/"), allow_not_found=True, recursive=True
    )
    found = _filesystem().get_file_info(selected)
    keys = [f.path[len(base) + 1 :] for f in found if f.type == pafs.FileType.File]
    return sorted(keys, key=str.encode)


def is_addressable(key: str) -> bool:
    """Return whether obstore can address an object by its key."""
    try:
        obstore.head(_ANY_STORE, key)
    except FileNotFoundError:
        return key == key.strip("/")
    except (ValueError, obstore_errors.BaseError):
        return False
    return True


_ANY_STORE = MemoryStore()
"""Empty: it tells a key that is not there from one that there cannot be."""


def _filesystem() -> Any:
    options = aws.settings()
    keys = {
        name: options[option]
        for name, option in [
            ("access_key", "access_key_id"),
            ("secret_key", "secret_access_key"),
            ("session_token", "session_token"),
            ("region", "region"),
        ]
        if option in options
    }
    return pafs.S3FileSystem(
        endpoint_override=options.get("endpoint"), anonymous=aws.is_anonymous(), **keys
    )
