"""The export stage: write the tables, shard by shard, in the formats of other tools.

Reads tables only, no images, in maps on the engine. What is written depends on the committed tables
alone, so writing it again yields the same bytes, and an interrupted export resumes. Of two photos
whose objects have one name (`exporters.pairing`), the one that is written first has it.
"""

import hashlib
import json
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from samseg.engine.local import Local
from samseg.engine.protocol import Attempt, Engine, Heartbeat, Slot, Task
from samseg.errors import DamagedError
from samseg.exporters.origin import ExportOrigin
from samseg.exporters.types import Format, LabelledImage, Written
from samseg.output import Output
from samseg.stages.labelled_images import LabelledImages
from samseg.stages.table_map import PerItem, alive, results, tasks_of

_STAMP = re.compile(r"(?P<codebook>v[0-9]+)-e[0-9]+(?P<rest>(-[0-9a-f]{8})?)")
"""Folder of a format by parts."""


def export(
    output: Output,
    exporters: Sequence[Format],
    engine: Engine | None = None,
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
        engine: runs a map over the shards per format; None for this process.
        on_progress: called with the number of images written so far, over all formats.

    Returns:
        What this run wrote, one summary per exporter, in order.

    Raises:
        StorageError: an object exists with other contents.
        CodebookError: an assignment refers to a class that the codebook does not have.
        ConfigError: a selected class does not exist.
    """
    labelled, engine = LabelledImages(output), engine or Local()
    origin = partial(_origin, output, labelled)
    written: list[Written] = []
    for exporter in exporters:
        folder = _ExportFolder(output, exporter.kind, _name(labelled, exporter), origin(exporter))
        before = sum(w.images for w in written)
        total = Written(exporter.kind, folder.uri, 0, 0, 0, 0)
        _, classes = exporter.chosen((), labelled.classes)
        complete = folder.parts()
        earlier = (folder.earlier_parts() & labelled.ready()) - complete
        total = replace(total, earlier=len(earlier))
        todo = sorted(labelled.ready() - complete - earlier)
        spec = PartsSpec(labelled, exporter, folder)
        for parts in results(engine, spec.build, tasks_of(todo)):
            for part in parts:
                total = total.with_part(part)
            if on_progress:
                on_progress(before + total.images)
        if every := sorted(complete | {*todo}):
            exporter.index(classes, folder, every)
        written.append(total)
    return written


def export_all(
    output: Output,
    exporters: Sequence[Format],
    engine: Engine | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> list[Written]:
    """Write the whole lake in every format, in as few files as the format allows.

    This suits tools that load one file. The folder is the one of `export` with `-all-` and a hash
    of the shards appended; `export.json` is written last and marks it as complete. It is not
    written again until the lake or the classes have changed. Otherwise as `export`.

    Returns:
        What the folders contain, one summary per exporter, in order.
    """
    labelled, engine = LabelledImages(output), engine or Local()
    origin = partial(_origin, output, labelled)
    written: list[Written] = []
    for exporter in exporters:
        name = f"{_name(labelled, exporter)}-all-{labelled.digest}"
        folder = _ExportFolder(output, exporter.kind, name, origin(exporter))
        done = folder.complete()
        if done is None:
            spec = WholeSpec(labelled, exporter, folder)
            (done,) = results(engine, spec.build, [Task(exporter.kind, None)])
        written.append(done)
        if on_progress:
            on_progress(sum(w.images for w in written))
    return written


@dataclass(frozen=True, slots=True)
class PartsSpec(PerItem[str, Written]):
    """What the workers of an export by parts receive.

    Attributes:
        labelled: the images.
        exporter: the format.
        folder: the destination.
    """

    labelled: LabelledImages
    exporter: Format
    folder: "_ExportFolder"

    def of_item(self, item: str) -> Written:
        """Write one shard as a part."""
        part = self.folder.of_part(item)
        done = _write(self.exporter, self.labelled, [item], part)
        part.put(f"parts/{item}.json", _record(done, self.labelled, self.exporter))
        return Written(done.kind, done.uri, done.images, done.masks, done.left_out, part.objects)


@dataclass(frozen=True, slots=True)
class WholeSpec:
    """What the worker of a whole export receives; see `PartsSpec`."""

    labelled: LabelledImages
    exporter: Format
    folder: "_ExportFolder"

    def build(self, slot: Slot) -> Callable[..., Generator[Heartbeat, None, Written]]:
        """Return the work; there is nothing to load."""
        return partial(self._work, slot)

    def _work(
        self, slot: Slot, task: Task[None], attempt: Attempt[None]
    ) -> Generator[Heartbeat, None, Written]:
        done = yield from alive(task.id, slot, self._written)
        self.folder.put("export.json", _record(done, self.labelled, self.exporter))
        return done

    def _written(self) -> Written:
        return _write(self.exporter, self.labelled, self.labelled.shards, self.folder)


def counts_of(written: Iterable[Written]) -> dict[str, Any]:
    """Return what was written by kind, and by folder where a kind occurs again."""
    counts: dict[str, Any] = {}
    for w in written:
        folder = "/".join(w.uri.rsplit("/", 2)[1:])
        counts[folder if w.kind in counts else w.kind] = asdict(w)
    return counts


def _name(labelled: LabelledImages, exporter: Format) -> str:
    """Return the name of the folder that an exporter writes to by parts."""
    name, settings = f"v{labelled.version or 0}-e{labelled.edit}", exporter.settings()
    if not settings:
        return name
    text = json.dumps(settings, sort_keys=True)
    return f"{name}-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"


def _origin(output: Output, labelled: LabelledImages, exporter: Format) -> dict[str, Any]:
    """Return what files say of the state that they show; nothing without classes."""
    if labelled.version is None:
        return {}
    settings = exporter.settings()
    return ExportOrigin(
        folder=folder_hash(output, labelled.version),
        codebook=labelled.version,
        edit=labelled.edit,
        kind=exporter.kind,
        settings=settings,
    ).model_dump()


def folder_hash(output: Output, version: int) -> str:
    """Return a hash by which a folder with this codebook is recognised, 16 hex digits."""
    manifest = output.storage.get(output.codebook_key(version, "codebook.json"))
    return hashlib.blake2b(manifest, digest_size=8).hexdigest()


def _write(
    exporter: Format,
    labelled: LabelledImages,
    shards: Iterable[str],
    folder: "_ExportFolder",
) -> Written:
    """Write the images of shards; masks that are not selected count as left out."""
    seen = 0

    def counted() -> Iterator[LabelledImage]:
        nonlocal seen
        for image in labelled.images(shards):
            seen += len(image.masks)
            yield image

    images, classes = exporter.chosen(counted(), labelled.classes)
    done = exporter.write(images, classes, folder)
    return Written(done.kind, done.uri, done.images, done.masks, seen - done.masks, done.objects)


def _record(done: Written, labelled: LabelledImages, exporter: Format) -> bytes:
    record = {
        "kind": done.kind,
        "codebook": labelled.version,
        **({"edit": labelled.edit} if labelled.edit else {}),
        "settings": exporter.settings(),
        "images": done.images,
        "masks": done.masks,
        "masks_left_out": done.left_out,
        "objects": done.objects,
    }
    return (json.dumps(record, indent=2) + "\n").encode()


class _ExportFolder:
    """A folder of one format, or one part of it; see `samseg.exporters.types.Target`."""

    def __init__(
        self,
        output: Output,
        kind: str,
        stamp: str,
        origin: Mapping[str, Any],
        part: str = "",
    ):
        self._output, self._kind = output, kind
        self.stamp, self.origin, self.part = stamp, origin, part
        self.objects = 0

    @property
    def uri(self) -> str:
        return self._output.storage.uri_of(self._key("")).rstrip("/")

    def of_part(self, part: str) -> "_ExportFolder":
        """Return the same folder, for one part."""
        return _ExportFolder(self._output, self._kind, self.stamp, self.origin, part)

    def put(self, name: str, payload: bytes) -> None:
        if not self.offer(name, payload):
            raise DamagedError(
                f"{self._output.storage.uri_of(self._key(name))} exists from another export to "
                f"{self.stamp} and has different content; move or delete that folder, and export "
                "again"
            )

    def offer(self, name: str, payload: bytes) -> bool:
        storage, key = self._output.storage, self._key(name)
        if not storage.put_new(key, payload) and storage.get(key) != payload:
            return False
        self.objects += 1
        return True

    def read(self, name: str) -> bytes:
        return self._output.storage.get(self._key(name))

    def parts(self) -> set[str]:
        """Return the names of the complete parts."""
        stored = self._output.storage.list(self._key("parts/"))
        return {s.key.rpartition("/")[2].removesuffix(".json") for s in stored}

    def earlier_parts(self) -> set[str]:
        """Return the parts that the folders of other edits of the same classes have."""
        same = _STAMP.fullmatch(self.stamp)
        others = self._output.storage.folders(f"exports/{self._kind}/") - {self.stamp}
        found: set[str] = set()
        for stamp in others:
            other = _STAMP.fullmatch(stamp)
            if same and other and same.group("codebook", "rest") == other.group("codebook", "rest"):
                found |= _ExportFolder(self._output, self._kind, stamp, {}).parts()
        return found

    def complete(self) -> Written | None:
        """Return what the folder contains if it has been written as a whole."""
        key = self._key("export.json")
        if not self._output.storage.exists(key):
            return None
        record = self._output.read_json(key)
        counts = (record[c] for c in ("images", "masks", "masks_left_out", "objects"))
        return Written(self._kind, self.uri, *counts)

    def _key(self, name: str) -> str:
        return self._output.export_key(self._kind, self.stamp, name)
