"""The tree of classes that were not found in one: every class is a branch, whatever the labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samseg.clustering.class_tree import class_tree
from samseg.clustering.hierarchy import ABOVE
from samseg.types import NOISE


def labelled(n, classes, seed=0, noise=True):
    """Return n random unit rows and their labels; every class has a member."""
    g = np.random.default_rng(seed)
    points = g.standard_normal((n, 12)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    others = g.integers(NOISE if noise else 0, max(classes, 1), n - classes)
    return points, np.concatenate([np.arange(classes), others])


def classes_of_nodes(hierarchy, nodes):
    return hierarchy.class_ids({int(node): label for label, node in enumerate(nodes)})


@settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 60), share=st.floats(0, 1), seed=st.integers(0, 99))
def test_every_class_is_a_branch_whatever_the_labels(n, share, seed):
    classes = max(1, int(share * n))
    points, labels = labelled(n, classes, seed)
    hierarchy, nodes = class_tree(points, labels)
    tree, found = hierarchy.tree, classes_of_nodes(hierarchy, nodes)
    assert hierarchy.sizes.sum() == (labels != NOISE).sum() and (hierarchy.sizes > 0).all()
    of_cells = found[: tree.leaves]
    assert [hierarchy.sizes[of_cells == c].sum() for c in range(classes)] == [
        (labels == c).sum() for c in range(classes)
    ]
    inner = np.flatnonzero(tree.parent >= 0)
    assert (tree.parent[inner] > inner).all() and len(inner) == len(tree.parent) - 1
    assert (tree.height[tree.parent[inner]] >= tree.height[inner]).all()
    assert (tree.height.astype(np.float32) == tree.height).all()
    assert (found == ABOVE).sum() == classes - 1, "only joins of classes are above the cut"


def test_a_cell_has_masks_of_one_class_and_its_vector_is_their_mean():
    points, labels = labelled(4_000, 3)
    hierarchy, nodes = class_tree(points, labels)
    assert len(hierarchy.vectors) < 2_600
    of_cells = classes_of_nodes(hierarchy, nodes)[: len(hierarchy.vectors)]
    for label in range(3):
        own = hierarchy.vectors[of_cells == label] * hierarchy.sizes[of_cells == label, None]
        mean = points[labels == label].sum(axis=0)
        cosine = own.sum(axis=0) @ mean / np.linalg.norm(own.sum(axis=0)) / np.linalg.norm(mean)
        assert cosine > 0.97
    assert np.linalg.norm(hierarchy.vectors, axis=1) == pytest.approx(1, abs=1e-5)


def test_similar_classes_join_first():
    axes = np.eye(12, dtype=np.float32)
    near = (axes[0] + axes[1]) / np.sqrt(2)
    points = np.repeat(np.stack([axes[0], axes[5], near]), 3, axis=0).astype(np.float32)
    hierarchy, nodes = class_tree(points, np.repeat([0, 1, 2], 3))
    parent = hierarchy.tree.parent
    assert parent[nodes[0]] == parent[nodes[2]] != parent[nodes[1]]
    assert hierarchy.tree.height[parent[nodes[0]]] == pytest.approx(1 - np.sqrt(0.5), abs=1e-6)


def test_neither_order_nor_equal_rows_matter():
    points, labels = labelled(3_000, 5, noise=False)
    order = np.random.default_rng(1).permutation(len(points))
    one, nodes = class_tree(points, labels)
    other, same_nodes = class_tree(points[order], labels[order])
    assert (one.vectors == other.vectors).all() and (one.tree.parent == other.tree.parent).all()
    assert (nodes == same_nodes).all()
    equal, _ = class_tree(np.repeat(points[:1], 50, axis=0), np.zeros(50, np.int64))
    assert equal.cut == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("n", [0, 3])
def test_without_classes_there_are_no_cells(n):
    hierarchy, nodes = class_tree(np.eye(3, 12, dtype=np.float32)[:n], np.full(n, NOISE))
    assert len(hierarchy.vectors) == len(hierarchy.tree.parent) == len(nodes) == 0
    assert hierarchy.tree.leaves == 0
