"""What is found in a fit sample: classes, and the tree that has them as branches."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from samseg.clustering.class_tree import class_tree
from samseg.clustering.fit import Fit
from samseg.clustering.hierarchy import Hierarchy
from samseg.clustering.levels import Fitting, Leveled, cut_again, fit_in_levels
from samseg.clustering.linkage import Linkage
from samseg.clustering.sample import FitSample
from samseg.clustering.settings import ClusterSettings
from samseg.clustering.transform import Transform, unit
from samseg.types import Float32, Int64


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What was found in a sample, before it has ids.

    Attributes:
        sample: n masks.
        points: (n, d) float32 unit rows, the masks transformed.
        weights: (n,) float64, how many masks each one stands for, relative to the others.
        transform: from raw embeddings to points.
        fit: the classes.
        hierarchy: the tree that has the classes as branches.
        nodes: (k,) int64, the node that each class is.
    """

    sample: FitSample
    points: Float32
    weights: NDArray[np.float64]
    transform: Transform
    fit: Fit
    hierarchy: Hierarchy
    nodes: Int64


def find(
    sample: FitSample,
    settings: ClusterSettings,
    masks: int,
    whole: bool = True,
    steady: bool = True,
) -> Fitting[Found]:
    """Fit classes to a sample.

    Args:
        sample: of the lake.
        settings: the strategy and its settings.
        masks: masks that the sample was chosen from.
        whole: whether the sample is all of them. If not, strategies that fit in levels ask for
            samples of the masks that no class takes.
        steady: favour the classes that the masks have under the parent codebook, where the strategy
            can.
    """
    transform = Transform.fit(sample.embeddings, settings.center)
    strategy = settings.strategy
    if isinstance(strategy, Linkage):
        found = yield from fit_in_levels(strategy, sample, transform, masks, whole, steady)
        cells, sizes = found.fit.cells, np.bincount(found.fit.cells.of_point + 1)[1:]
        hierarchy = Hierarchy(found.fit.tree, unit(cells.means)[0], sizes, strategy.threshold)
        return _of(found, transform, hierarchy)
    points, _ = transform.apply(sample.embeddings)
    fit = strategy.fit(points, sample.image_ids)
    hierarchy, nodes = class_tree(points, fit.labels)
    return Found(sample, points, np.ones(len(sample)), transform, fit, hierarchy, nodes)


def find_again(
    sample: FitSample,
    strategy: Linkage,
    transform: Transform,
    hierarchy: Hierarchy,
    masks: int,
    whole: bool = True,
) -> Fitting[Found]:
    """Find coarser or finer classes in the tree of an earlier fit; see `levels.cut_again`."""
    found = yield from cut_again(strategy, sample, transform, hierarchy, masks, whole)
    return _of(found, transform, replace(hierarchy, cut=strategy.threshold))


def _of(found: Leveled, transform: Transform, hierarchy: Hierarchy) -> Found:
    fit = found.fit
    return Found(found.sample, found.points, found.weights, transform, fit, hierarchy, fit.nodes)
