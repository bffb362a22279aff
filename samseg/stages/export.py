"""The export stage: write the tables, shard by shard, in the formats of other tools.

Reads tables only, no images. The output depends on the committed tables alone, so another run with
the same stamp writes the same bytes.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence

import pyarrow as pa

from samseg.errors import CodebookError, StorageError
from samseg.exporters.types import ClassRow, Format, LabelledImage, MaskRow, Written
from samseg.output import Output

_IMAGE_COLUMNS = ["image_id", "key", "uri", "width", "height", "status"]
_MASK_COLUMNS = ["mask_id", "image_id", "bbox", "area", "predicted_iou", "rle"]


def export(
    output: Output,
    exporters: Sequence[Format],
    stamp: str,
    on_progress: Callable[[int], None] | None = None,
) -> list[Written]:
    """Write every segmented image in every format, with the classes of the newest codebook.

    Without a codebook the masks have no class, which each format represents in its own way.

    Args:
        output: the output folder.
        exporters: the formats.
        stamp: names the folder `exports/{kind}/{stamp}/`. Its `export.json` is written last and
            marks the export as complete.
        on_progress: called after each shard with the number of images written so far, over all
            formats.

    Returns:
        One summary per exporter, in order.

    Raises:
        StorageError: the folder holds another export with this stamp; use another stamp.
        CodebookError: an assignment refers to a class that the codebook does not have.
    """
    version = max(output.codebook_versions(), default=None)
    classes = list(_classes(output, version))
    shards = sorted(output.committed())
    written: list[Written] = []
    for exporter in exporters:
        before = sum(w.images for w in written)
        images = _images(output, shards, version, classes, before, on_progress)
        target = _ExportFolder(output, exporter.kind, stamp)
        done = exporter.write(images, classes, target)
        record = {
            "kind": done.kind,
            "codebook": version,
            "images": done.images,
            "masks": done.masks,
            "masks_left_out": done.left_out,
            "objects": done.objects,
        }
        target.put("export.json", (json.dumps(record, indent=2) + "\n").encode())
        written.append(done)
    return written


class _ExportFolder:
    """`exports/{kind}/{stamp}/`; see `samseg.exporters.types.Target`."""

    def __init__(self, output: Output, kind: str, stamp: str):
        self._output = output
        self._kind = kind
        self.stamp = stamp
        self.objects = 0

    @property
    def uri(self) -> str:
        return self._output.storage.uri_of(self._key("")).rstrip("/")

    def put(self, name: str, payload: bytes) -> None:
        storage, key = self._output.storage, self._key(name)
        if not storage.put_new(key, payload) and storage.get(key) != payload:
            raise StorageError(
                f"{storage.uri_of(key)} exists from another export with the stamp {self.stamp} "
                "and has different content; export with another stamp"
            )
        self.objects += 1

    def _key(self, name: str) -> str:
        return self._output.export_key(self._kind, self.stamp, name)


def _classes(output: Output, version: int | None) -> Iterator[ClassRow]:
    if version is None:
        return
    key = output.codebook_key(version, "classes.parquet")
    rows = output.read(key, ["class_id", "name", "status"]).sort_by("class_id").to_pylist()
    for row in rows:
        if row["status"] != "retired":
            yield ClassRow(row["class_id"], row["name"] or f"class {row['class_id']}")


def _images(
    output: Output,
    shards: Iterable[str],
    version: int | None,
    classes: Iterable[ClassRow],
    done: int,
    on_progress: Callable[[int], None] | None,
) -> Iterator[LabelledImage]:
    """Yield the images of all shards, one shard in memory at a time."""
    known = {c.class_id for c in classes} | {None, -1}
    assigned = set() if version is None else output.assigned(version)
    for shard in shards:
        class_of: dict[str, int] = {}
        if version is not None and shard in assigned:
            rows = output.read(output.assignments_key(version, shard), ["mask_id", "class_id"])
            class_of = dict(
                zip(*(rows[c].to_pylist() for c in ("mask_id", "class_id")), strict=True)
            )
            unknown = sorted(set(class_of.values()) - known)
            if unknown:
                raise CodebookError(
                    f"the assignments of shard {shard} refer to the classes {unknown[:5]}, which "
                    f"codebook {version} of {output.uri} does not have; "
                    "run `samseg cluster --refit`"
                )
        masks = _masks(output.read(output.masks_key(shard), _MASK_COLUMNS), class_of)
        for row in output.read(output.images_key(shard), _IMAGE_COLUMNS).to_pylist():
            if row["status"] in ("ok", "no_masks"):
                yield LabelledImage(
                    image_id=row["image_id"],
                    key=row["key"],
                    width=row["width"],
                    height=row["height"],
                    uri=row["uri"],
                    masks=masks.get(row["image_id"], ()),
                )
                done += 1
        if on_progress:
            on_progress(done)


def _masks(table: pa.Table, class_of: dict[str, int]) -> dict[str, list[MaskRow]]:
    """Group the masks of a shard by image."""
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
