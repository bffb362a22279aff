"""The labelled images of an output folder: its tables, joined shard by shard without embeddings."""

import hashlib
from collections.abc import Iterable, Iterator

import pyarrow as pa

from samseg.errors import CodebookError
from samseg.exporters.types import ClassRow, LabelledImage, MaskRow
from samseg.output import Output
from samseg.superseded import superseded
from samseg.types import LABELLED

_IMAGE_COLUMNS = ["image_id", "key", "uri", "width", "height", "status"]
_MASK_COLUMNS = ["mask_id", "image_id", "bbox", "area", "predicted_iou", "rle"]


class LabelledImages:
    """The committed images of an output folder, under its newest codebook.

    Attributes:
        version: of the codebook, None if there is none yet. Then the masks have no class.
        classes: its classes, ascending by id.
    """

    def __init__(self, output: Output):
        """List what is committed and assigned; only the classes are read yet."""
        self._output = output
        self.version = max(output.codebook_versions(), default=None)
        self.classes = tuple(self._classes())
        self._committed = output.committed()
        self._assigned = set() if self.version is None else output.assigned(self.version)
        self._superseded = superseded(output, self._committed)

    @property
    def shards(self) -> list[str]:
        """The committed shards, sorted."""
        return sorted(self._committed)

    @property
    def digest(self) -> str:
        """A hash of the shards and of which of them have classes, 8 hex digits."""
        rows = [f"{shard} {shard in self._assigned}" for shard in self.shards]
        return hashlib.blake2b("\n".join(rows).encode(), digest_size=4).hexdigest()

    def ready(self) -> set[str]:
        """Return the committed shards whose masks have classes; without a codebook, all."""
        return self._committed if self.version is None else self._committed & self._assigned

    def images(self, shards: Iterable[str]) -> Iterator[LabelledImage]:
        """Yield the segmented images of shards, one shard in memory at a time.

        Args:
            shards: their ids.

        Raises:
            CodebookError: an assignment refers to a class that the codebook does not have.
        """
        for shard in shards:
            masks = self._masks(shard)
            columns = self._output.read(self._output.images_key(shard), _IMAGE_COLUMNS)
            elsewhere = self._superseded.get(shard, ())
            for row in columns.to_pylist():
                if row["status"] in LABELLED and row["image_id"] not in elsewhere:
                    yield LabelledImage(
                        image_id=row["image_id"],
                        key=row["key"],
                        width=row["width"],
                        height=row["height"],
                        uri=row["uri"],
                        masks=masks.get(row["image_id"], ()),
                    )

    def _classes(self) -> Iterator[ClassRow]:
        if self.version is None:
            return
        key = self._output.codebook_key(self.version, "classes.parquet")
        table = self._output.read(key, ["class_id", "name", "status"]).sort_by("class_id")
        for row in table.to_pylist():
            if row["status"] != "retired":
                yield ClassRow(row["class_id"], row["name"] or f"class {row['class_id']}")

    def _masks(self, shard: str) -> dict[str, list[MaskRow]]:
        """Return the masks of a shard by image."""
        class_of = self._class_of(shard)
        table = self._output.read(self._output.masks_key(shard), _MASK_COLUMNS)
        by_image: dict[str, list[MaskRow]] = {}
        for row in table.to_pylist():
            box = row["bbox"]
            mask = MaskRow(
                mask_id=row["mask_id"],
                class_id=class_of.get(row["mask_id"]),
                bbox=(box["x"], box["y"], box["w"], box["h"]),
                area=row["area"],
                predicted_iou=row["predicted_iou"],
                rle=row["rle"],
            )
            by_image.setdefault(row["image_id"], []).append(mask)
        return by_image

    def _class_of(self, shard: str) -> dict[str, int]:
        if self.version is None or shard not in self._assigned:
            return {}
        key = self._output.assignments_key(self.version, shard)
        table: pa.Table = self._output.read(key, ["mask_id", "class_id"])
        class_of = dict(zip(*(table[c].to_pylist() for c in table.column_names), strict=True))
        unknown = sorted(set(class_of.values()) - {c.class_id for c in self.classes} - {-1})
        if unknown:
            raise CodebookError(
                f"the assignments of shard {shard} refer to the classes {unknown[:5]}, which "
                f"codebook {self.version} of {self._output.uri} does not have; "
                "run `samseg cluster --refit`"
            )
        return class_of
