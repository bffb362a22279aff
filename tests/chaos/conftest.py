"""Lakes of small photos, a verdict on each case, and their table at the end of the run.

`SAMSEG_CHAOS_ROUNDS=N` repeats the cases that draw what happens, with other seeds.
"""

import os
from collections.abc import Callable, Collection
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
import yaml

from samseg.config import parse
from samseg.output import Output
from tests.chaos.night import run
from tests.chaos.rows import difference
from tests.chaos.stub import photo

ROUNDS = int(os.environ.get("SAMSEG_CHAOS_ROUNDS", "1"))
PHOTOS = 40
Verdict = Callable[..., None]
COLUMN = "chaos"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each case that draws what happens one seed per round."""
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(ROUNDS))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of photos, and of some that hurt workers: `poison-*`."""
    folder = tmp_path_factory.mktemp("chaos") / "lake"
    folder.mkdir()
    for i in range(PHOTOS):
        (folder / f"{i:03d}.png").write_bytes(photo(i))
    for i, hurt in enumerate(("segfault", "exit", "exception", "hang")):
        (folder / f"poison-{hurt}.png").write_bytes(photo(1000 + i, hurt))
    return folder


def tree_of(output: object, lake: object, **more: Any) -> dict[str, Any]:
    """Return a config of a night in this process over the photos that hurt nobody."""
    harmless = {"images_per_shard": 2, "exclude": ["poison*"]}
    return {
        "output": str(output),
        "reader": {"kind": "folder", "uri": str(lake), **harmless},
        "embeddings": [],
        "cluster": {"embedding": "sam", "fit": {"kind": "dbscan", "min_samples": 4}},
        "engine": {"kind": "local", "attempts": 3, "backoff_s": 0.01},
        **more,
    }


@pytest.fixture(scope="module")
def calm(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Output:
    """The output of an undisturbed night in this process."""
    folder = tmp_path_factory.mktemp("calm") / "output"
    assert run(parse(tree_of(folder, lake)), stub={}) == 0
    return Output(str(folder))


def written(path: Path, tree: dict[str, Any]) -> Path:
    """Write a config file."""
    path.write_text(yaml.safe_dump(tree))
    return path


@pytest.fixture
def verdict(record_property: Callable[[str, object], None]) -> Verdict:
    """Return what compares a folder with a calm one, and notes the figures under a case."""

    def check(case: str, calm: Output, found: Output, apart: Collection[str] = ()) -> None:
        compared = difference(calm, found, apart)
        record_property(COLUMN, [case, *astuple(compared)])
        assert compared.none and compared.rows > 0, compared

    return check


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print one row per case."""
    total: dict[str, list[int]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) != "call":
                continue
            for name, value in report.user_properties:
                if name == COLUMN:
                    case, *figures = value
                    so_far = total.setdefault(case, [0] * len(figures))
                    total[case] = [a + b for a, b in zip(so_far, figures, strict=True)]
    if total:
        print_row = terminalreporter.write_line
        print_row("\n| case | rows | lost | doubled | different |\n|---|---|---|---|---|")
        for case, figures in sorted(total.items()):
            print_row(f"| {case} | " + " | ".join(map(str, figures)) + " |")
