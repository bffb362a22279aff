"""Formats that Datumaro writes: Pascal VOC, LabelMe, CVAT and its own, which it converts further.

Not for nights, and so not a `kind` of the config: Datumaro keeps the whole dataset in memory.
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import field_validator

from samseg.errors import ConfigError
from samseg.exporters.names import fallback_file_of, file_of, is_safe, labels_of
from samseg.exporters.selection import Selection
from samseg.exporters.types import ClassRow, LabelledImage, MaskRow, Target, Written
from samseg.masks.painting import dense, layers
from samseg.masks.polygons import polygons_of

_SHAPES = {"cvat": "polygons", "datumaro": "masks", "label_me": "polygons", "voc": "masks"}
"""What masks become in each format: polygons for tools that edit outlines."""


class Datumaro(Selection):
    """The files of one of Datumaro's formats; `exports/{format}/` is their folder.

    `cvat` and `label_me` have a polygon per part, exact, with holes joined to it; all parts of a
    mask are one group. `datumaro` and `voc` have masks and boxes. The maps of `voc` have one label
    per pixel, by the rule of `samseg.masks.painting`, in the colours of VOC. `train` and `val` are
    the subsets. Images are named like their files in the lake and not copied. Noise and unassigned
    masks are left out.

    Attributes:
        kind: Datumaro's name of the format: `cvat`, `datumaro`, `label_me` or `voc`.
    """

    kind: str

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        name = {"labelme": "label_me"}.get(kind.lower(), kind.lower())
        if name not in _SHAPES:
            raise ConfigError(f"--via datumaro: got {kind!r}, wanted one of {', '.join(_SHAPES)}")
        return name

    def write(
        self, images: Iterable[LabelledImage], classes: Sequence[ClassRow], target: Target
    ) -> Written:
        """See `samseg.exporters.types.Format`; memory grows with the images.

        Raises:
            ConfigError: Datumaro is not installed, or VOC has fewer colours than there are classes.
        """
        dm = _imported()
        if self.kind == "voc" and len(classes) > 255:
            raise ConfigError(
                f"--via datumaro voc: VOC has colours for 255 classes, got {len(classes)}; "
                "use `--via datumaro datumaro` or `kind: coco`"
            )
        label_of = labels_of(classes)
        index_of = {class_id: i for i, class_id in enumerate(label_of)}
        left_out, items, used = 0, [], set[str]()
        for image in images:
            masks = [mask for mask in image.masks if mask.class_id in index_of]
            file = _file(image, used)
            item = dm.DatasetItem(
                id=file.rpartition(".")[0],
                subset=self.side_of(image),
                media=dm.Image.from_file(path=file, size=(image.height, image.width)),
                annotations=[
                    shape
                    for z, i in enumerate(layers([mask.area for mask in masks]))
                    for shape in self._shapes(dm, masks[i], index_of[masks[i].class_id], i + 1, z)
                ],
            )
            items.append(item)
            left_out += len(image.masks) - len(masks)
        labels = [(label, None, {"score"}) for label in label_of.values()]
        categories = {dm.AnnotationType.label: dm.LabelCategories.from_iterable(labels)}
        dataset = dm.Dataset.from_iterable(items, categories=categories, media_type=dm.Image)
        with tempfile.TemporaryDirectory() as folder:
            dataset.export(folder, self.kind, save_media=False)
            for path in sorted(p for p in Path(folder).rglob("*") if p.is_file()):
                target.put(path.relative_to(folder).as_posix(), path.read_bytes())
        groups = sum(len({a.group for a in item.annotations}) for item in items)
        return Written(self.kind, target.uri, len(items), groups, left_out, target.objects)

    def _shapes(self, dm: Any, mask: MaskRow, label: int, group: int, z: int) -> Iterator[Any]:
        common = {
            "label": label,
            "group": group,
            "id": group,
            "z_order": z,
            "attributes": {"score": round(mask.predicted_iou, 5)},
        }
        if _SHAPES[self.kind] == "polygons":
            for polygon in polygons_of(dense(mask.rle)):
                yield dm.Polygon(polygon.ravel().tolist(), **common)
            return
        counts = mask.rle["counts"].encode()
        yield dm.RleMask({"size": list(mask.rle["size"]), "counts": counts}, **common)
        yield dm.Bbox(*mask.bbox, **common)


def _file(image: LabelledImage, used: set[str]) -> str:
    """Return the name of an image's file; Datumaro tells images apart by all but the extension."""
    file = file_of(image)
    stem, _, extension = file.rpartition(".")
    if not is_safe(file) or not stem or "/" in extension or stem in used:
        return fallback_file_of(image)
    used.add(stem)
    return file


def _imported() -> Any:
    """Import Datumaro.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import datumaro
    except ImportError as e:
        raise ConfigError(
            "--via datumaro: Datumaro is not installed. It needs a pyarrow that can read masks but "
            "no embeddings, so use an environment of its own:\n"
            "  echo 'pyarrow<26' > older.txt; uv venv via-datumaro\n"
            "  uv pip install -p via-datumaro samseg 'datumaro>=1.13,<2' --overrides older.txt\n"
            "  via-datumaro/bin/samseg export -c CONFIG --via datumaro FORMAT"
        ) from e
    return datumaro
