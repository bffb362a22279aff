"""True segments of a labelled set and their embeddings: evaluation with a mask oracle."""

import numpy as np

from samseg.features import Embedder, FeatureNetwork, SamEmbedding
from samseg.lab.evaluation.classes.colour_box import NUMBERS, colour_box
from samseg.lab.evaluation.classes.evaluated import Evaluated
from samseg.lab.evaluation.classes.labelled_masks import LabelledMasks, PhotoMasks
from samseg.lab.evaluation.classes.record import ClassProtocol
from samseg.lab.evaluation.classes.rows import SEED, SEED_EMBEDDING, Compared, compared_rows
from samseg.lab.evaluation.classes.truth import LabelledTruth, common_categories
from samseg.lab.labelled import LabelledSet
from samseg.masks.painting import dense
from samseg.pooling import Coverage
from samseg.progress import Progress
from samseg.types import Features, Float32, Pixels


def true_masks(labelled: LabelledSet, protocol: ClassProtocol, progress: Progress) -> LabelledMasks:
    """Choose the true segments of a set.

    Raises:
        ConfigError: it has fewer than two categories with enough segments.
    """
    truth = LabelledTruth(labelled)
    photos = truth.photos[: protocol.photos]
    progress.start(f"{labelled.name}, labels", len(photos), "photos")
    segments = {}
    for done, photo in enumerate(photos):
        progress.update(done)
        segments[photo] = truth.read(photo)
    limit, min_area = protocol.segments, protocol.min_area
    categories = common_categories(
        labelled.name, segments.values(), limit, min_area, protocol.min_segments
    )
    parts = {
        photo: PhotoMasks.of_truth(photo, found, found.largest(limit, min_area), categories)
        for photo, found in segments.items()
    }
    masks = LabelledMasks.join(parts, categories, segments)
    progress.finish(f"{len(masks)} true segments of {len(categories)} categories")
    return masks


def with_oracle(
    labelled: LabelledSet, masks: LabelledMasks, compared: Compared, progress: Progress
) -> Evaluated:
    """Embed true segments, as the embed stage does with the masks of a shard."""
    sam = EncodedOnce(SamEmbedding().load("cpu"))
    embedders = {
        SEED: Embedder(SEED, sam, SEED_EMBEDDING.pooling),
        "sam": Embedder("sam", sam, Coverage()),
    }
    for spec in compared.embeddings:
        if (notice := spec.notice()) is not None:
            progress.note(notice)
        embedders[spec.name] = Embedder.load(spec, "cpu")
    vectors = {
        name: np.zeros((len(masks), embedder.network.dimension), np.float32)
        for name, embedder in embedders.items()
    }
    numbers = np.zeros((len(masks), NUMBERS), np.float32)
    progress.start(f"{labelled.name}, embeddings", len(masks.rows_of), "photos")
    for done, (photo, rows) in enumerate(masks.rows_of.items()):
        progress.update(done)
        pixels = labelled.read(photo).pixels
        rles = [masks.rles[row] for row in rows]
        numbers[rows] = colour_box(pixels, rles)
        shapes = np.array([dense(rle) for rle in rles])
        for name, embedder in embedders.items():
            vectors[name][rows] = embedder.embed(pixels, shapes).vectors
    progress.finish(f"{len(embedders)} embeddings of {len(masks)} masks")
    return Evaluated(
        name=labelled.name,
        kind="true segments",
        masks=masks,
        rows=compared_rows(vectors, numbers, compared),
        pixels=lambda photo: labelled.read(photo).pixels,
        merged=LabelledTruth(labelled).merged,
    )


class EncodedOnce:
    """A network that encodes an image once, however many poolings follow."""

    def __init__(self, network: FeatureNetwork):
        """Wrap a network."""
        self._network = network
        self._pixels: Pixels | None = None

    @property
    def dimension(self) -> int:
        """See `FeatureNetwork`."""
        return self._network.dimension

    def encode(self, pixels: Pixels) -> Features:
        """See `FeatureNetwork`; the same array is encoded once."""
        if pixels is not self._pixels:
            self._pixels, self._features = pixels, self._network.encode(pixels)
        return self._features

    def embed(self, pooled: Float32) -> Float32:
        """See `FeatureNetwork`."""
        return self._network.embed(pooled)
