"""Clustering: from embeddings to classes that keep their ids from night to night.

A new strategy is a new file with a `Spec` that has a `kind` and the verb `fit`
(`samseg.clustering.fit.Fit` says what it returns), and one line in the union here. The contract
test then covers it. Importing this package loads neither scikit-learn nor scipy.
"""

from typing import Annotated

from pydantic import Field

from samseg.clustering.dbscan import DBSCAN
from samseg.clustering.kmeans import KMeans

Clustering = Annotated[DBSCAN | KMeans, Field(discriminator="kind")]
"""Every clustering strategy, told apart by `kind`."""

__all__ = ["DBSCAN", "Clustering", "KMeans"]
