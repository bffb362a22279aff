"""A corrected export as the tables of samseg know it, whatever its format."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from samseg.exporters.origin import ExportOrigin

Rle = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FileCategory:
    """A category of the file, or a label of it.

    Attributes:
        key: by which the masks of the file refer to it.
        name: as the file has it.
        class_id: of the class that it was exported for; None where the file does not say, or where
            it is new.
    """

    key: Hashable
    name: str
    class_id: int | None


@dataclass(frozen=True, slots=True)
class FileMask:
    """A mask as the file has it.

    Attributes:
        what: it, for messages.
        mask_id: its id in the table `masks`; None where the file does not say.
        number: of its annotation.
        category: key of its category.
        redrawn: given the RLE that was exported, returns that of the file, or None if it is the
            same; None where the file has no outlines. Raises a `ConfigError` for an outline that
            cannot be.
    """

    what: str
    mask_id: str | None
    number: int | None
    category: Hashable
    redrawn: Callable[[Rle], Rle | None] | None


@dataclass(frozen=True, slots=True)
class FileImage:
    """An image as the file has it.

    Attributes:
        masks: its masks.
        whole: whether masks that are missing here were deleted, else the file has a part of them.
        others: annotations that are no masks.
    """

    masks: Sequence[FileMask]
    whole: bool = True
    others: int = 0


class CorrectedFile(Protocol):
    """A file of one format."""

    @property
    def name(self) -> str:
        """Name of the file, for messages."""
        ...

    @property
    def origin(self) -> ExportOrigin:
        """The export that was corrected."""
        ...

    @property
    def categories(self) -> Sequence[FileCategory]:
        """The categories."""
        ...

    @property
    def lists_categories(self) -> bool:
        """Whether the file lists all categories, not only those of its masks."""
        ...

    @property
    def unseen(self) -> int:
        """Number of images that nobody has looked at."""
        ...

    @property
    def images(self) -> Sequence[str]:
        """Ids of the images that a person has seen."""
        ...

    def image(self, image_id: str) -> FileImage:
        """Return one image with its masks.

        Raises:
            ConfigError: it is not as the format has it.
        """
        ...
