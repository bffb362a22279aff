"""Coarser and finer classes in SQL."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

import samseg
from samseg.clustering import DBSCAN, Linkage
from samseg.clustering.settings import ClusterSettings
from samseg.stages.cluster.stage import cluster


@pytest.fixture
def made(small_output: Callable[..., Any]) -> Any:
    found = small_output(codebook=False)
    settings = ClusterSettings(fit=Linkage(threshold=0.7, min_size=2))
    cluster(found.output, settings, recipe_fingerprint="recipe")
    return found


def branches(tables: Any, height: float) -> dict[str, int]:
    rows = tables.query("select mask_id, node from class_at(?)", [height]).to_pylist()
    assert len(rows) == len({row["mask_id"] for row in rows})
    return {row["mask_id"]: row["node"] for row in rows}


def test_at_the_cut_of_the_codebook_the_branches_are_its_classes(made: Any) -> None:
    tables = samseg.open(made.output)
    rows = tables.query("select mask_id, class_id, node from labels join classes using (class_id)")
    assert len(rows) > 6
    assert branches(tables, 0.7) == {r["mask_id"]: r["node"] for r in rows.to_pylist()}


def test_branches_join_as_the_height_grows(made: Any) -> None:
    tables = samseg.open(made.output)
    found = [branches(tables, height) for height in (0.0, 0.3, 0.7, 2.0)]
    counts = [len(Counter(nodes.values())) for nodes in found]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == len(found[0]) > counts[2] > counts[3] == 1
    heights = {r["node"]: r["height"] for r in tables.query("select * from tree").to_pylist()}
    assert all(heights[node] <= 0.3 for node in found[1].values())


def test_classes_of_other_strategies_are_branches_too(small_output: Callable[..., Any]) -> None:
    output = small_output(codebook=False).output
    cluster(output, ClusterSettings(fit=DBSCAN(eps=0.3)), recipe_fingerprint="recipe")
    tables = samseg.open(output)
    rows = tables.query("select mask_id, node from labels join classes using (class_id)")
    cut = output.codebook_manifest(1)["cut"]
    assert branches(tables, cut) == {r["mask_id"]: r["node"] for r in rows.to_pylist()}
    assert len({*branches(tables, cut).values()}) > len({*branches(tables, 2.0).values()}) == 1


def test_without_a_tree_there_are_no_branches(small_output: Callable[..., Any]) -> None:
    assert branches(samseg.open(small_output().output), 0.7) == {}
