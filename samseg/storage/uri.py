"""Normal form of root URIs."""

from pathlib import Path

CLOUDS = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl")


def normal(uri: str) -> str:
    """Return local paths as absolute `file://` URIs, and any URI without trailing slashes."""
    if uri.startswith("file://"):
        uri = uri.removeprefix("file://")
    elif "://" in uri or "::" in uri:
        return uri.rstrip("/")
    return "file://" + (str(Path(uri).expanduser().absolute()).rstrip("/") or "/")
