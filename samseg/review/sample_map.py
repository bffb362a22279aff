"""A sample of the masks with their vectors: what is near a mask, and a map of all of it.

The sample is what a fit of this size uses (`samseg.stages.cluster.sampling`). The map shows fewer,
laid out by t-SNE (van der Maaten and Hinton, 2008) over the first principal components: neighbours
on it are neighbours in the embedding, distances between groups mean little.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from samseg.clustering.codebook import Codebook
from samseg.edits.edit import Exemplar
from samseg.engine.local import Local
from samseg.output import Output
from samseg.recipe import fingerprint
from samseg.stages.cluster.embeddings import open_embeddings
from samseg.stages.cluster.fit_sample import read_fit_sample
from samseg.stages.cluster.sampling import choose
from samseg.stages.edits.splitting import vectors_by_mask
from samseg.types import Float32

SAMPLED = 20_000
"""Masks whose vectors are in memory: 20 MB at 256 dimensions."""
SHOWN = 1_500
"""Masks on the map."""
_COMPONENTS = 32
_PERPLEXITY = 30


@dataclass(frozen=True, slots=True, eq=False)
class SampleMap:
    """n masks of the sample.

    Attributes:
        codebook: gives the transform.
        mask_ids: n ids, ascending.
        points: (n, d) float32 unit rows, transformed.
        shown: positions of the masks on the map.
        places: (len(shown), 2) float32, 0 to 1: x to the right, y down.
    """

    codebook: Codebook
    mask_ids: Sequence[str]
    points: Float32
    shown: Sequence[int]
    places: Float32

    def nearest(self, output: Output, mask: Exemplar, count: int) -> list[tuple[str, float]]:
        """Return the masks of the sample that are nearest to a mask, with cosine distances.

        Args:
            output: the output folder, which has the mask's vector.
            mask: the mask.
            count: how many to return.
        """
        vectors = vectors_by_mask(output, self.codebook.embedding, [mask])
        if mask.mask_id not in vectors or not len(self.points):
            return []
        (point,), (valid,) = self.codebook.transform.apply(vectors[mask.mask_id][None])
        if not valid:
            return []
        distances = 1 - self.points @ point
        best = np.argsort(distances, kind="stable")[: count + 1].tolist()
        found = [(self.mask_ids[i], max(0.0, float(distances[i]))) for i in best]
        return [pair for pair in found if pair[0] != mask.mask_id][:count]


def read_sample_map(output: Output, codebook: Codebook, shards: Sequence[str]) -> SampleMap:
    """Choose the sample, read its vectors and lay out the map.

    Args:
        output: the output folder.
        codebook: whose embedding is read.
        shards: committed shards that have classes.
    """
    recipe = fingerprint(output.recipe() or {})
    embeddings = open_embeddings(output, codebook.embedding, recipe)
    present = embeddings.shards()
    chosen = choose(
        embeddings, [s for s in shards if s in present], SAMPLED, Local(threads=1, attempts=1)
    )
    sample = read_fit_sample(embeddings, chosen, None)
    points, valid = codebook.transform.apply(sample.embeddings)
    ids = [mask for mask, known in zip(sample.mask_ids, valid, strict=True) if known]
    points = points[valid]
    order = np.random.default_rng(0).permutation(len(ids))[:SHOWN]
    shown = np.sort(order).tolist()
    return SampleMap(codebook, ids, points, shown, _places(points[shown]))


def _places(points: Float32) -> Float32:
    """Lay out (n, d) unit rows in the unit square, (n, 2) float32."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    count = len(points)
    if count < 3:
        return np.full((count, 2), 0.5, np.float32)
    reduced = PCA(min(_COMPONENTS, *points.shape), random_state=0).fit_transform(points)
    if count > 3 * 4:
        perplexity = min(_PERPLEXITY, (count - 1) / 3)
        layout = TSNE(2, perplexity=perplexity, init="pca", max_iter=500, random_state=0)
        reduced = layout.fit_transform(reduced.astype(np.float32))
    places = reduced[:, :2].astype(np.float32)
    if places.shape[1] < 2:
        places = np.concatenate([places, np.zeros_like(places)], axis=1)
    low, high = places.min(axis=0), places.max(axis=0)
    return np.asarray((places - low) / np.maximum(high - low, 1e-9), np.float32)
