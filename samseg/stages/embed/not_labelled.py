"""Images and shards that have no masks because of an error, for messages."""

from dataclasses import dataclass

NAMED = 10
"""Failures that a shard or a stage names; all of them are rows of `images`."""


@dataclass(frozen=True, slots=True)
class NotLabelled:
    """An image, or a shard, without masks.

    Attributes:
        key: of the image in the lake, or of the shard's first image.
        status: as in the column `status` of `images`; `given_up` for a shard.
        error: the reason.
    """

    key: str
    status: str
    error: str
