"""The masks predicted for one photo, and their classes if requested."""

from dataclasses import dataclass

import numpy as np

from samseg.clustering.picture import cluster
from samseg.errors import ConfigError
from samseg.masks.painting import painted
from samseg.picture.mask_prompt import read_mask_prompt
from samseg.picture.prompt import Prompt
from samseg.picture.settings import PictureSettings
from samseg.pooling import sam_grid
from samseg.sam.segmenter import Segmenter
from samseg.types import NOISE, Features, Float32, Int32, Masks, Pixels


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """n masks of one photo.

    Attributes:
        pixels: (h, w, 3) uint8 RGB.
        masks: the masks.
        prompt: the prompt; None for automatic masks.
        embeddings: (n, d) float32, if classes were requested.
        class_ids: (n,) int32, if classes were requested; 0 is the largest class, -1 is noise.
    """

    pixels: Pixels
    masks: Masks
    prompt: Prompt | None = None
    embeddings: Float32 | None = None
    class_ids: Int32 | None = None

    @property
    def class_sizes(self) -> list[int]:
        """Number of masks of each class, from class 0 on."""
        found = self.class_ids
        return [] if found is None else np.bincount(found[found != NOISE]).tolist()

    @property
    def empty(self) -> bool:
        """Whether no mask has a pixel, or classes were requested and there is none."""
        return not self.masks.areas.any() or (self.class_ids is not None and not self.class_sizes)

    @property
    def semantic_map(self) -> Int32:
        """The class of each pixel: (h, w) int32; -1 for none. Smaller masks are on top.

        Raises:
            ConfigError: classes were not requested.
        """
        if self.class_ids is None:
            raise ConfigError("a semantic map needs classes; add --classes")
        rles, areas = self.masks.rles, self.masks.areas.tolist()
        # noise first: it must not hide a class
        sizes = [a if c != NOISE else 1 << 62 for a, c in zip(areas, self.class_ids, strict=True)]
        return painted(self.masks.size, rles, sizes, self.class_ids.tolist(), background=NOISE)


def predict(
    pixels: Pixels, settings: PictureSettings, prompt: Prompt | None, classes: bool
) -> Prediction:
    """Load the model and segment one photo.

    Args:
        pixels: (h, w, 3) uint8 RGB.
        settings: the model, masks and classes.
        prompt: what to segment; None for automatic masks.
        classes: group automatic masks into classes.

    Raises:
        ConfigError: the prompt lies outside the photo, or its mask has another shape.
        CheckpointError: the weights cannot be found, verified or loaded.
        DeviceError: the device is not available.
    """
    size = (pixels.shape[0], pixels.shape[1])
    if prompt is not None:
        prompt.check(size)
        mask = None if prompt.mask is None else read_mask_prompt(prompt.mask, size)
        masks, _ = Segmenter.load(settings.model, settings.masks).prompt(
            pixels,
            boxes=prompt.box,
            point_coords=prompt.points,
            point_labels=prompt.labels,
            mask_inputs=mask,
            multimask_output=prompt.ambiguous,
        )
        return Prediction(pixels, masks, prompt)
    masks, features = Segmenter.load(settings.model, settings.masks).segment(pixels)
    if not classes:
        return Prediction(pixels, masks)
    embeddings = settings.pooling.pool(Features(features, sam_grid(size)), masks).embeddings
    class_ids = cluster(embeddings, settings.cluster.fit, settings.cluster.center)
    return Prediction(pixels, masks, None, embeddings, class_ids)
