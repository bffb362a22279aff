"""The contents of a night's page, as values in memory. `samseg.views.report` renders them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class PageImage:
    """A crop around one mask.

    Attributes:
        src: `data:` URI, or None if the image could not be fetched.
        key: name of the photo.
        note: alternative text, or why `src` is None.
        image_id: of the photo; it is enlarged too if it is on the page.
    """

    src: str | None
    key: str
    note: str = ""
    image_id: str = ""


@dataclass(frozen=True, slots=True)
class PagePhoto:
    """A whole photo and its masks.

    Attributes:
        image_id: its id.
        key: its name.
        src: `data:` URI of the photo, or None if it could not be fetched.
        masks_src: `data:` URI of its masks on a transparent ground, in the colours of their
            classes.
        size: (height, width) of both, px.
        note: why `src` is None.
        classes: (class id, name, number of masks) of its classes, most masks first.
        is_new: whether this night labelled it.
    """

    image_id: str
    key: str
    src: str | None = None
    masks_src: str | None = None
    size: tuple[int, int] = (3, 4)
    note: str = ""
    classes: Sequence[tuple[int, str, int]] = ()
    is_new: bool = False

    @property
    def ratio(self) -> float:
        """Width over height, limited to what a row of photos can show."""
        return round(min(max(self.size[1] / self.size[0], 0.5), 3.0), 3)


@dataclass(frozen=True, slots=True)
class PhotoRow:
    """A row of the list of photos.

    Attributes:
        image_id: its id.
        key: its name.
        masks: number of its masks.
        status: value of `status` in `images`.
        address: where it lies; it is a link if browsers can open it.
        is_new: whether this night labelled it.
    """

    image_id: str
    key: str
    masks: int
    status: str
    address: str = ""
    is_new: bool = False

    @property
    def link(self) -> str | None:
        """The address as a URL, if it is of a kind that browsers open."""
        scheme, _, path = self.address.partition("://")
        return f"{scheme}://{quote(path)}" if scheme in ("file", "http", "https") else None


@dataclass(frozen=True, slots=True)
class ClassCard:
    """One class, or the masks without a class.

    Attributes:
        class_id: its id, or `NOISE`.
        name: its display name.
        masks: number of its masks.
        images: number of images with at least one of them; None if unknown.
        crops: exemplars, the most typical first.
        clear: number of its masks that are clearly of this class; None if unknown.
        is_new: whether this night's fit found it.
    """

    class_id: int
    name: str
    masks: int
    images: int | None
    crops: Sequence[PageImage] = ()
    clear: int | None = None
    is_new: bool = False

    @property
    def is_named(self) -> bool:
        """Whether the name is another than the one that samseg gives."""
        return self.name != f"class {self.class_id}"


@dataclass(frozen=True, slots=True)
class FailedImage:
    """One image, or shard, that could not be labelled."""

    status: str
    key: str
    error: str


@dataclass(frozen=True, slots=True)
class ClassChange:
    """What became of a class this night.

    Attributes:
        class_id: its id.
        name: its display name.
        masks: masks of it, before the night for a retired class.
        related: (class id, name) of the classes that it derives from, or that continue it.
    """

    class_id: int
    name: str
    masks: int
    related: Sequence[tuple[int, str]] = ()


@dataclass(frozen=True, slots=True)
class MovedClass:
    """A class whose new masks are farther from it than the earlier ones.

    Attributes:
        class_id: its id, or `NOISE`.
        name: its display name.
        distance: mean cosine distance of this night's masks.
        distance_before: that of earlier masks.
        crops: this night's masks with the largest distances.
    """

    class_id: int
    name: str
    distance: float
    distance_before: float
    crops: Sequence[PageImage] = ()


@dataclass(frozen=True, slots=True)
class NightChanges:
    """This night against the nights before.

    Attributes:
        is_first: whether there is nothing to compare with.
        metrics: values of `samseg.drift.METRICS` by name, None where one has no value.
        born: classes that this night's fit found.
        retired: classes that it did not find again.
        split: classes whose masks went to several.
        moved: classes whose new masks lie farther off.
    """

    is_first: bool
    metrics: Mapping[str, float | None]
    born: Sequence[ClassChange] = ()
    retired: Sequence[ClassChange] = ()
    split: Sequence[ClassChange] = ()
    moved: Sequence[MovedClass] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """The contents of the page.

    Attributes:
        lake: URI of the lake.
        output: URI of the output folder.
        stamp: the night's name.
        images: number of labelled images.
        masks: number of their masks.
        classes: largest first, without noise.
        noise: masks of no class; None before the first clustering.
        clear: a mask is clearly of its class if the next one is at least this many times as far.
        changes: this night against the nights before; None if unknown.
        photos: photos shown whole.
        listed: photos in the list, new ones first.
        failures: the first failures.
        failed: number of images and shards that failed.
        left_out: files of the lake that are not read, by extension; empty if none are known.
        stage_seconds: wall seconds per stage of this night.
        worker_seconds: seconds that the workers spent per step, over all nights.
        codebook: properties of the codebook by name; empty before the first clustering.
        curve: one row per radius tried: `eps`, `classes` and `information`.
        eps: the radius in use.
        commands: (description, command) of suggested next commands.
        version: samseg's version.
    """

    lake: str
    output: str
    stamp: str
    images: int
    masks: int
    classes: Sequence[ClassCard] = ()
    noise: ClassCard | None = None
    clear: float | None = None
    changes: NightChanges | None = None
    photos: Sequence[PagePhoto] = ()
    listed: Sequence[PhotoRow] = ()
    failures: Sequence[FailedImage] = ()
    failed: int = 0
    left_out: str = ""
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    worker_seconds: Mapping[str, float] = field(default_factory=dict)
    codebook: Mapping[str, str] = field(default_factory=dict)
    curve: Sequence[Mapping[str, Any]] = ()
    eps: float | None = None
    commands: Sequence[tuple[str, str]] = ()
    version: str = ""
