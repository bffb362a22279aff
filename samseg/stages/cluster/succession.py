"""Which codebook is the newest, and whether another run has continued it."""

from samseg.clustering.codebook import Codebook
from samseg.errors import CodebookError, StorageError, redact
from samseg.output import Output
from samseg.stages.cluster.codebook_store import load_codebook, successor

_NIGHTS = 20
"""Last nights whose records are read to name the one that committed a codebook."""


def newest_codebook(output: Output) -> Codebook | None:
    """Return the newest codebook, one that a killed run had all but committed included."""
    versions = output.codebook_versions()
    newest = successor(output, max(versions, default=None)) or max(versions, default=None)
    return None if newest is None else load_codebook(output, newest)


def require_no_successor(output: Output, parent: Codebook | None) -> None:
    """Check that no other run has fitted the codebook that continues `parent` since it was read.

    Raises:
        CodebookError: one has.
    """
    version = successor(output, parent.version if parent else None)
    if version is not None:
        raise CodebookError(
            f"another run committed codebook v{version} to {redact(output.uri)} during this fit "
            f"({_night_of(output, version)}); this run stopped, so that no class id is given "
            f"twice. Run `samseg cluster` again: it continues from v{version}"
        )


def _night_of(output: Output, version: int) -> str:
    """Return which night committed a codebook; nights write their record when they end."""
    for stamp in output.nights()[: -_NIGHTS - 1 : -1]:
        key = output.night_key(stamp, "status.json")
        try:
            clustered = output.read_json(key)["counts"].get("cluster", {})
        except (StorageError, LookupError):
            continue
        if clustered.get("refitted") and clustered.get("version") == version:
            return f"night {stamp}"
    return "a run that still goes on, or was no night"
