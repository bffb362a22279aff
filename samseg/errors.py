"""The error tree.

Every message says what went wrong, with which object, what was found and wanted, and what to
do next. `retry` tells the engine whether trying again can help; `exit_code` is what the command
line returns when the error ends a night.

    SamsegError
    |-- ConfigError              a mistake in a config file or on the command line
    |   `-- RecipeError          the output folder holds rows of another recipe
    |-- LakeError                the lake cannot be listed, or holds no images
    |-- StorageError             the object store refused or failed
    |   `-- NotFoundError        no object at that key
    |-- CheckpointError          weights missing, damaged or of an unknown architecture
    |-- DeviceError              the device that was asked for is not there
    |-- WorkersError             workers keep failing to start
    |-- ShardError               a shard cannot be read to its end (a truncated tar)
    |-- CodebookError            no codebook, or one that does not fit these embeddings
    `-- ImageError               one image cannot be labelled; becomes a row of `images`
"""

import re
from typing import ClassVar

_QUERY = re.compile(r"(\w+://[^\s?'\"]+)\?[^\s'\"]+")
_USERINFO = re.compile(r"(\w+://)[^\s/@'\"]+@")


class SamsegError(Exception):
    """Base of all errors that samseg raises on purpose."""

    retry: ClassVar[bool] = False
    exit_code: ClassVar[int] = 3


class ConfigError(SamsegError):
    """A mistake in a config file or on the command line."""

    exit_code = 2


class RecipeError(ConfigError):
    """The output folder was written with another recipe."""


class LakeError(SamsegError):
    """The lake cannot be listed, or holds no images."""


class StorageError(SamsegError):
    """The object store refused or failed."""

    retry = True


class NotFoundError(StorageError):
    """There is no object at that key."""

    retry = False


class CheckpointError(SamsegError):
    """Weights are missing, damaged or of an unknown architecture."""


class DeviceError(SamsegError):
    """The device that was asked for is not there."""


class WorkersError(SamsegError):
    """Workers keep failing to start, so the night cannot go on."""


class ShardError(SamsegError):
    """A shard cannot be read to its end."""

    retry = True


class CodebookError(SamsegError):
    """There is no codebook, or it does not fit these embeddings."""


class ImageError(SamsegError):
    """One image cannot be labelled.

    Args:
        status: the value of the `status` column of its row in `images`
            (one of `samseg.types.STATUSES`).
        message: why, in one line.
    """

    def __init__(self, status: str, message: str):
        super().__init__(status, message)
        self.status = status
        self.message = message

    def __str__(self) -> str:
        return self.message


def redact(text: str) -> str:
    """Remove user names, passwords and query strings (presigned URLs) from URLs in `text`."""
    return _USERINFO.sub(r"\1", _QUERY.sub(r"\1", text))


def one_line(error: BaseException, limit: int = 300) -> str:
    """Describe `error` in one bounded line without credentials, for tables and logs."""
    text = " ".join(redact(str(error)).split())
    text = text if isinstance(error, SamsegError) else f"{type(error).__name__}: {text}"
    return text if len(text) <= limit else text[: limit - 1] + "…"
