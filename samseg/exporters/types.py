"""What exporters are given and what they give back; the formats have a file each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class of the codebook.

    Attributes:
        class_id: never `NOISE`; noise is no class.
        name: what people call it.
    """

    class_id: int
    name: str


@dataclass(frozen=True, slots=True)
class MaskRow:
    """One mask with its class.

    Attributes:
        mask_id: its id in the table `masks`.
        class_id: its class, `NOISE`, or None when no codebook has been asked yet.
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
    """One image that was segmented, with all its masks (possibly none).

    Attributes:
        image_id: its id in the table `images`.
        key: its name in the lake. Anyone who can add an image chooses it: never a safe path.
        width: px, upright.
        height: px, upright.
        masks: in the order of the table.
    """

    image_id: str
    key: str
    width: int
    height: int
    masks: Sequence[MaskRow]


@dataclass(frozen=True, slots=True)
class Written:
    """What one exporter wrote.

    Attributes:
        kind: the exporter's kind.
        uri: folder of the export.
        images: images written.
        masks: masks written.
        left_out: masks of noise or without a class that were left out.
        objects: objects in the folder.
    """

    kind: str
    uri: str
    images: int
    masks: int
    left_out: int
    objects: int


class Target(Protocol):
    """The folder that one export goes to."""

    @property
    def uri(self) -> str:
        """Where the folder is."""
        ...

    @property
    def stamp(self) -> str:
        """Name of this export among those of its kind: that of the night."""
        ...

    @property
    def objects(self) -> int:
        """Objects put so far."""
        ...

    def put(self, name: str, payload: bytes) -> None:
        """Create one object. Putting the same bytes again changes nothing and is no error.

        Args:
            name: `/`-separated, below the folder. Never text from outside.
            payload: the whole object; it must depend on the export's input alone, so that a
                second run gives the same bytes.

        Raises:
            StorageError: other bytes stand there, or the store failed.
        """
        ...


class Format(Protocol):
    """The plug point: a spec with a `kind` and this verb."""

    @property
    def kind(self) -> str:
        """Name of the format; also of the folder below `exports/`."""
        ...

    def write(
        self, images: Iterable[LabelledImage], classes: Sequence[ClassRow], target: Target
    ) -> Written:
        """Write `images` in this format, consuming them once, in bounded memory.

        Args:
            images: in a fixed order; every class of a mask is in `classes`.
            classes: ascending by id.
            target: where to.
        """
        ...
