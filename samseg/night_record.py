"""The record of a night in its folder: the config as resolved, and `status.json`."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict

import samseg
from samseg.config import Config
from samseg.errors import ConfigError, SamsegError, StorageError, one_line
from samseg.interruption import interruption
from samseg.output import Output
from samseg.summary import Summary


def write_record(output: Output, summary: Summary, config: Config) -> None:
    """Write the record; one that exists is kept."""
    put, key = output.storage.put_new, output.night_key
    put(key(summary.stamp, "config.yaml"), config.to_yaml().encode())
    status = {"version": samseg.__version__, **asdict(summary)}
    put(key(summary.stamp, "status.json"), json.dumps(status, indent=2, default=str).encode())


@contextmanager
def recorded(output: Output, summary: Summary, config: Config) -> Iterator[None]:
    """Write the record of a night that an error ends, with the error as its reason.

    A mistake in the config, which no night began with, leaves none.
    """
    ended = False
    try:
        yield
        ended = True
    finally:
        error = sys.exception()
        if not ended and error is not None and not isinstance(error, ConfigError):
            if isinstance(error, KeyboardInterrupt):
                error = interruption()
            summary.exit = getattr(error, "exit_code", SamsegError.exit_code)
            summary.reasons.append(one_line(error))
            with suppress(StorageError):  # the error may be that nothing can be written
                write_record(output, summary, config)
