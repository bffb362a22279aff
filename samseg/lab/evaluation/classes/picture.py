"""A confusion matrix with exemplars: what each class shows, and which categories it holds."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from samseg.clustering.transform import Transform
from samseg.errors import ConfigError
from samseg.lab.evaluation.classes.evaluated import Evaluated
from samseg.lab.evaluation.classes.rows import Row
from samseg.types import NOISE, Float32, Int32, Int64, Pixels
from samseg.views.crops import exemplar

MOST_CLASSES = 30
EXEMPLARS = 6
SIDE, GAP = 80, 4
CELL, LINE = 34, SIDE + GAP
LABEL = 150
MARGIN = 14
HEADER = 170

_INK, _SOFT, _PAPER = (32, 34, 40), (122, 126, 136), (255, 255, 255)
_FULL = (24, 84, 160)
_RIGHT, _WRONG, _UNKNOWN = (40, 170, 90), (225, 60, 50), (150, 150, 150)


@dataclass(frozen=True, slots=True, eq=False)
class Confusion:
    """Classes against categories, in the order in which they are drawn.

    Attributes:
        class_ids: the largest classes, those of one most common category together; noise last.
        categories: all categories, the most common ones first, as positions in the list of names.
        counts: (classes, categories) int64, masks.
        left_out: classes that are not drawn.
    """

    class_ids: Int64
    categories: Int64
    counts: Int64
    left_out: int

    @classmethod
    def of(cls, codes: Int64, class_ids: Int32, categories: int) -> "Confusion":
        """Count the masks that have a category, codes >= 0."""
        known = codes >= 0
        ids, row = np.unique(class_ids[known], return_inverse=True)
        counts = np.zeros((len(ids), categories), np.int64)
        np.add.at(counts, (row, codes[known]), 1)
        order = np.argsort(-counts.sum(axis=0), kind="stable")
        counts = counts[:, order]
        size = counts.sum(axis=1)
        found = np.flatnonzero(ids != NOISE)
        largest = found[np.argsort(-size[found], kind="stable")][:MOST_CLASSES]
        drawn = largest[np.lexsort((-size[largest], counts[largest].argmax(axis=1)))]
        drawn = np.append(drawn, np.flatnonzero(ids == NOISE))
        left_out = len(found) - len(largest)
        return cls(ids[drawn].astype(np.int64), order, counts[drawn], left_out)


def check_format(path: Path) -> None:
    """Check that an image can be written to a path.

    Raises:
        ConfigError: its suffix is of no image format, or its folder does not exist.
    """
    if path.suffix.lower() not in Image.registered_extensions():
        raise ConfigError(f"--picture {path} has no suffix of an image format; use .png or .jpg")
    if not path.parent.is_dir():
        raise ConfigError(f"--picture {path}: there is no folder {path.parent}; create it first")


def write_picture(evaluated: Evaluated, row: Row, class_ids: Int32, path: Path) -> None:
    """Draw one row of an evaluation into an image file, whose suffix gives the format.

    Args:
        evaluated: masks and photos.
        row: of them.
        class_ids: (n,) int32, its classes.
        path: of the image.
    """
    masks = evaluated.masks
    confusion = Confusion.of(masks.codes, class_ids, len(masks.categories))
    shown = _exemplars(evaluated, row, class_ids, confusion.class_ids)
    left = MARGIN + LABEL + EXEMPLARS * LINE + GAP
    size = (
        left + len(confusion.categories) * CELL + MARGIN,
        HEADER + len(confusion.class_ids) * LINE + 3 * MARGIN,
    )
    page = Image.new("RGB", size, _PAPER)
    ink = ImageDraw.Draw(page)
    title = f"{evaluated.name}, {evaluated.kind}: {row.name}"
    ink.text((MARGIN, MARGIN), title, _INK, ImageFont.load_default(17))
    _legend(ink)
    for column, category in enumerate(confusion.categories):
        _upright(page, masks.categories[category], left + column * CELL)
    for line, class_id in enumerate(confusion.class_ids):
        top = HEADER + line * LINE
        _label(ink, int(class_id), confusion.counts[line], top)
        for place, crop in enumerate(shown.get(int(class_id), ())):
            page.paste(Image.fromarray(crop), (MARGIN + LABEL + place * LINE, top))
        _cells(ink, confusion.counts[line], left, top)
    if confusion.left_out:
        note = f"and {confusion.left_out} smaller classes"
        ink.text((MARGIN, size[1] - 2 * MARGIN), note, _SOFT, ImageFont.load_default(13))
    page.save(path)


def _exemplars(
    evaluated: Evaluated, row: Row, class_ids: Int32, drawn: Int64
) -> dict[int, list[Pixels]]:
    """Crop masks of each class, from typical to untypical, from different photos if possible."""
    masks = evaluated.masks
    points, _ = Transform.fit(row.vectors, row.clusters.center).apply(row.vectors)
    chosen: dict[str, list[tuple[int, int, int, tuple[int, int, int]]]] = {}
    for class_id in drawn.tolist():
        members = np.flatnonzero(class_ids == class_id)
        codes = masks.codes[members]
        common = np.bincount(codes[codes >= 0]).argmax() if (codes >= 0).any() else NOISE
        for place, mask in enumerate(_spread(points, members, masks.photos)):
            code = masks.codes[mask]
            colour = _UNKNOWN if code < 0 else _RIGHT if code == common else _WRONG
            chosen.setdefault(str(masks.photos[mask]), []).append((class_id, place, mask, colour))
    crops: dict[int, dict[int, Pixels]] = {class_id: {} for class_id in drawn.tolist()}
    for photo, wanted in chosen.items():
        pixels = evaluated.pixels(photo)
        for class_id, place, mask, colour in wanted:
            crops[class_id][place] = exemplar(pixels, masks.rles[mask], colour, SIDE)
    return {class_id: [found[p] for p in sorted(found)] for class_id, found in crops.items()}


def _spread(points: Float32, members: Int64, photos: np.ndarray) -> list[int]:
    """Choose members at even steps from the nearest to the farthest of their mean."""
    mean = points[members].mean(axis=0)
    near_first = members[np.argsort(-(points[members] @ mean), kind="stable")]
    _, first = np.unique(photos[near_first], return_index=True)
    if len(first) >= EXEMPLARS:
        near_first = near_first[np.sort(first)]
    steps = np.linspace(0, len(near_first) - 1, min(EXEMPLARS, len(near_first)))
    return near_first[np.round(steps).astype(int)].tolist()


def _legend(ink: ImageDraw.ImageDraw) -> None:
    font, y = ImageFont.load_default(13), 2 * MARGIN + 14
    for line, colour in (
        ("Masks of each class from typical to untypical, outlined:", _SOFT),
        ("of the class's most common category", _RIGHT),
        ("of another category", _WRONG),
        ("without a category", _UNKNOWN),
        ("Numbers count masks that have a category.", _SOFT),
    ):
        ink.text((MARGIN, y), line, colour, font)
        y += 18


def _upright(page: Image.Image, text: str, x: int) -> None:
    """Write a category's name from bottom to top above its column."""
    font = ImageFont.load_default(13)
    strip = Image.new("RGB", (HEADER - MARGIN, CELL), _PAPER)
    ImageDraw.Draw(strip).text((4, CELL // 2), text[:24], _INK, font, anchor="lm")
    page.paste(strip.rotate(90, expand=True), (x, MARGIN))


def _label(ink: ImageDraw.ImageDraw, class_id: int, counts: Int64, top: int) -> None:
    name = "noise" if class_id == NOISE else f"class {class_id}"
    ink.text((MARGIN, top + 22), name, _INK, ImageFont.load_default(15))
    total = int(counts.sum())
    facts = f"{total} masks"
    if class_id != NOISE and total:
        facts += f", {counts.max() / total:.0%} pure"
    ink.text((MARGIN, top + 44), facts, _SOFT, ImageFont.load_default(12))


def _cells(ink: ImageDraw.ImageDraw, counts: Int64, left: int, top: int) -> None:
    """Draw one row: shade by the share of the class's masks, with their number."""
    total = max(int(counts.sum()), 1)
    for column, count in enumerate(counts.tolist()):
        share = count / total
        shade = tuple(round(p + (f - p) * share) for p, f in zip(_PAPER, _FULL, strict=True))
        x = left + column * CELL
        box = (x, top, x + CELL - 2, top + LINE - GAP)
        ink.rectangle(box, shade, outline=(232, 234, 238))
        if count:
            colour = _PAPER if share > 0.5 else _INK
            middle = (x + CELL // 2 - 1, top + SIDE // 2)
            ink.text(middle, str(count), colour, ImageFont.load_default(12), anchor="mm")
