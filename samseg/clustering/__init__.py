"""Clustering of embeddings into classes whose ids persist across nights.

To add a strategy, write a file with a `Spec` that has a `kind`, a `SAMPLE` (masks that it is given
unless a config says otherwise) and a method `fit` that returns a `samseg.clustering.fit.Fit`, and
add one line to the union here. The contract test then covers it. Importing this package loads
neither scikit-learn nor scipy.
"""

from typing import Annotated

from pydantic import Field

from samseg.clustering.dbscan import DBSCAN
from samseg.clustering.hdbscan import HDBSCAN
from samseg.clustering.kmeans import KMeans
from samseg.clustering.linkage import Linkage

Clustering = Annotated[Linkage | DBSCAN | HDBSCAN | KMeans, Field(discriminator="kind")]
"""Every clustering strategy, discriminated by `kind`."""

__all__ = ["DBSCAN", "HDBSCAN", "Clustering", "KMeans", "Linkage"]
