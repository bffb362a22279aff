"""What is taken from the answers of obstore: version tags, and the causes of errors."""

from typing import Any

from samseg.errors import redact


def version_tag(found: Any) -> str:
    """Return the version tag in an object's metadata, or its time of modification."""
    return (found["e_tag"] or str(found["last_modified"])).strip('"')


def first_line(error: BaseException) -> str:
    """Return the first line of an obstore message; the rest is a debug dump."""
    text = str(error).strip()
    first = (text.splitlines() or [type(error).__name__])[0]
    return redact(first) + (" (timed out)" if "kind: Timeout" in text else "")
