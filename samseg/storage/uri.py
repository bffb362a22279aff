"""Normal form of root URIs, client options of cloud stores, and transport errors."""

import os
from pathlib import Path
from typing import Any

CLOUDS = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl")


def normal(uri: str) -> str:
    """Return local paths as absolute `file://` URIs, and any URI without trailing slashes."""
    if uri.startswith("file://"):
        uri = uri.removeprefix("file://")
    elif "://" in uri or "::" in uri:
        return uri.rstrip("/")
    return "file://" + (str(Path(uri).expanduser().absolute()).rstrip("/") or "/")


def client_options() -> Any:
    """Return obstore client options: plain http is allowed if `AWS_ENDPOINT_URL` uses it."""
    return {"allow_http": os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")}


def transport_errors() -> tuple[type[BaseException], ...]:
    """Return the exceptions that reading a file of `filesystem` or `open_uri` may raise."""
    from aiohttp import ClientError
    from obstore.exceptions import BaseError

    return (ClientError, BaseError, OSError)
