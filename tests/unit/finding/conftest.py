"""A small folder of generated scenes, with photos to fetch and classes to compare with."""

import fsspec
import pytest

from samseg.clustering import DBSCAN
from samseg.clustering.settings import ClusterSettings
from samseg.stages.cluster.stage import cluster


@pytest.fixture
def scenes(small_output):
    """Return a builder of folders with a fitted codebook, or without any."""
    memory = fsspec.filesystem("memory")

    def build(codebook=True, **options):
        made = small_output(codebook=False, **options)
        for uri, payload in made.photos.items():
            memory.pipe(uri, payload)
        if codebook:
            settings = ClusterSettings(fit=DBSCAN(eps=0.3, min_samples=3))
            cluster(made.output, settings, recipe_fingerprint="recipe")
        return made

    yield build
    if memory.exists("/lake"):
        memory.rm("/lake", recursive=True)
