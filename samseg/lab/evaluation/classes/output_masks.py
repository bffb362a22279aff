"""Masks, embeddings and classes of an output folder, against labels of its images."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from samseg import schema
from samseg.clustering.settings import ClusterSettings
from samseg.errors import CodebookError, ConfigError, ImageError
from samseg.lab.evaluation.classes.colour_box import NUMBERS, colour_box
from samseg.lab.evaluation.classes.evaluated import Evaluated
from samseg.lab.evaluation.classes.labelled_masks import LabelledMasks, PhotoMasks
from samseg.lab.evaluation.classes.record import ClassProtocol
from samseg.lab.evaluation.classes.rows import SEED, SEED_EMBEDDING, Compared, Row, compared_rows
from samseg.lab.evaluation.classes.truth import LabelSource, TrueSegments, common_categories
from samseg.lake import address_now
from samseg.output import Output
from samseg.progress import Progress
from samseg.readers import fetch
from samseg.readers.decode import DecodePolicy
from samseg.schema import SAM_COLUMN
from samseg.stages.embeddings import read_embeddings
from samseg.superseded import Superseded, superseded
from samseg.types import NOISE, Float32, Int32, Pixels


@dataclass(frozen=True, slots=True, eq=False)
class OutputMasks:
    """The masks of the labelled images of an output folder.

    Attributes:
        output: the folder.
        codebook: the version whose classes are evaluated, or None.
        shards: those that are read.
        uris: where the image of each photo is.
        masks: the masks.
        missing: photos of the labels that the folder lacks.
    """

    output: Output
    codebook: int | None
    shards: list[str]
    uris: dict[str, str]
    masks: LabelledMasks
    missing: tuple[str, ...]


def read_masks(
    output: Output, truth: LabelSource, codebook: int | None, protocol: ClassProtocol
) -> OutputMasks:
    """Read the masks of the images that have labels, and match them with the true segments.

    Images are matched with photos by key, or else by a stem that no other image has.

    Args:
        output: the folder.
        truth: the labels.
        codebook: version whose classes are evaluated; only the images that it has assigned are
            read. None for the newest, or for no classes where the folder has none.
        protocol: choice of photos and segments.

    Raises:
        CodebookError: there is no such codebook.
        ConfigError: no photo of the labels is in the folder, or none has masks; sizes differ; or
            there are fewer than two categories with enough segments.
    """
    versions = output.codebook_versions()
    if codebook is not None and codebook not in versions:
        raise CodebookError(f"{output.uri} has no codebook v{codebook}; it has {versions}")
    version = versions[-1] if codebook is None and versions else codebook
    shards = sorted(output.committed() if version is None else output.assigned(version))
    columns = ["image_id", "key", "uri", "width", "height"]
    again = superseded(output, output.committed())
    images = [
        image
        for shard in shards
        for image in output.read(output.images_key(shard), columns).to_pylist()
        if image["image_id"] not in again.get(shard, ())
    ]
    found = _matched(images, truth.photos)
    photos = [photo for photo in truth.photos if photo in found][: protocol.photos]
    missing = tuple(photo for photo in truth.photos if photo not in found)
    if not photos:
        raise ConfigError(
            f"none of the {len(truth.photos)} photos of {truth.name} is an image of {output.uri} "
            f"(the first one is {truth.photos[0] if truth.photos else '-'!r}); images are found by "
            "their key or file name, so use the labels of these images"
        )
    segments = {photo: truth.read(photo) for photo in photos}
    for photo in photos:
        _check_size(photo, segments[photo], found[photo])
    categories = common_categories(
        truth.name, segments.values(), protocol.segments, protocol.min_area, protocol.min_segments
    )
    wanted = {found[photo]["image_id"] for photo in photos}
    rows = _rows_by_image(output, shards, wanted, again)
    masks_of = {
        photo: PhotoMasks.matched(*rows[found[photo]["image_id"]], segments[photo], categories)
        for photo in photos
    }
    masks = LabelledMasks.join(masks_of, categories, segments)
    if not masks.known.any():
        raise ConfigError(
            f"{output.uri}: none of the {len(masks)} masks of {len(photos)} labelled photos lies "
            "in a true segment of these categories, so there is nothing to evaluate"
        )
    uris = {photo: found[photo]["uri"] for photo in photos}
    return OutputMasks(output, version, shards, uris, masks, missing)


def of_output(
    found: OutputMasks, truth: LabelSource, compared: Compared, progress: Progress
) -> Evaluated:
    """Read the embeddings of all masks, and the classes that the folder gives them."""
    output, masks = found.output, found.masks
    vectors: dict[str, Float32] = {}
    for name in [SAM_COLUMN, *output.embeddings()]:
        recipe = output.recipe(name) if name != SAM_COLUMN else None
        is_seed = recipe is not None and recipe.items() >= SEED_EMBEDDING.recipe().items()
        vectors[SEED if is_seed else name] = _vectors(found, name)
    rows = compared_rows(vectors, _numbers(found, progress), compared)
    if found.codebook is not None:
        manifest = output.codebook_manifest(found.codebook)
        fitted_to = output.embedding_of(found.codebook)
        settings = ClusterSettings.stored(manifest["settings"])
        class_ids = _class_ids(found, found.codebook)
        name = f"codebook v{found.codebook}"
        rows = (*rows, Row(name, settings, _vectors(found, fitted_to), class_ids))
    return Evaluated(
        name=truth.name,
        kind="automatic masks",
        masks=masks,
        rows=rows,
        pixels=lambda photo: _pixels(found, photo),
        merged=truth.merged,
        missing=found.missing,
    )


def _matched(images: list[dict[str, Any]], photos: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the image of each photo that has one."""
    by_key = {image["key"]: image for image in images}
    stems = Counter(PurePosixPath(key).stem for key in by_key)
    by_stem = {PurePosixPath(key).stem: image for key, image in by_key.items()}
    found = {}
    for photo in photos:
        stem = photo if photo in stems else PurePosixPath(photo).stem
        if photo in by_key:
            found[photo] = by_key[photo]
        elif stems[stem] == 1:
            found[photo] = by_stem[stem]
    return found


def _check_size(photo: str, truth: TrueSegments, image: dict[str, Any]) -> None:
    size = (image["height"], image["width"])
    if None not in size and size != truth.size:
        raise ConfigError(
            f"the labels of {photo} are of {truth.size} px (h, w), its image {image['key']} of "
            f"{size}; use labels of the upright image at its full size"
        )


def _rows_by_image(
    output: Output, shards: list[str], image_ids: set[str], again: Superseded
) -> dict[str, tuple[list[str], list[dict[str, Any]]]]:
    """Return the mask ids and RLEs of images."""
    rows: dict[str, tuple[list[str], list[dict[str, Any]]]] = {i: ([], []) for i in image_ids}
    for shard in shards:
        wanted = pa.array(sorted(image_ids - again.get(shard, frozenset())), pa.string())
        part = output.read(output.masks_key(shard), ["mask_id", "image_id", "rle"])
        for row in part.filter(pc.is_in(part["image_id"], value_set=wanted)).to_pylist():
            ids, rles = rows[row["image_id"]]
            ids.append(row["mask_id"])
            rles.append(row["rle"])
    return rows


def _vectors(found: OutputMasks, name: str) -> Float32:
    """Return one embedding of all masks, zeros for those without it."""
    mask_ids = pa.array(found.masks.mask_ids, pa.string())
    shards = [s for s in found.shards if name == SAM_COLUMN or s in found.output.embedded(name)]
    vectors: Float32 | None = None
    for shard in shards:
        part = read_embeddings(found.output, shard, name, ["mask_id", "embedding"])
        part = part.filter(part["embedding"].is_valid())
        matrix = schema.matrix_of(part["embedding"])
        if vectors is None:
            vectors = np.zeros((len(mask_ids), matrix.shape[1]), np.float32)
        row = pc.fill_null(pc.index_in(part["mask_id"], value_set=mask_ids), -1).to_numpy()
        vectors[row[row >= 0]] = matrix[row >= 0]
    return np.zeros((len(mask_ids), 1), np.float32) if vectors is None else vectors


def _class_ids(found: OutputMasks, version: int) -> Int32:
    mask_ids = pa.array(found.masks.mask_ids, pa.string())
    class_ids = np.full(len(mask_ids), NOISE, np.int32)
    for shard in found.shards:
        key = found.output.assignments_key(version, shard)
        part = found.output.read(key, ["mask_id", "class_id"])
        row = pc.fill_null(pc.index_in(part["mask_id"], value_set=mask_ids), -1).to_numpy()
        class_ids[row[row >= 0]] = part["class_id"].to_numpy()[row >= 0]
    return class_ids


def _numbers(found: OutputMasks, progress: Progress) -> Float32 | None:
    """Return the numbers of the baseline; None if an image can no longer be read."""
    masks = found.masks
    numbers = np.zeros((len(masks), NUMBERS), np.float32)
    progress.start(f"{found.output.uri}, colours", len(masks.rows_of), "photos")
    for done, (photo, rows) in enumerate(masks.rows_of.items()):
        progress.update(done)
        try:
            pixels = _pixels(found, photo)
        except ImageError as e:
            progress.finish(f"no baseline of colour and box, because {photo} is unreadable: {e}")
            return None
        numbers[rows] = colour_box(pixels, [masks.rles[row] for row in rows])
    progress.finish(f"{len(masks)} masks")
    return numbers


def _pixels(found: OutputMasks, photo: str) -> Pixels:
    """Read an image as the night did.

    Raises:
        ImageError: it can no longer be read.
    """
    policy = DecodePolicy.model_validate((found.output.recipe() or {}).get("decode", {}))
    return policy.decode(fetch(address_now(found.output)(found.uris[photo]))).pixels
