"""What an export is restricted to: classes, scores, one side of a split."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from samseg.errors import ConfigError
from samseg.exporters.names import number_of
from samseg.exporters.types import ClassRow, LabelledImage, Target
from samseg.spec import Spec


class Selection(Spec):
    """Settings that every exporter has.

    Images stay in the export when all of their masks are left out: they are examples without
    objects.

    Attributes:
        classes: ids or names of the classes to export; all by default.
        min_score: smallest predicted IoU of a mask.
        split: export only the images of one side of the split.
        validation: fraction of the images on the side `val`, chosen by a hash of the image id, so
            that an image is on the same side in every export and format.
    """

    classes: tuple[int | str, ...] | None = None
    min_score: float = Field(0.0, ge=0)
    split: Literal["all", "train", "val"] = "all"
    validation: float = Field(0.1, ge=0, le=1)

    def settings(self) -> dict[str, Any]:
        """Return the settings that are not the defaults, as plain data."""
        return self.model_dump(mode="json", exclude_defaults=True, exclude={"kind"})

    def side_of(self, image: LabelledImage) -> Literal["train", "val"]:
        """Return the side of the split that an image is on."""
        return "val" if number_of(image.image_id) < self.validation * 2**53 else "train"

    def chosen(
        self, images: Iterable[LabelledImage], classes: Sequence[ClassRow]
    ) -> tuple[Iterable[LabelledImage], Sequence[ClassRow]]:
        """See `samseg.exporters.types.Format`.

        Raises:
            ConfigError: a class does not exist.
        """
        kept = classes
        if self.classes is not None:
            exist = {c.class_id for c in classes} | {c.name for c in classes}
            unknown = [c for c in self.classes if c not in exist]
            if unknown:
                known = ", ".join(f"{c.class_id} {c.name!r}" for c in classes[:20])
                raise ConfigError(
                    f"exports.{getattr(self, 'kind', '')}.classes: there is no class "
                    f"{unknown[0]!r}; the codebook has {known or 'none'}"
                    + (" ..." if len(classes) > 20 else "")
                )
            kept = [c for c in classes if c.class_id in self.classes or c.name in self.classes]
        return self._restricted(images, {c.class_id for c in kept}), kept

    def index(self, classes: Sequence[ClassRow], target: Target, parts: Sequence[str]) -> None:
        """See `samseg.exporters.types.Format`; most formats need no such object."""

    def _restricted(
        self, images: Iterable[LabelledImage], kept: set[int]
    ) -> Iterator[LabelledImage]:
        for image in images:
            if self.split in ("all", self.side_of(image)):
                masks = [
                    mask
                    for mask in image.masks
                    if mask.predicted_iou >= self.min_score
                    and (self.classes is None or mask.class_id in kept)
                ]
                yield image if len(masks) == len(image.masks) else replace(image, masks=masks)
