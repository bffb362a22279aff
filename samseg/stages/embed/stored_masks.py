"""Embeds masks that are stored already: those of another attempt, or of earlier nights."""

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from samseg.engine.protocol import Attempt, Heartbeat
from samseg.errors import ImageError
from samseg.features import Embedder
from samseg.output import Output
from samseg.stages.embed.named_rows import NamedRows
from samseg.stages.embed.prefetch import DecodedImage
from samseg.stages.embed.shard_images import Decoding
from samseg.types import Masks

_COLUMNS = ("mask_id", "image_id", "mask_index", "rle")


@dataclass(frozen=True, slots=True, eq=False)
class StoredMasks:
    """The masks of one shard, by image.

    Attributes:
        mask_ids: image_id -> its mask ids.
        masks: image_id -> its masks, in the same order.
    """

    mask_ids: Mapping[str, list[str]]
    masks: Mapping[str, Masks]

    @property
    def count(self) -> int:
        """Number of masks."""
        return sum(map(len, self.mask_ids.values()))

    @classmethod
    def read(cls, output: Output, shard_id: str) -> "StoredMasks":
        """Read the masks part of a shard."""
        return cls.of(output.read(output.masks_key(shard_id), list(_COLUMNS)))

    @classmethod
    def of(cls, part: pa.Table) -> "StoredMasks":
        """Group the rows of a masks part by image."""
        rows: dict[str, list[dict[str, Any]]] = {}
        for row in part.select(_COLUMNS).sort_by("mask_index").to_pylist():
            rows.setdefault(row["image_id"], []).append(row)
        return cls(
            {image_id: [row["mask_id"] for row in found] for image_id, found in rows.items()},
            {image_id: _shapes(found) for image_id, found in rows.items()},
        )


def embed_stored(
    task_id: str,
    embedders: Sequence[Embedder],
    stored: StoredMasks,
    images: Iterable[Decoding],
    sha256: Mapping[str, str | None],
    attempt: Attempt[Any],
) -> Generator[Heartbeat, None, list[NamedRows]]:
    """Embed stored masks; yields a heartbeat before each image.

    Masks of an image that is not there any more, has other bytes, or cannot be decoded have rows
    with a status and no vector.

    Args:
        task_id: of the heartbeats.
        embedders: the embeddings to make.
        stored: the masks of a shard.
        images: its images.
        sha256: image_id -> digest of the bytes that the masks were made from; images without one
            are not compared.
        attempt: which `images` are of.

    Returns:
        The rows of the shard, one entry per embedder.
    """
    named = [NamedRows(e.name, e.network.dimension) for e in embedders]
    left = dict(stored.mask_ids)
    done = read = 0
    upcoming = attempt.upcoming_item(0)
    yield Heartbeat(task_id, upcoming, {"masks": 0})
    for index, decode in images:
        if index != upcoming:
            yield Heartbeat(task_id, index, {"masks": done})
        decoded = decode()
        mask_ids = left.pop(decoded.raw.image_id, None)
        if mask_ids:
            masks = stored.masks[decoded.raw.image_id]
            wrong = _wrong_with(decoded, masks, sha256.get(decoded.raw.image_id))
            for rows, embedder in zip(named, embedders, strict=True):
                if wrong is None and not isinstance(decoded.image, ImageError):
                    rows.add(mask_ids, embedder.embed(decoded.image.pixels, masks))
                else:
                    rows.add_without(mask_ids, wrong or "missing")
            done += len(mask_ids)
        upcoming, read = attempt.upcoming_item(index + 1), read + 1
        yield Heartbeat(task_id, upcoming, {"masks": done})
    yield Heartbeat(task_id, None, {"masks": done, "images": read})
    for mask_ids in left.values():
        for rows in named:
            rows.add_without(mask_ids, "missing")
    return named


def _wrong_with(decoded: DecodedImage, masks: Masks, sha256: str | None) -> str | None:
    """Return the status of the masks of an image that cannot be embedded, None if it can."""
    if sha256 is not None and decoded.sha256 is not None and decoded.sha256 != sha256:
        return "changed"
    if isinstance(decoded.image, ImageError):
        status = decoded.image.status
        return {"unreadable": "missing", "timeout": "crashed"}.get(status, status)
    h, w = decoded.image.pixels.shape[:2]
    return None if (h, w) == tuple(masks.size) else "changed"


def _shapes(rows: Sequence[Mapping[str, Any]]) -> Masks:
    """Return the masks of one image with their shapes; nothing else of them is known here."""
    n = len(rows)
    h, w = rows[0]["rle"]["size"]
    unknown = np.full(n, np.nan, np.float32)
    return Masks(
        size=(h, w),
        boxes=np.zeros((n, 4), np.int32),
        areas=np.zeros(n, np.int64),
        predicted_iou=unknown,
        stability_score=unknown,
        points=np.zeros((n, 2), np.float32),
        crops=np.zeros((n, 4), np.int32),
        rles=tuple(row["rle"] for row in rows),
        prompt_kind="grid",
        prompt_ids=np.zeros(n, np.int32),
    )
