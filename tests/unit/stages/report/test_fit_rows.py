"""What the night's page says of a fit, whatever found the classes."""

import pytest

from samseg.clustering import DBSCAN, HDBSCAN, KMeans, Linkage
from samseg.clustering.settings import ClusterSettings
from samseg.stages.cluster.stage import cluster
from samseg.stages.report.fit_rows import fit_rows

FITS = [Linkage(), DBSCAN(eps=0.3, min_samples=2), HDBSCAN(min_cluster_size=3), KMeans(classes=3)]


@pytest.mark.parametrize("fit", FITS, ids=lambda fit: fit.kind)
def test_only_linkage_cuts_a_tree(small_output, fit):
    output = small_output(codebook=False).output
    cluster(output, ClusterSettings(fit=fit), recipe_fingerprint="recipe")
    rows = fit_rows(output, output.codebook_manifest(1))
    assert rows["Fitted by"].startswith(fit.kind)
    assert ("Groups are joined up to" in rows) is isinstance(fit, Linkage)


def test_without_a_codebook_nothing_is_said(small_output):
    assert fit_rows(small_output(codebook=False).output, {}) == {}
