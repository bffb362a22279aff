"""The export stage: write the tables, shard by shard, in the formats of other tools.

Reads tables only, no images. What is written depends on the committed tables alone, so writing it
again yields the same bytes.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence

import pyarrow as pa

from samseg.errors import CodebookError, StorageError
from samseg.exporters.types import ClassRow, Format, LabelledImage, MaskRow, Written
from samseg.output import Output

_IMAGE_COLUMNS = ["image_id", "key", "uri", "width", "height", "status"]
_MASK_COLUMNS = ["mask_id", "image_id", "bbox", "area", "predicted_iou", "rle"]
_EDIT = 0
"""Number of the newest edit of the classes."""


def export(
    output: Output,
    exporters: Sequence[Format],
    stamp: str,
    on_progress: Callable[[int], None] | None = None,
) -> list[Written]:
    """Write what each format does not have yet, with the classes of the newest codebook.

    The folder of a format is `exports/{kind}/v{codebook}-e{edit}/`, and `-` and a hash of its
    settings follow if these are not the defaults. It is written by parts, one per shard;
    `parts/{shard}.json` is the last object of a part and marks it as complete, so an interrupted
    export resumes, and a night writes what is new. A new codebook begins a new folder.

    Shards that have no classes under the codebook yet are left to a later run. Without a codebook
    the masks have no class, which each format represents in its own way.

    Args:
        output: the output folder.
        exporters: the formats.
        stamp: of this run, for objects that name all parts so far.
        on_progress: called after each shard with the number of images written so far, over all
            formats.

    Returns:
        What this run wrote, one summary per exporter, in order.

    Raises:
        StorageError: an object exists with other contents.
        CodebookError: an assignment refers to a class that the codebook does not have.
        ConfigError: a selected class does not exist.
    """
    labelled = _LabelledImages(output)
    written: list[Written] = []
    for exporter in exporters:
        folder = _ExportFolder(output, exporter.kind, labelled.folder(exporter))
        before = sum(w.images for w in written)
        images = masks = left_out = 0
        _, classes = exporter.chosen((), labelled.classes)
        new = sorted(labelled.ready() - set(folder.parts()))
        for shard in new:
            part = folder.of_part(shard)
            done = _write(exporter, labelled, [shard], part)
            part.put(f"parts/{shard}.json", _record(done, labelled, exporter))
            images, masks = images + done.images, masks + done.masks
            left_out, folder.objects = left_out + done.left_out, folder.objects + part.objects
            if on_progress:
                on_progress(before + images)
        if new:
            exporter.index(classes, folder, stamp)
        written.append(Written(exporter.kind, folder.uri, images, masks, left_out, folder.objects))
    return written


def export_all(
    output: Output,
    exporters: Sequence[Format],
    stamp: str,
    on_progress: Callable[[int], None] | None = None,
) -> list[Written]:
    """Write the whole lake in every format, to `exports/{kind}/{stamp}/`.

    The files are as few as the format allows, which suits tools that load one file. Otherwise as
    `export`. `export.json` is written last and marks the export as complete.

    Raises:
        StorageError: the folder holds another export with this stamp; use another stamp.
        CodebookError: an assignment refers to a class that the codebook does not have.
        ConfigError: a selected class does not exist.
    """
    labelled = _LabelledImages(output)
    written: list[Written] = []
    for exporter in exporters:
        before = sum(w.images for w in written)
        folder = _ExportFolder(output, exporter.kind, stamp)
        shards = sorted(output.committed())
        done = _write(exporter, labelled, shards, folder, before, on_progress)
        folder.put("export.json", _record(done, labelled, exporter))
        written.append(done)
    return written


def _write(
    exporter: Format,
    labelled: "_LabelledImages",
    shards: Iterable[str],
    folder: "_ExportFolder",
    before: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> Written:
    """Write the images of shards; masks that are not selected count as left out."""
    seen = 0

    def counted() -> Iterator[LabelledImage]:
        nonlocal seen
        for image in labelled.images(shards, before, on_progress):
            seen += len(image.masks)
            yield image

    images, classes = exporter.chosen(counted(), labelled.classes)
    done = exporter.write(images, classes, folder)
    return Written(done.kind, done.uri, done.images, done.masks, seen - done.masks, done.objects)


def _record(done: Written, labelled: "_LabelledImages", exporter: Format) -> bytes:
    record = {
        "kind": done.kind,
        "codebook": labelled.version,
        "settings": exporter.settings(),
        "images": done.images,
        "masks": done.masks,
        "masks_left_out": done.left_out,
        "objects": done.objects,
    }
    return (json.dumps(record, indent=2) + "\n").encode()


class _ExportFolder:
    """A folder of one format, or one part of it; see `samseg.exporters.types.Target`."""

    def __init__(self, output: Output, kind: str, stamp: str, part: str = ""):
        self._output, self._kind = output, kind
        self.stamp, self.part = stamp, part
        self.objects = 0

    @property
    def uri(self) -> str:
        return self._output.storage.uri_of(self._key("")).rstrip("/")

    def of_part(self, part: str) -> "_ExportFolder":
        """Return the same folder, for one part."""
        return _ExportFolder(self._output, self._kind, self.stamp, part)

    def put(self, name: str, payload: bytes) -> None:
        if not self.offer(name, payload):
            raise StorageError(
                f"{self._output.storage.uri_of(self._key(name))} exists from another export to "
                f"{self.stamp} and has different content; export again with `--all`, which writes "
                "to a folder of its own"
            )

    def offer(self, name: str, payload: bytes) -> bool:
        storage, key = self._output.storage, self._key(name)
        if not storage.put_new(key, payload) and storage.get(key) != payload:
            return False
        self.objects += 1
        return True

    def parts(self) -> list[str]:
        names = (stored.key for stored in self._output.storage.list(self._key("parts/")))
        return sorted(name.rpartition("/")[2].removesuffix(".json") for name in names)

    def _key(self, name: str) -> str:
        return self._output.export_key(self._kind, self.stamp, name)


class _LabelledImages:
    """The committed tables under the newest codebook."""

    def __init__(self, output: Output):
        self._output = output
        self.version = max(output.codebook_versions(), default=None)
        self.classes = tuple(self._classes())
        self._assigned = set() if self.version is None else output.assigned(self.version)

    def folder(self, exporter: Format) -> str:
        """Return the name of the folder that an exporter writes to by parts."""
        name, settings = f"v{self.version or 0}-e{_EDIT}", exporter.settings()
        if not settings:
            return name
        text = json.dumps(settings, sort_keys=True)
        return f"{name}-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"

    def ready(self) -> set[str]:
        """Return the committed shards whose masks have classes, if there are any."""
        committed = self._output.committed()
        return committed if self.version is None else committed & self._assigned

    def images(
        self,
        shards: Iterable[str],
        done: int = 0,
        on_progress: Callable[[int], None] | None = None,
    ) -> Iterator[LabelledImage]:
        """Yield the segmented images of shards, one shard in memory at a time."""
        for shard in shards:
            masks = self._masks(shard)
            columns = self._output.read(self._output.images_key(shard), _IMAGE_COLUMNS)
            for row in columns.to_pylist():
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
