"""The labelled images of an output folder: its tables, joined shard by shard without embeddings."""

import hashlib
from collections.abc import Iterable, Iterator

import pyarrow.compute as pc

from samseg.edits.log import read_log
from samseg.edits.replay import replay
from samseg.errors import CodebookError
from samseg.exporters.types import ClassRow, LabelledImage, MaskRow
from samseg.output import Output
from samseg.stages.edits.outlines import outlines_in
from samseg.stages.edits.resolution import resolved, resolved_after
from samseg.stages.edits.shard_classes import lacking_members, members_of
from samseg.superseded import superseded
from samseg.types import IGNORED, LABELLED, NOISE

_IMAGE_COLUMNS = ["image_id", "key", "uri", "width", "height", "status"]
_OWN = ["mask_id", "class_id"]
_MASK_COLUMNS = ["mask_id", "image_id", "bbox", "area", "predicted_iou", "rle"]


class LabelledImages:
    """The committed images of an output folder, under its newest codebook or an earlier state.

    Attributes:
        version: of the codebook, None if there is none yet. Then the masks have no class.
        edit: number of the newest edit of the classes, 0 if there is none.
        classes: its classes after all edits, ascending by id, without ignored ones.
    """

    def __init__(self, output: Output, state: tuple[int, int] | None = None):
        """List what is committed and assigned; only the classes are read yet.

        Args:
            output: the output folder.
            state: version of the codebook and number of the last edit; those of now by default.
        """
        self._output = output
        if state is None:
            self.version = max(output.codebook_versions(), default=None)
            self._resolved = resolved(output, self.version)
        else:
            version, edit = state
            self.version = version
            self._resolved = resolved_after(output, version, replay(read_log(output)[:edit]))
        self.edit = self._resolved.edit
        kept = (c for c in self._resolved.current if c not in self._resolved.ignored)
        self.classes = tuple(ClassRow(c, self._resolved.name(c)) for c in kept)
        self._committed = output.committed()
        self._assigned = set() if self.version is None else output.assigned(self.version)
        if self.version is not None:
            self._assigned -= lacking_members(output, self.version, self._resolved)
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

    def _masks(self, shard: str) -> dict[str, list[MaskRow]]:
        """Return the masks of a shard by image."""
        class_of = self._class_of(shard)
        table = self._output.read(self._output.masks_key(shard), _MASK_COLUMNS)
        outlines = outlines_in(self._output, self._resolved, table["mask_id"])
        by_image: dict[str, list[MaskRow]] = {}
        for row in table.to_pylist():
            row |= outlines.get(row["mask_id"], {})
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
        """Return the class of each mask of a shard; ignored classes and masks are left out."""
        if self.version is None or shard not in self._assigned:
            return {}
        found, key = self._resolved, self._output.assignments_key(self.version, shard)
        table = self._output.read(key) if found.cells.num_rows else self._output.read(key, _OWN)
        unknown = sorted({*pc.unique(table["class_id"]).to_pylist()} - found.rows.keys() - {NOISE})
        if unknown:
            raise CodebookError(
                f"the assignments of shard {shard} refer to the classes {unknown[:5]}, which "
                f"codebook {self.version} of {self._output.uri} does not have; "
                "run `samseg cluster --refit`"
            )
        members = members_of(self._output, self.version, shard, found)
        classes = found.class_ids(table, members).tolist()
        pairs = zip(table["mask_id"].to_pylist(), classes, strict=True)
        ignored = found.ignored | {IGNORED}
        return {mask: class_id for mask, class_id in pairs if class_id not in ignored}
