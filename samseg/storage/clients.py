"""The clients that requests go through: time limits, options, and what they raise.

One request takes at most `REQUEST_S`, and none is begun later than `RETRY_FOR_S` after the first
one, so a store that accepts connections and never answers is given up within two minutes.
"""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import fsspec
from obstore import exceptions as obstore_errors
from obstore.store import GCSStore, S3Store, from_url

from samseg.storage import aws
from samseg.storage.uri import bucket_and_key, scheme_of

CONNECT_S = 10.0
REQUEST_S = 60.0
RETRY_FOR_S = 60.0
DELAYS_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8)
"""Waits before the retries of one request, on average."""

_FINAL = (
    *(obstore_errors.AlreadyExistsError, obstore_errors.PreconditionError),
    *(obstore_errors.PermissionDeniedError, obstore_errors.UnauthenticatedError),
    *(obstore_errors.InvalidPathError, obstore_errors.UnknownConfigurationKeyError),
    *(obstore_errors.NotSupportedError, NotImplementedError),
    *(FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError),
)
_BUSY = (408, 425, 429)
"""HTTP statuses below 500 that pass."""


def client_options(scheme: str) -> Any:
    """Return obstore client options: time limits, and http where the environment allows it."""
    return {
        "allow_http": _allows_http(scheme),
        "connect_timeout": timedelta(seconds=CONNECT_S),
        "timeout": timedelta(seconds=REQUEST_S),
    }


def _allows_http(scheme: str) -> bool:
    if scheme == "s3":
        return aws.allows_http()
    return aws.is_on("GOOGLE_ALLOW_HTTP" if scheme == "gs" else "AZURE_ALLOW_HTTP")


def store_of(uri: str) -> Any:
    """Return the obstore client of a cloud store's root; its path is taken as it is written.

    Args:
        uri: in normal form.

    Raises:
        ConfigError: the environment's settings of the store cannot be used.
    """
    scheme, (bucket, prefix) = scheme_of(uri), bucket_and_key(uri)
    options = {
        "client_options": client_options(scheme),
        "retry_config": {"max_retries": 0},
    }
    if scheme == "s3":
        return S3Store(bucket, prefix=prefix or None, **options, **aws.settings())
    if scheme == "gs":
        return GCSStore(bucket, prefix=prefix or None, **options)
    return from_url(f"{scheme}://{bucket}/{quote(prefix)}".rstrip("/"), **options)


def configure_fsspec(uri: str) -> None:
    """Make obstore the fsspec client of the clouds in `uri`, and limit the time of requests.

    A client that the user has registered or configured is kept.
    """
    from aiohttp import ClientTimeout
    from obstore.fsspec import register

    for protocol in ("s3", "gs", "az"):
        if f"{protocol}://" not in uri:
            continue
        if protocol not in fsspec.registry:
            register(protocol)
        if fsspec.registry[protocol].__module__.startswith("obstore"):
            fsspec.config.conf[protocol] = {
                "client_options": client_options(protocol),
                "retry_config": {
                    "max_retries": len(DELAYS_S),
                    "retry_timeout": timedelta(seconds=RETRY_FOR_S),
                },
            }
            if protocol == "s3" and (settings := aws.settings()):
                fsspec.config.conf[protocol]["config"] = settings
    limits = ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=REQUEST_S)
    for protocol in ("http", "https"):
        fsspec.config.conf.setdefault(protocol, {"client_kwargs": {"timeout": limits}})


def transport_errors() -> tuple[type[BaseException], ...]:
    """Return the exceptions that reading a file of `filesystem` or `open_uri` may raise."""
    from aiohttp import ClientError

    return (ClientError, obstore_errors.BaseError, OSError)


def is_transient(error: BaseException) -> bool:
    """Return whether the same request can succeed later: the store was busy or did not answer."""
    if isinstance(error, FileNotFoundError) and not is_missing(error):
        return error.__cause__ is None or is_transient(error.__cause__)
    status = getattr(error, "status", None)  # of an HTTP answer
    if isinstance(status, int) and 400 <= status < 500:
        return status in _BUSY
    return isinstance(error, transport_errors()) and not isinstance(error, _FINAL)


def is_missing(error: FileNotFoundError) -> bool:
    """Tell a missing object from other failures: fsspec raises this for any HTTP failure."""
    from aiohttp import ClientError

    cause = error.__cause__
    if not isinstance(cause, ClientError | TimeoutError):
        return True
    return getattr(cause, "status", None) in (404, 410)
