"""Two runs that fit classes at one moment: one wins, whatever the order of their requests."""

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samseg.clustering import DBSCAN
from samseg.clustering.settings import ClusterSettings
from samseg.errors import CodebookError
from samseg.stages import table_map
from samseg.stages.cluster import stage
from samseg.stages.cluster.codebook_store import load_codebook
from samseg.storage import ObjectStorage

FIXED = ClusterSettings(fit=DBSCAN(eps=0.2, min_samples=4))
OTHER = ClusterSettings(fit=DBSCAN(eps=0.25, min_samples=4))


class Killed(SystemExit):
    """Simulates SIGKILL."""


class Turns:
    """Lets two threads proceed one request at a time, in a given order."""

    def __init__(self, order: list[int]):
        self._order, self._left = list(order), {0, 1}
        self._changed = threading.Condition()

    def wait(self, driver: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._next() == driver, timeout=60)
            if self._order:
                self._order.pop(0)
            self._changed.notify_all()

    def leave(self, driver: int) -> None:
        with self._changed:
            self._left.discard(driver)
            self._changed.notify_all()

    def _next(self) -> int | None:
        while self._order and self._order[0] not in self._left:
            self._order.pop(0)
        return self._order[0] if self._order else min(self._left, default=None)


class InTurns(ObjectStorage):
    """A storage whose requests below `classes/` wait for their turn; dies at one of them."""

    def __init__(self, uri: str, turns: Turns, driver: int, dies_at: int | None):
        super().__init__(uri)
        self._turns, self._driver, self._left = turns, driver, dies_at

    def _turn(self, key: str) -> None:
        if not key.startswith("classes"):
            return
        self._turns.wait(self._driver)
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise Killed

    def put_new(self, key, payload):
        self._turn(key)
        return super().put_new(key, payload)

    def get(self, key):
        self._turn(key)
        return super().get(key)

    def exists(self, key):
        self._turn(key)
        return super().exists(key)

    def folders(self, prefix):
        self._turn(prefix)
        return super().folders(prefix)


@pytest.fixture(autouse=True, scope="module")
def single_threaded():
    """Each driver takes one step at a time, so that turns determine what happens."""
    before, table_map._AT_A_TIME = table_map._AT_A_TIME, 1
    yield
    table_map._AT_A_TIME = before


@pytest.fixture(scope="module")
def lakes(tmp_path_factory, known_lake):
    """Two folders: before the first fit, and before a refit."""
    fresh = known_lake(str(tmp_path_factory.mktemp("fresh") / "lake"))
    for shard in ("a", "b"):
        fresh.add_shard(shard, images=3)
    fitted = fresh.copied_to(tmp_path_factory.mktemp("fitted") / "lake")
    fitted.night()
    fitted.add_shard("c", images=5, kinds=(4, 5))
    return {"first": fresh, "refit": fitted}


def run(lake, turns: Turns, driver: int, dies_at: int | None):
    """Run one driver: its report, or what ended it."""
    mine = lake.at(lake.uri)
    mine.storage = InTurns(lake.uri, turns, driver, dies_at)
    try:
        return mine.night(FIXED if driver == 0 else OTHER, refit=True)
    except (CodebookError, Killed) as e:
        return e
    finally:
        turns.leave(driver)


def check(lake, before) -> None:
    """Committed codebooks are complete, follow each other, and never share a new class id."""
    last, born = None, set()
    for version in lake.codebook_versions():
        codebook = load_codebook(lake, version)
        assert codebook.parent == last
        new = {c.class_id for c in codebook.classes if c.born_in == version}
        assert not new & born
        born |= new
        last = version
        assert lake.assigned(version) >= {"a", "b"}
        assert version in before or lake.assigned(version) == lake.committed()
        assert set(lake.classes(version).values()) - {-1} <= {c.class_id for c in codebook.active}
        manifest = json.loads(lake.storage.get(lake.codebook_key(version, "codebook.json")))
        assert manifest["version"] == version


@pytest.mark.parametrize("start", ["first", "refit"])
@given(
    order=st.lists(st.integers(0, 1), min_size=60, max_size=60),
    dies_at=st.tuples(*[st.one_of(st.none(), st.integers(0, 30))] * 2),
)
@settings(max_examples=25, deadline=None)
def test_any_interleaving_leaves_one_line_of_codebooks(
    lakes, tmp_path_factory, start, order, dies_at
):
    folder = tmp_path_factory.mktemp("copy")
    lake = lakes[start].copied_to(folder / "lake")
    before = lake.codebook_versions()
    turns = Turns(order)
    with ThreadPoolExecutor(2) as drivers:
        ends = list(drivers.map(lambda d: run(lake, turns, d, dies_at[d]), (0, 1)))
    check(lake, before)
    new = lake.codebook_versions()[len(before) :]
    won = [end for end in ends if isinstance(end, stage.ClusterReport)]
    lost = [end for end in ends if isinstance(end, CodebookError)]
    assert {w.version for w in won} <= {*new} and len(won) == len({w.version for w in won})
    assert won or any(isinstance(end, Killed) for end in ends)
    for error in lost:
        assert f"committed codebook v{new[0]} " in str(error)
        assert "Run `samseg cluster` again" in str(error)
        assert error.exit_code == 3
    lake.night(OTHER)  # whatever happened, the next run completes it
    check(lake, before)
    assert lake.codebook_versions()
    shutil.rmtree(folder)
