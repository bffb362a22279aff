"""The clients that requests go through: time limits, options, and what they raise.

One request takes at most `REQUEST_S`, and none is begun later than `RETRY_FOR_S` after the first
one, so a store that accepts connections and never answers is given up within two minutes.
"""

import os
from datetime import timedelta
from typing import Any

import fsspec
from obstore import exceptions as obstore_errors

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


def client_options() -> Any:
    """Return obstore client options: time limits, and http where `AWS_ENDPOINT_URL` uses it."""
    return {
        "allow_http": os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"),
        "connect_timeout": timedelta(seconds=CONNECT_S),
        "timeout": timedelta(seconds=REQUEST_S),
    }


def configure_fsspec() -> None:
    """Make obstore the fsspec client of the clouds, and limit the time that requests take.

    A client that the user has registered or configured is kept.
    """
    from aiohttp import ClientTimeout
    from obstore.fsspec import register

    for protocol in ("s3", "gs", "az"):
        if protocol not in fsspec.registry:
            register(protocol)
        if fsspec.registry[protocol].__module__.startswith("obstore"):
            fsspec.config.conf[protocol] = {
                "client_options": client_options(),
                "retry_config": {
                    "max_retries": len(DELAYS_S),
                    "retry_timeout": timedelta(seconds=RETRY_FOR_S),
                },
            }
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
