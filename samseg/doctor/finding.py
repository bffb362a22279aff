"""One thing that is wrong with an output folder."""

from dataclasses import dataclass

from samseg.errors import redact
from samseg.object_names import kind_of, remedy

_REPAIRABLE = (
    *("masks", "images", "embeddings", "assignments", "failed", "quarantine", "nights"),
    *("ledger", "class_ledger", "members", "split_cells", "resolved"),
)
"""Kinds of objects that later runs write again, or that nothing depends on."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A damaged or missing object.

    Attributes:
        key: of the object.
        problem: what is wrong with it.
        remedy: what to do.
        repairable: whether `--repair` mends it.
    """

    key: str
    problem: str
    remedy: str
    repairable: bool

    def __str__(self) -> str:
        return f"{self.key} {self.problem}" + ("" if self.repairable else f"; {self.remedy}")


def damaged(folder: str, key: str, problem: str) -> Finding:
    """Return the finding of a damaged or missing object of a folder, with its remedy."""
    return Finding(key, problem, remedy(key, redact(folder)), kind_of(key) in _REPAIRABLE)


def damaged_copy(folder: str, key: str, problem: str) -> Finding:
    """Return the finding of an object of which the folder has a copy."""
    repair = f"run `samseg doctor {redact(folder)} --repair`, which sets it aside"
    return Finding(key, problem, f"{repair}; the next night writes it again", repairable=True)
