"""Normal form of root URIs, and the parts of those of cloud stores."""

import re
from pathlib import Path

CLOUDS = ("s3", "gs", "az", "azure", "abfs", "abfss", "adl")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)")
_ALIASES = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}


def normal(uri: str) -> str:
    """Return the one spelling of a URI.

    Local paths become absolute `file://` URIs, schemes lower case, `s3a` is `s3` and `gcs` is `gs`;
    slashes at the end are removed. Nothing is unquoted: `#`, `?` and `%` are part of the path.
    """
    found = _SCHEME.match(uri)
    if found:
        scheme = found[0].lower()
        uri = f"{_ALIASES.get(scheme, scheme)}{uri[found.end() :]}"
    if uri.startswith("file://"):
        uri = uri.removeprefix("file://")
    elif found or "::" in uri:
        return uri.rstrip("/")
    return "file://" + (str(Path(uri).expanduser().absolute()).rstrip("/") or "/")


def scheme_of(uri: str) -> str:
    """Return the scheme of a URI in normal form; empty if it has none."""
    found = _SCHEME.match(uri)
    return found[0] if found else ""


def bucket_and_key(uri: str) -> tuple[str, str]:
    """Split the URI of a cloud store, in normal form, at the first slash of its path."""
    bucket, _, key = uri.partition("://")[2].partition("/")
    return bucket, key
