"""Input and result types of exporters, and the protocol that an exporter implements."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class of the codebook after all edits.

    Attributes:
        class_id: never `NOISE`.
        name: display name.
    """

    class_id: int
    name: str


@dataclass(frozen=True, slots=True)
class MaskRow:
    """One mask with its class.

    Attributes:
        mask_id: its id in the table `masks`.
        class_id: its class, `NOISE`, or None if it has not been assigned yet or its class is
            ignored.
        bbox: (x, y, w, h), px of the upright original image.
        area: px.
        predicted_iou: the decoder's own estimate.
        rle: COCO compressed, `{"size": [h, w], "counts": str}`.
    """

    mask_id: str
    class_id: int | None
    bbox: tuple[int, int, int, int]
    area: int
    predicted_iou: float
    rle: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One segmented image with all its masks, possibly none.

    Attributes:
        image_id: its id in the table `images`.
        key: its name in the lake. Untrusted: not a safe path.
        width: px, upright.
        height: px, upright.
        uri: its address in the lake; `tar://{member}::{uri of the tar}` for an image in a tar.
        masks: its masks, in the order of the table.
    """

    image_id: str
    key: str
    width: int
    height: int
    uri: str
    masks: Sequence[MaskRow]


@dataclass(frozen=True, slots=True)
class Written:
    """Counts of what one exporter wrote.

    Attributes:
        kind: the exporter's kind.
        uri: the folder of the export.
        images: images written.
        masks: masks written.
        left_out: masks that were not written: noise, without a class, or without a visible pixel
            in a format of one label per pixel.
        objects: objects in the folder.
        earlier: shards that folders of earlier edits have, with the names that held then.
    """

    kind: str
    uri: str
    images: int
    masks: int
    left_out: int
    objects: int
    earlier: int = 0

    def with_part(self, part: "Written") -> "Written":
        """Return the counts with those of a part of the folder added."""
        counts = ("images", "masks", "left_out", "objects")
        return replace(self, **{name: getattr(self, name) + getattr(part, name) for name in counts})


class Target(Protocol):
    """The destination folder of one export: the whole lake, or one part of it (one shard)."""

    @property
    def uri(self) -> str:
        """URI of the folder."""
        ...

    @property
    def stamp(self) -> str:
        """Name of the folder among those of its kind."""
        ...

    @property
    def origin(self) -> Mapping[str, Any]:
        """What is exported, by which `samseg import` recognises the file; see `ExportOrigin`."""
        ...

    @property
    def part(self) -> str:
        """Name of the part, for objects that hold many images; empty for the whole lake."""
        ...

    @property
    def objects(self) -> int:
        """Number of objects put so far."""
        ...

    def put(self, name: str, payload: bytes) -> None:
        """Create one object. Putting the same bytes again changes nothing and is no error.

        Args:
            name: path below the folder, `/`-separated. Never untrusted text.
            payload: the whole object. It must depend on the export's input only, so that a second
                run writes the same bytes.

        Raises:
            StorageError: the object exists with other bytes, or the store failed.
        """
        ...

    def offer(self, name: str, payload: bytes) -> bool:
        """Create one object like `put`; return False if it exists with other bytes."""
        ...

    def read(self, name: str) -> bytes:
        """Return one object of the folder.

        Raises:
            StorageError: it does not exist, or the store failed.
        """
        ...


class Format(Protocol):
    """The interface of an exporter: a `Selection` with a `kind` and `write`."""

    @property
    def kind(self) -> str:
        """Name of the format and of its folder below `exports/`."""
        ...

    def write(
        self, images: Iterable[LabelledImage], classes: Sequence[ClassRow], target: Target
    ) -> Written:
        """Write `images` in this format, consuming them once, in bounded memory.

        Parts of a lake are written one by one to one folder: an object that holds many images has
        `target.part` in its name, and all others depend on their image or on the classes only.

        Args:
            images: the images, in a fixed order; every class of a mask is in `classes`.
            classes: the classes, ascending by id.
            target: the destination folder.
        """
        ...

    def chosen(
        self, images: Iterable[LabelledImage], classes: Sequence[ClassRow]
    ) -> tuple[Iterable[LabelledImage], Sequence[ClassRow]]:
        """Return the images, masks and classes that the export is restricted to."""
        ...

    def settings(self) -> dict[str, Any]:
        """Return the settings that are not the defaults, as plain data."""
        ...

    def index(self, classes: Sequence[ClassRow], target: Target, parts: Sequence[str]) -> None:
        """Write the objects that name all parts of a folder, if the format needs any.

        Called at the end of every run: what exists is kept. More parts may follow, so the names of
        these objects have the number of parts.

        Args:
            classes: the classes, ascending by id.
            target: the folder.
            parts: the names of its complete parts, sorted.
        """
        ...
