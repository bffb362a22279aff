"""How roots are written, how clouds are connected to, and what reading may raise."""

import os
from pathlib import Path
from typing import Any

CLOUDS = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl")


def normal(uri: str) -> str:
    """Write local paths as absolute `file://` URIs and drop trailing slashes."""
    if uri.startswith("file://"):
        uri = uri.removeprefix("file://")
    elif "://" in uri or "::" in uri:
        return uri.rstrip("/")
    return "file://" + (str(Path(uri).expanduser().absolute()).rstrip("/") or "/")


def client_options() -> Any:
    """Allow plain http where the endpoint that the environment names is plain http."""
    return {"allow_http": os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")}


def transport_errors() -> tuple[type[BaseException], ...]:
    """Return what a file from `filesystem` or `open_uri` may raise while it is read."""
    from aiohttp import ClientError
    from obstore.exceptions import BaseError

    return (ClientError, BaseError, OSError)
