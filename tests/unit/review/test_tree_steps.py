"""One step along the tree: finer divides, coarser takes in the sibling, and they are inverse."""

import numpy as np

from samseg.clustering.tree import Tree
from samseg.review.tree_steps import TreeSteps, _leaves, _top


def test_nodes_and_leaves():
    #       6
    #     4   5      leaves 0 1 | 2 3
    tree = Tree(np.array([4, 4, 5, 5, 6, 6, -1]), np.zeros(7))
    assert _top(tree.parent, np.array([True, False, False, False])) == 0
    assert _top(tree.parent, np.array([True, True, False, False])) == 4
    assert _top(tree.parent, np.array([False, True, True, False])) == 6
    assert _leaves(tree.parent, 5, 4).tolist() == [False, False, True, True]
    assert _leaves(tree.parent, 1, 4).tolist() == [False, True, False, False]
    assert _leaves(tree.parent, 6, 4).all()


def test_coarser_undoes_finer(browser):
    steps, found = browser.review.steps, browser.review.now.found
    kept, new = steps.finer(found, 0)
    assert not {*kept.tolist()} & {*new.tolist()}
    browser.post("split", **{"class": 0})
    after, made = browser.review.now.found, max(browser.review.now.found.current)
    assert steps.coarser(after, 0) == (made,) and steps.coarser(after, made) == (0,)
    browser.post("merge", **{"class": made, "into": 0})
    again = steps.finer(browser.review.now.found, 0)
    assert [part.tolist() for part in again] == [kept.tolist(), new.tolist()]


def test_every_class_can_be_made_coarser_until_there_is_one(browser):
    for _ in range(10):
        now = browser.review.now
        if not (others := browser.review.steps.coarser(now.found, 0)):
            break
        browser.post("merge", **{"class": list(others), "into": 0})
    assert browser.review.now.found.current == (0,)


def test_without_a_tree_there_are_no_steps(browser):
    from dataclasses import replace

    flat = TreeSteps.of(replace(browser.review.steps.codebook, hierarchy=None))
    found = browser.review.now.found
    assert flat.finer(found, 0) is None and flat.coarser(found, 0) == ()
