"""The rows of one shard, collected image by image, and their commit.

Create-only PUTs: the masks part, the parts of named embeddings, then the images part, whose
presence is the commit. If another attempt has already written the masks part, that part is kept,
and all others are adapted to it: named embeddings are made of the stored masks, and mask counts,
statuses and errors are taken from it. For that its footer lists the images without masks.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from samseg import schema
from samseg.errors import ImageError, ShardError
from samseg.features import MaskEmbeddings
from samseg.output import Output
from samseg.stages.embed.mask_table import mask_table
from samseg.stages.embed.named_rows import NamedRows
from samseg.stages.embed.not_labelled import NAMED, NotLabelled
from samseg.stages.embed.prefetch import DecodedImage
from samseg.types import LABELLED, RETRIED_ONCE, Image, Int32, Masks, Pooled, Shard

_ERROR_LENGTH = 300
_SHAPES = ("mask_id", "rle")
_STORED = ("mask_id", "image_id", "mask_index", "rle")
WITHOUT_MASKS = b"samseg.without_masks"
"""Key in the metadata of a masks part: the images without masks, as JSON.

Each has `image_id`, `status`, `error`, `width` and `height`. Parts of earlier versions lack it."""
RECIPE = b"samseg.recipe"
"""Key in the metadata of a masks part: the folder's recipe as JSON, if `recipe.json` is lost."""


@dataclass(frozen=True, slots=True)
class ShardResult:
    """What a worker returns for a finished shard.

    Attributes:
        statuses: number of images per status.
        masks: masks committed.
        seconds: worker seconds per step (read, decode, segment, pool).
        committed: False if another attempt had already committed the shard.
        failures: the first images that could not be labelled.
    """

    statuses: Mapping[str, int]
    masks: int
    seconds: Mapping[str, float]
    committed: bool = True
    failures: tuple[NotLabelled, ...] = ()

    @property
    def images(self) -> int:
        """Images of the shard, failed ones included."""
        return sum(self.statuses.values())

    @property
    def failed(self) -> int:
        """Images that could not be labelled."""
        return sum(n for s, n in self.statuses.items() if s not in LABELLED)


class ShardRows:
    """Rows of `images` and `masks` for one shard, in the order in which they are added."""

    def __init__(
        self,
        shard: Shard,
        embeddings: Mapping[str, int] | None = None,
        recipe: Mapping[str, Any] | None = None,
    ):
        """Start with no rows.

        Args:
            shard: the shard.
            embeddings: dimension of each named embedding, by name.
            recipe: the folder's recipe, for the metadata of the masks part.
        """
        self.shard, self._recipe = shard, recipe
        self.masks = 0
        self._named = [NamedRows(name, d) for name, d in (embeddings or {}).items()]
        self._images: list[dict[str, Any]] = []
        self._parts: list[pa.Table] = []
        self._seconds: Counter[str] = Counter()
        self._masks_written = False

    def add(
        self,
        decoded: DecodedImage,
        image: Image,
        masks: Masks,
        pooled: Pooled,
        parent: Int32,
        depth: Int32,
        segment_s: float,
        pool_s: float,
        named: Sequence[MaskEmbeddings] = (),
    ) -> None:
        """Add one labelled image.

        Args:
            decoded: the image as read and decoded.
            image: its pixels, `decoded.image`.
            masks: its n masks.
            pooled: their embeddings.
            parent: (n,) int32, index of the mask that contains each one, -1 if none does.
            depth: (n,) int32, number of masks above each one in the mask hierarchy.
            segment_s: seconds spent segmenting.
            pool_s: seconds spent pooling, and on named embeddings.
            named: the masks' named embeddings, in the order of those given at the start.
        """
        h, w = masks.size
        self._add_image(
            decoded,
            status="ok" if len(masks) else "no_masks",
            format=image.format,
            width=w,
            height=h,
            note=image.note,
            masks=len(masks),
            segment_s=segment_s,
            pool_s=pool_s,
        )
        if len(masks):
            self._parts.append(mask_table(decoded, masks, pooled, parent, depth))
            self.masks += len(masks)
            for rows, found in zip(self._named, named, strict=True):
                rows.add(self._parts[-1]["mask_id"].to_pylist(), found)

    def add_failure(self, decoded: DecodedImage, error: ImageError) -> None:
        """Add one image that could not be labelled."""
        image = decoded.image if isinstance(decoded.image, Image) else None
        self._add_image(
            decoded,
            status=error.status,
            error=" ".join(error.message.split())[:_ERROR_LENGTH],
            format=image.format if image else None,
            width=image.pixels.shape[1] if image else None,
            height=image.pixels.shape[0] if image else None,
            masks=0,
        )

    def put_masks(self, output: Output) -> pa.Table | None:
        """Write the masks part.

        Returns:
            The masks part of another attempt, if there is one with other masks; the rows of images
            are adapted to it, and named embeddings have to be made of its masks.
        """
        self._masks_written = True
        part = pa.concat_tables([schema.MASKS.empty_table(), *self._parts])
        footer = {WITHOUT_MASKS: json.dumps(self._without_masks())}
        if self._recipe is not None:
            footer[RECIPE] = json.dumps(self._recipe)
        part = part.replace_schema_metadata({**part.schema.metadata, **footer})
        key = output.masks_key(self.shard.id)
        if output.storage.put_new(key, schema.encode(part)):
            return None
        stored = output.read(key, list(_STORED))
        self._adapt_to(stored)
        same = stored.select(_SHAPES).equals(part.select(_SHAPES))
        return None if same else stored

    def commit(self, output: Output, named: Sequence[NamedRows] | None = None) -> ShardResult:
        """Write all parts that are not written yet, the images part last.

        Args:
            output: the output folder.
            named: rows of named embeddings, in place of those added with the images.
        """
        if not self._masks_written:
            self.put_masks(output)
        for rows in self._named if named is None else named:
            rows.put(output, self.shard.id)
        self._mark_failed(output)
        images = schema.table_of(self._images, schema.IMAGES)
        committed = output.storage.put_new(output.images_key(self.shard.id), schema.encode(images))
        return ShardResult(
            statuses=Counter(row["status"] for row in self._images),
            masks=self.masks,
            seconds=dict(self._seconds),
            committed=committed,
            failures=tuple(
                NotLabelled(row["key"], row["status"], row["error"])
                for row in [row for row in self._images if row.get("error")][:NAMED]
            ),
        )

    def _mark_failed(self, output: Output) -> None:
        """Mark the shard, before its commit, if images of it will be labelled again once."""
        counts = Counter(row["status"] for row in self._images if row["status"] in RETRIED_ONCE)
        if counts and all(source.retry_of is None for source in self.shard.sources):
            output.storage.put_new(output.failed_key(self.shard.id), json.dumps(counts).encode())

    def _without_masks(self) -> list[dict[str, Any]]:
        columns = ("image_id", "status", "error", "width", "height")
        return [{c: row.get(c) for c in columns} for row in self._images if not row["masks"]]

    def _adapt_to(self, stored: pa.Table) -> None:
        """Take mask counts, statuses and errors from a stored masks part.

        Raises:
            ShardError: it has images that this attempt did not read.
        """
        sizes: dict[str, list[int]] = {}
        counts: dict[str, int] = defaultdict(int)
        for row in stored.select(["image_id", "rle"]).to_pylist():
            counts[row["image_id"]] += 1
            sizes[row["image_id"]] = row["rle"]["size"]
        listed = (stored.schema.metadata or {}).get(WITHOUT_MASKS, b"[]")
        without = {image["image_id"]: image for image in json.loads(listed)}
        unread = (counts.keys() | without.keys()) - {row["image_id"] for row in self._images}
        if unread:
            raise ShardError(
                f"the masks part of shard {self.shard.id} has {len(unread)} images that this "
                f"attempt did not read, {min(unread)} for one; was reader.include or "
                "reader.exclude changed since an interrupted run? Restore it and run again"
            )
        for row in self._images:
            masks = counts.get(row["image_id"], 0)
            if masks and row["status"] != "ok":
                height, width = sizes[row["image_id"]]
                row.update(status="ok", error=None, width=width, height=height)
            elif row["image_id"] in without:
                row.update(without[row["image_id"]])
            elif not masks and row["status"] == "ok":
                row.update(status="no_masks")
            row["masks"] = masks
        self.masks = stored.num_rows

    def _add_image(
        self, decoded: DecodedImage, segment_s: float = 0.0, pool_s: float = 0.0, **columns: Any
    ) -> None:
        raw = decoded.raw
        seconds = {
            "read": decoded.read_s,
            "decode": decoded.decode_s,
            "segment": segment_s,
            "pool": pool_s,
        }
        self._seconds.update(seconds)
        size = len(raw.payload) if isinstance(raw.payload, bytes) else None
        self._images.append(
            {
                "image_id": raw.image_id,
                "key": raw.key,
                "uri": raw.uri,
                "shard_id": self.shard.id,
                "sha256": decoded.sha256,
                "bytes": size,
                "seconds": seconds,
                **columns,
            }
        )
