"""Average linkage: a tree of groups that can be cut at any height.

The distance of two groups is the mean distance over pairs of their members, and leaves can stand
for any number of members. Built by the nearest-neighbour chain (Müllner, "Modern
hierarchical, agglomerative clustering algorithms", 2011) with the update of Lance and Williams,
1967: time and memory are quadratic in the number of groups (4,000: a second or two, 130 MB).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samseg.types import Int64


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A binary tree over k leaves; nodes 0 to k - 1 are the leaves, a parent follows its children.

    Attributes:
        parent: (2k - 1,) int64, the parent of each node; -1 for the root.
        height: (2k - 1,) float64, mean distance of the two groups joined; 0 for leaves. No
            parent is lower than its children, and float32 represents all of them exactly.
    """

    parent: Int64
    height: NDArray[np.float64]

    @property
    def leaves(self) -> int:
        """Number of leaves."""
        return (len(self.parent) + 1) // 2

    def cut(self, height: float) -> Int64:
        """Return the highest node at or below `height` above each node, (2k - 1,) int64.

        A node above `height` gives itself.
        """
        top = np.arange(len(self.parent))
        for node in range(len(top) - 1, -1, -1):
            above = self.parent[node]
            if above >= 0 and self.height[above] <= height:
                top[node] = top[above]
        return top


def average_linkage(distance: NDArray[np.float64], weights: NDArray[np.float64]) -> Tree:
    """Build the tree.

    Args:
        distance: (k, k) float64, symmetric: mean distance over pairs of members of two leaves; the
            diagonal does not count. Overwritten.
        weights: (k,) how many members each leaf stands for.
    """
    k = len(distance)
    np.fill_diagonal(distance, np.inf)
    size, highest, left = weights.astype(np.float64), np.zeros(k), np.ones(k, np.bool_)
    joined, heights = np.zeros((max(k - 1, 0), 2), np.int64), np.zeros(max(k - 1, 0))
    chain: list[int] = []
    for step in range(k - 1):
        if not chain:
            chain.append(int(left.argmax()))
        while True:
            last = chain[-1]
            near = int(distance[last].argmin())
            if len(chain) > 1 and distance[last, chain[-2]] <= distance[last, near]:
                break
            chain.append(near)
        a, b = sorted((chain.pop(), chain.pop()))
        # rounding may put a join below those that made its groups
        highest[a] = heights[step] = max(distance[a, b], highest[a], highest[b], 0.0)
        joined[step] = a, b
        row = (size[a] * distance[a] + size[b] * distance[b]) / (size[a] + size[b])
        size[a] += size[b]
        distance[a], distance[:, a] = row, row
        distance[b], distance[:, b], left[b] = np.inf, np.inf, False
    return _in_order(k, joined, heights.astype(np.float32).astype(np.float64))


def _in_order(k: int, joined: Int64, heights: NDArray[np.float64]) -> Tree:
    """Number the nodes by height, given joins of slots (a, b) that leave the group in slot a."""
    node, nodes = np.arange(k), max(2 * k - 1, 0)
    parent, height = np.full(nodes, -1, np.int64), np.zeros(nodes)
    for new, step in enumerate(np.argsort(heights, kind="stable"), start=k):
        a, b = joined[step]
        parent[node[a]] = parent[node[b]] = new
        height[new], node[a] = heights[step], new
    return Tree(parent, height)
