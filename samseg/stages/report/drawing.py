"""Draws the pictures of the report page. Each image is fetched once and then released."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from samseg.errors import ImageError, one_line
from samseg.masks.palette import color_of
from samseg.stages.report.exemplars import ShownMask, distinct_masks
from samseg.types import NOISE, Image, Pixels
from samseg.views import crops, overlay

Fetch = Callable[[Sequence[str]], Iterable[tuple[str, bytes | Exception]]]
"""Fetches images by URI, each once, in any order; the error in place of bytes on failure."""

_PHOTO_SIDE = 720


@dataclass(slots=True)
class DrawnImages:
    """Pictures as `data:` URIs.

    Attributes:
        crops: mask id -> its exemplar.
        photos: image id -> the photo, its masks on a transparent ground, and their (h, w).
        missing: URI -> why the image could not be drawn.
    """

    crops: dict[str, str] = field(default_factory=dict)
    photos: dict[str, tuple[str, str, tuple[int, int]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def draw(
    exemplars: Iterable[ShownMask],
    photos: Mapping[str, Sequence[ShownMask]],
    fetch: Fetch,
    decode: Callable[[bytes], Image],
    on_progress: Callable[[int], None],
) -> DrawnImages:
    """Draw the exemplars and photos.

    Args:
        exemplars: masks to crop.
        photos: image id -> all its masks.
        fetch: fetches the images.
        decode: decodes bytes as for labelling; raises `ImageError`.
        on_progress: called with the number of images done.
    """
    wanted: dict[str, list[ShownMask]] = defaultdict(list)
    for shown in exemplars:
        wanted[shown.uri].append(shown)
    photo_at = {masks[0].uri: image_id for image_id, masks in photos.items()}
    drawn = DrawnImages()
    uris = sorted(wanted.keys() | photo_at.keys())
    for done, (uri, payload) in enumerate(fetch(uris) if uris else (), start=1):
        image_id = photo_at.get(uri)
        masks = photos[image_id] if image_id is not None else ()
        try:
            pixels = _pixels(payload, decode, [*wanted.get(uri, ()), *masks])
        except ImageError as e:
            drawn.missing[uri] = one_line(e)
        else:
            for shown in wanted.get(uri, ()):
                drawn.crops[shown.mask_id] = _crop(pixels, shown)
            if image_id is not None:
                drawn.photos[image_id] = _photo(pixels, masks)
        on_progress(done)
    return drawn


def _pixels(
    payload: bytes | Exception, decode: Callable[[bytes], Image], shown: Sequence[ShownMask]
) -> Pixels:
    if not isinstance(payload, bytes):
        raise ImageError("unreadable", one_line(payload))
    pixels = decode(payload).pixels
    size = tuple(shown[0].rle["size"])
    if pixels.shape[:2] != size:
        raise ImageError("failed", f"the image is now {pixels.shape[:2]} px and was {size} px")
    return pixels


def _crop(pixels: Pixels, shown: ShownMask) -> str:
    color = color_of(NOISE if shown.class_id is None else shown.class_id)
    return crops.data_uri(crops.exemplar(pixels, shown.rle, color))


def _photo(pixels: Pixels, masks: Sequence[ShownMask]) -> tuple[str, str, tuple[int, int]]:
    """Return a photo and its masks; of near-identical outlines the first one."""
    small = crops.shrunk(pixels, _PHOTO_SIDE)
    size = (small.shape[0], small.shape[1])
    masks = distinct_masks(masks)
    ids = [NOISE if m.class_id is None else m.class_id for m in masks]
    if all(m.class_id is None for m in masks):  # before the first clustering
        ids = list(range(len(masks)))
    layer = overlay.layer(size, [m.rle for m in masks], [m.area for m in masks], ids)
    return crops.data_uri(small), crops.layer_uri(layer), size


def fetched_from(address: Callable[[str], str], fetch: Fetch) -> Fetch:
    """Return what fetches images by the URIs of their rows, from where they are now."""

    def from_there(uris: Sequence[str]) -> Iterator[tuple[str, bytes | Exception]]:
        row_of = {address(uri): uri for uri in uris}
        for uri, payload in fetch(list(row_of)):
            yield row_of[uri], payload

    return from_there
