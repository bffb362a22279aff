"""The error tree.

Every message names the problem, the object, the value found and the value wanted, and what to do
next. `retry` tells the engine whether a retry can succeed; `exit_code` is the exit code of the
command line when the error ends a night.

    SamsegError
    |-- ConfigError              a mistake in a config file or on the command line
    |   `-- RecipeError          the output folder was written with another recipe
    |-- LakeError                the lake cannot be listed, or holds no images
    |-- StorageError             a request to the object store failed
    |   |-- NotFoundError        no object at that key
    |   |-- DamagedError         an object does not contain what it must
    |   `-- OutageError          the lake does not answer at all; ends a night without a verdict
    |-- CheckpointError          weights missing, damaged or of an unknown architecture
    |-- DeviceError              the requested device is not available
    |-- WorkersError             workers repeatedly fail to start
    |-- InterruptionError        a signal ended the run (`samseg.interruption`)
    |-- ShardError               a shard cannot be read to its end (a truncated tar)
    |-- CodebookError            no codebook, or one that does not match these embeddings
    |-- ConflictError            somebody else changed the same classes at the same time
    `-- ImageError               one image cannot be labelled; becomes a row of `images`
"""

from typing import ClassVar

from samseg.redaction import redact as redact


class SamsegError(Exception):
    """Base class of all errors that samseg raises."""

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
    """A request to the object store failed."""

    retry = True


class NotFoundError(StorageError):
    """There is no object at that key."""

    retry = False


class DamagedError(StorageError):
    """An object does not contain what it must; reading it again does not help."""

    retry = False


class OutageError(StorageError):
    """The lake does not answer, so nothing can be said about its images."""


class CheckpointError(SamsegError):
    """Weights are missing, damaged or of an unknown architecture."""


class DeviceError(SamsegError):
    """The requested device is not available."""


class WorkersError(SamsegError):
    """Workers repeatedly fail to start, so the night cannot continue."""


class ShardError(SamsegError):
    """A shard cannot be read to its end."""

    retry = True


class CodebookError(SamsegError):
    """There is no codebook, or it does not match these embeddings."""


class ConflictError(SamsegError):
    """Somebody else changed the same classes or masks at the same time; nothing was written."""


class ImageError(SamsegError):
    """One image cannot be labelled.

    Args:
        status: value of the `status` column of the image's row in `images`
            (one of `samseg.types.STATUSES`).
        message: the reason, in one line.
    """

    def __init__(self, status: str, message: str):
        super().__init__(status, message)
        self.status = status
        self.message = message

    def __str__(self) -> str:
        return self.message


def one_line(error: BaseException, limit: int = 300) -> str:
    """Format `error` as one line of at most `limit` characters, without credentials."""
    text = " ".join(redact(str(error)).split())
    text = text if isinstance(error, SamsegError) else f"{type(error).__name__}: {text}"
    return text if len(text) <= limit else text[: limit - 1] + "…"
