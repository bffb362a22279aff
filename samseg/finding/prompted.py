"""The object at a prompt in any photo, embedded as the masks of an output folder are."""

from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from samseg.config import Config, recipe_of
from samseg.edits.edit import ExampleMask
from samseg.errors import ConfigError, redact
from samseg.features import Embedder
from samseg.features.network import EmbeddingSpec
from samseg.output import Output
from samseg.picture.prompt import Prompt
from samseg.pooling import sam_grid
from samseg.readers.photo import read_photo
from samseg.resume import completed, completed_embedding
from samseg.sam.segmenter import Segmenter
from samseg.schema import SAM_COLUMN
from samseg.types import Features, Masks, Pixels


@dataclass(frozen=True, slots=True, eq=False)
class PromptedObject:
    """One object of a photo.

    Attributes:
        name: of the photo.
        pixels: (h, w, 3) uint8 RGB.
        rle: COCO compressed RLE of its mask.
        example: its vector.
    """

    name: str
    pixels: Pixels
    rle: Any
    example: ExampleMask


def prompted(
    output: Output, config: Config, photo: str, prompt: Prompt, embedding: str
) -> PromptedObject:
    """Segment and embed the object at a prompt.

    Args:
        output: the output folder, whose recipes the model and the networks must have.
        config: its settings, filled from its recipes.
        photo: path or URL of an image file.
        prompt: what to segment.
        embedding: name of the embedding.

    Raises:
        ConfigError: the prompt lies outside the photo, or there is no object at it.
        ImageError: the photo cannot be read or decoded.
        RecipeError: the model or the network of the embedding is another one than the folder's.
        CheckpointError: weights cannot be found, verified or loaded.
    """
    pixels = read_photo(photo, config.decode).pixels
    prompt.check((pixels.shape[0], pixels.shape[1]))
    segmenter = Segmenter.load(config.model, config.masks)
    recipe = recipe_of(config, segmenter.weights_sha256, segmenter.settings)
    output.check(recipe, completed=completed)
    found, features = segmenter.prompt(
        pixels,
        boxes=prompt.box,
        point_coords=prompt.points,
        point_labels=prompt.labels,
        multimask_output=prompt.ambiguous,
        logits=False,
    )
    mask = _best(found)
    if embedding == SAM_COLUMN:
        grid = Features(features, sam_grid(mask.size))
        pooled = config.pooling.pool(grid, mask)
        vector, status = pooled.embeddings[0], "empty" if pooled.empty[0] else "ok"
    else:
        spec = _spec(config, embedding)
        output.check(spec.recipe(), output.embedding_recipe_key(embedding), completed_embedding)
        embedder = Embedder.load(spec, "cuda" if segmenter.device.type == "cuda" else "cpu")
        embedded = embedder.embed(pixels, mask)
        vector, status = embedded.vectors[0], embedded.statuses[0]
    if status != "ok" or not np.isfinite(vector).all():
        raise ConfigError(
            f"the mask at the prompt is too small to embed ({int(mask.areas[0])} px in "
            f"{redact(photo)}); give a larger box, or another point"
        )
    example = ExampleMask(vector=tuple(vector.astype(float).tolist()))
    return PromptedObject(PurePath(photo).name, pixels, mask.rles[0], example)


def _best(masks: Masks) -> Masks:
    """Return the mask with the best predicted IoU, alone."""
    usable = np.flatnonzero(masks.areas > 0)
    if not len(usable):
        raise ConfigError(
            "the model finds no object at the prompt; give a box around it, or another point"
        )
    best = usable[masks.predicted_iou[usable].argmax()]
    return masks[np.array([best])]


def _spec(config: Config, name: str) -> EmbeddingSpec:
    found = next((e for e in config.embeddings if e.name == name), None)
    if found is None:
        raise ConfigError(
            f"the classes are fitted to the embedding {name!r}, which the folder has no recipe "
            "of; use `--mask`, whose vector is in the tables"
        )
    return found
