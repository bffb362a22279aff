"""Benchmark tasks: all masks of a photo, or the masks of many boxes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, PositiveInt
from segment_anything.modeling import Sam

from samseg.lab.benchmark import reference
from samseg.sam.automatic.point_grid import crops
from samseg.sam.segmenter import Segmenter
from samseg.sam.settings import MaskSettings
from samseg.spec import Spec
from samseg.types import Pixels

Rles = Sequence[Mapping[str, Any]]
"""COCO compressed RLEs of one photo."""

_OTHER_BATCH = 7


class Workload(NamedTuple):
    """The work that one photo requires.

    Attributes:
        encodings: number of encodings of the photo and its crops.
        prompts: number of boxes, or of points of the whole grid, even with adaptive points.
    """

    encodings: int
    prompts: int


class AutomaticTask(Spec):
    """All masks, as from `SamAutomaticMaskGenerator`."""

    kind: Literal["amg"] = "amg"

    def reference(self, model: Sam, settings: MaskSettings, pixels: Pixels) -> Rles:
        """Run the task with the reference."""
        return reference.automatic_masks(model, settings, pixels)

    def samseg(self, segmenter: Segmenter, pixels: Pixels) -> Rles:
        """Run the task with samseg."""
        return segmenter.segment(pixels).masks.rles

    def warm_up(self, model: Sam, settings: MaskSettings, pixels: Pixels) -> None:
        """Run about one batch with the reference."""
        limit = int(settings.points_per_batch**0.5)
        side = min(limit, settings.points_per_side or limit)
        few = MaskSettings(points_per_side=side, points_per_batch=settings.points_per_batch)
        reference.automatic_masks(model, few, pixels)

    def noise(
        self, model: Sam, settings: MaskSettings, pixels: Pixels
    ) -> Iterator[tuple[str, Rles]]:
        """Yield masks of the reference that differ by rounding only, with their names."""
        batches = settings.model_copy(update={"points_per_batch": _OTHER_BATCH})
        yield (
            f"reference, batches of {_OTHER_BATCH}",
            reference.automatic_masks(model, batches, pixels),
        )
        yield "reference, input + 1e-6", reference.automatic_masks(model, settings, pixels, 1e-6)

    def workload(self, settings: MaskSettings, pixels: Pixels) -> Workload:
        """Count the reference's encodings and prompts."""
        found = crops((pixels.shape[0], pixels.shape[1]), settings)
        return Workload(len(found), sum(len(crop.points) for crop in found))


class BoxTask(Spec):
    """One mask for each of many boxes, as from `SamPredictor.predict_torch`.

    Attributes:
        boxes: random boxes per photo, the same for both sides.
    """

    kind: Literal["prompts"] = "prompts"
    boxes: PositiveInt = 128

    def reference(self, model: Sam, settings: MaskSettings, pixels: Pixels) -> Rles:
        """Run the task with the reference."""
        batch = settings.points_per_batch
        return reference.box_masks(model, pixels, self._boxes(pixels), batch)

    def samseg(self, segmenter: Segmenter, pixels: Pixels) -> Rles:
        """Run the task with samseg."""
        return segmenter.prompt(pixels, boxes=self._boxes(pixels), logits=False).masks.rles

    def warm_up(self, model: Sam, settings: MaskSettings, pixels: Pixels) -> None:
        """Run one batch with the reference."""
        batch = settings.points_per_batch
        reference.box_masks(model, pixels, self._boxes(pixels)[:batch], batch)

    def noise(
        self, model: Sam, settings: MaskSettings, pixels: Pixels
    ) -> Iterator[tuple[str, Rles]]:
        """Yield masks of the reference that differ by rounding only, with their names."""
        boxes, batch = self._boxes(pixels), settings.points_per_batch
        yield (
            f"reference, batches of {_OTHER_BATCH}",
            reference.box_masks(model, pixels, boxes, _OTHER_BATCH),
        )
        yield (
            "reference, input + 1e-6",
            reference.box_masks(model, pixels, boxes, batch, 1e-6),
        )

    def workload(self, settings: MaskSettings, pixels: Pixels) -> Workload:
        """Count the reference's encodings and prompts."""
        return Workload(1, self.boxes)

    def _boxes(self, pixels: Pixels) -> np.ndarray:
        """Return (boxes, 4) float32, xyxy, px, with corners uniform over the photo."""
        rng = np.random.default_rng(0)
        size = pixels.shape[1::-1]
        a, b = rng.uniform(0, 1, (2, self.boxes, 2)) * size
        return np.concatenate([np.minimum(a, b), np.maximum(a, b)], axis=1).astype(np.float32)


Task = Annotated[AutomaticTask | BoxTask, Field(discriminator="kind")]
"""Every task, discriminated by `kind`."""
