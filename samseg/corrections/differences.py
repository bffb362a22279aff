"""What a person changed in an export: the file compared with what was exported."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from samseg.corrections.categories import Categories
from samseg.corrections.corrected_file import CorrectedFile, Rle
from samseg.errors import ConfigError
from samseg.exporters.names import number_of
from samseg.exporters.types import ClassRow, LabelledImage, MaskRow
from samseg.types import NOISE


@dataclass(slots=True)
class Differences:
    """What a person changed, in the classes of the export.

    Attributes:
        renamed: class -> its name in the file.
        merged: class -> the class that has its masks in the file.
        moved: class -> masks that were exported with another; `NOISE` for none.
        added: name of a class that the export did not have -> its masks.
        removed: masks that the file has no more.
        redrawn: mask -> its outline in the file.
        untouched: class -> number of its masks, where the file has neither them nor their category:
            it was cut out of the file, which says nothing of them.
        unknown_images: images of the file that the output folder does not have.
        unknown_masks: masks of the file that were not exported.
        drawn: annotations without a mask of the output folder.
        others: annotations that are no masks.
        unseen: images that nobody has looked at.
    """

    renamed: dict[int, str] = field(default_factory=dict)
    merged: dict[int, int] = field(default_factory=dict)
    moved: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    added: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    removed: list[str] = field(default_factory=list)
    redrawn: dict[str, Rle] = field(default_factory=dict)
    untouched: dict[int, int] = field(default_factory=dict)
    unknown_images: int = 0
    unknown_masks: int = 0
    drawn: int = 0
    others: int = 0
    unseen: int = 0


def differences(
    file: CorrectedFile,
    exported: Iterable[LabelledImage],
    classes: Sequence[ClassRow],
    written: Callable[[LabelledImage], Sequence[MaskRow]],
) -> Differences:
    """Compare a file with what was exported.

    Args:
        file: the corrected file.
        exported: the images of the export, those of the file at least.
        classes: the classes of the export.
        written: returns the masks of an image that the export has.

    Raises:
        ConfigError: the file is not as its format has it, or has one mask twice.
    """
    found = Differences(unseen=file.unseen)
    wanted = set(file.images)
    carried: dict[tuple[int, Hashable], list[str]] = defaultdict(list)
    missing: dict[int, list[str]] = defaultdict(list)
    for image in exported:
        if image.image_id in wanted:
            wanted.discard(image.image_id)
            _compare(file, image, {m.mask_id: m for m in written(image)}, found, carried, missing)
    found.unknown_images = len(wanted)
    categories = Categories(file.name, file.categories, classes, file.lists_categories)
    survivors = {base for base, _ in carried}
    for base, masks in missing.items():
        if file.lists_categories and base not in categories.listed | survivors:
            found.untouched[base] = len(masks)
        else:
            found.removed += masks
    counts = {pair: len(masks) for pair, masks in carried.items()}
    found.renamed, found.merged = categories.statements(counts)
    _sort_moves(found, carried, categories)
    return found


def _compare(
    file: CorrectedFile,
    image: LabelledImage,
    masks: Mapping[str, MaskRow],
    found: Differences,
    carried: dict[tuple[int, Hashable], list[str]],
    missing: dict[int, list[str]],
) -> None:
    """Compare one image, and collect its masks by the class and the category that they have."""
    numbers = {number_of(mask): mask for mask in masks}
    record, seen = file.image(image.image_id), set[str]()
    for mask in record.masks:
        mask_id = mask.mask_id or numbers.get(-1 if mask.number is None else mask.number)
        if mask_id is None:
            found.drawn += 1
            continue
        if mask_id in seen:
            raise ConfigError(f"{mask.what}: the file has the mask {mask_id} twice")
        seen.add(mask_id)
        row = masks.get(mask_id)
        if row is None:
            found.unknown_masks += 1
            continue
        carried[_class_of(row), mask.category].append(mask_id)
        if mask.redrawn is not None and (outline := mask.redrawn(row.rle)) is not None:
            found.redrawn[mask_id] = outline
    found.others += record.others
    for mask_id, row in masks.items():
        if record.whole and mask_id not in seen:
            missing[_class_of(row)].append(mask_id)


def _sort_moves(
    found: Differences,
    carried: Mapping[tuple[int, Hashable], Sequence[str]],
    categories: Categories,
) -> None:
    """Take as moves what is not explained by renames and merges."""
    names = {name: class_id for class_id, name in found.renamed.items()}
    for (base, key), masks in carried.items():
        target = categories.target(key)
        if isinstance(target, str):
            target = names.get(target, target)
        if target == base or found.merged.get(base, base) == target:
            continue
        if isinstance(target, str):
            found.added[target] += masks
        else:
            found.moved[target] += masks


def _class_of(mask: MaskRow) -> int:
    return NOISE if mask.class_id is None else mask.class_id
