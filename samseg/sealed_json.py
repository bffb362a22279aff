"""JSON objects with a checksum, which Parquet and NumPy archives have in their formats.

One changed digit of a recipe or manifest would otherwise be taken for another setting.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_CHECKSUM = "checksum"


def sealed(values: Mapping[str, Any]) -> bytes:
    """Encode JSON values, with the checksum of the others as the last key."""
    return json.dumps({**values, _CHECKSUM: _digest(values)}, indent=2).encode()


def unsealed(payload: bytes) -> dict[str, Any]:
    """Decode JSON values and verify their checksum; objects of earlier versions have none.

    Raises:
        ValueError: they are damaged.
    """
    values = dict(json.loads(payload))
    checksum = values.pop(_CHECKSUM, None)
    if checksum is not None and checksum != _digest(values):
        raise ValueError("its contents do not match its checksum")
    return values


def _digest(values: Mapping[str, Any]) -> str:
    text = json.dumps(json.loads(json.dumps(values)), sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
