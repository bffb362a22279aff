"""What a worker says when something goes wrong: errors turned into plain values.

An exception may hold anything, so it is never sent from one process to another; a `Failure` is
text, a verdict on trying again, and the class from our own error tree. The blanket `except` clauses
of samseg are here, but for the one that ends the command line. Not for errors of one image: those
are rows, and the work's own affair.
"""

import logging
from collections.abc import Callable, Generator
from dataclasses import dataclass

from samseg.engine.protocol import Attempt, Beat, Receipt, Slot, Work
from samseg.errors import CheckpointError, DeviceError, SamsegError, one_line
from samseg.types import Shard

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as a value.

    Attributes:
        text: one bounded line without credentials.
        retry: whether trying again can help.
        kind: the error's class where it is one of ours and takes a message alone.
    """

    text: str
    retry: bool = True
    kind: type[SamsegError] | None = None

    @classmethod
    def of(cls, error: Exception) -> "Failure":
        """Describe `error`; an error that is not ours is worth another try."""
        _log.warning("%s", one_line(error), exc_info=error)
        if not isinstance(error, SamsegError):
            return cls(one_line(error))
        plain = type(error).__init__ is SamsegError.__init__
        return cls(one_line(error), error.retry, type(error) if plain else None)

    @property
    def ends_night(self) -> bool:
        """Whether no shard can fare better: the device or the weights are at fault."""
        return self.kind is not None and issubclass(self.kind, CheckpointError | DeviceError)

    def error(self) -> SamsegError:
        """Return the error to raise where the failure ends the night."""
        return (self.kind or SamsegError)(self.text)


def build_work(build: Callable[[Slot], Work], slot: Slot) -> Work | Failure:
    """Call `build`, and return its error as a value."""
    try:
        return build(slot)
    except Exception as error:
        return Failure.of(error)


def try_shard(
    work: Work, shard: Shard, attempt: Attempt
) -> Generator[Beat | Receipt | Failure, None, None]:
    """Run one attempt: beats as they come, then exactly one receipt or failure, last of all."""
    receipt: Receipt | None = None
    try:
        for said in work(shard, attempt):
            if isinstance(said, Receipt):
                receipt = said
            else:
                yield said
    except Exception as error:
        yield Failure.of(error)
    else:
        yield receipt or Failure("the work ended without a receipt", retry=False)
