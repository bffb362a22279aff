"""What one try found, as it is kept for the next one to be compared with."""

from pathlib import Path

from samseg.spec import Spec

FILE = "try.json"


class TriedImage(Spec):
    """One image of a try.

    Attributes:
        key: of the image in the lake.
        masks: number of its masks.
        seconds: for its masks and embeddings.
        error: why it has no masks; empty if it was read.
        picture: the image with its masks, a data URI.
    """

    key: str
    masks: int = 0
    seconds: float = 0.0
    error: str = ""
    picture: str = ""


class Tried(Spec):
    """One try.

    Attributes:
        lake: URI of the lake.
        settings: the overrides, as given.
        classes: number of classes in these images.
        noise: number of masks without a class.
        images: the images, in key order.
    """

    lake: str
    settings: tuple[str, ...]
    classes: int
    noise: int
    images: tuple[TriedImage, ...]

    @property
    def masks(self) -> int:
        """Masks of all images."""
        return sum(image.masks for image in self.images)

    @property
    def seconds(self) -> float:
        """Seconds for all images, without loading the model."""
        return sum(image.seconds for image in self.images)

    def __str__(self) -> str:
        return (
            f"{self.masks} masks in {len(self.images)} images, {self.classes} classes, "
            f"{self.noise} noise, {self.seconds:.1f} s"
        )


def last_try(folder: Path, lake: str) -> Tried | None:
    """Return the last try on this lake that is kept in a folder, None if there is none."""
    try:
        found = Tried.model_validate_json((folder / FILE).read_bytes())
    except (OSError, ValueError):  # none yet, or of another version
        return None
    return found if found.lake == lake else None
