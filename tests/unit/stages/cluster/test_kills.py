"""The cluster stage when it is killed, and when it runs concurrently with others."""

import pytest

from samseg.clustering import DBSCAN, Linkage
from samseg.clustering.settings import ClusterSettings
from samseg.errors import CodebookError
from samseg.stages.cluster.codebook_store import load_codebook
from samseg.stages.cluster.stage import ClusterReport
from samseg.storage import ObjectStorage

DEFAULT = ClusterSettings(fit=DBSCAN(eps=0.2, min_samples=4))
"""The default of `lake.night()`."""
TREE = ClusterSettings(fit=Linkage())


class Killed(SystemExit):
    """Simulates SIGKILL: nothing handles it."""


class KillingStorage(ObjectStorage):
    """A storage that raises `Killed` at its n-th write, before or after it takes effect."""

    def __init__(self, uri: str, writes: int, after: bool):
        super().__init__(uri)
        self.left, self.after = writes, after

    def put_new(self, key: str, payload: bytes) -> bool:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Killed
        created = super().put_new(key, payload)
        if self.left == 0:
            raise Killed
        return created


def killed_copies(lake, folder, settings=DEFAULT):
    """Yield copies of a lake in which a night was killed, one for each of its writes."""
    for writes in range(1, 100):
        for after in (False, True):
            copy = lake.copied_to(folder / f"{writes}{after}")
            copy.storage = KillingStorage(copy.uri, writes, after)
            try:
                copy.night(settings)
            except Killed:
                yield copy.at(copy.uri)
            else:
                assert writes > 1
                return
    raise RuntimeError("the night did not end within 99 writes")


@pytest.mark.parametrize(
    ("settings", "shards", "tonight"),
    [
        (None, "", DEFAULT),
        (None, "", TREE),
        (DEFAULT, "de", DEFAULT),
        (TREE, "de", TREE),
        (DEFAULT, "def", DEFAULT),
        (DEFAULT, "", TREE),
        (TREE, "d", ClusterSettings(granularity=1.2)),
    ],
    ids=["first", "first tree", "assign", "assign tree", "refit", "another kind", "granularity"],
)
def test_a_night_killed_at_any_write_resumes_to_the_same_objects(
    tmp_path, lake, settings, shards, tonight
):
    if settings is not None:
        lake.night(settings)
        for shard in shards:
            lake.add_shard(shard)
    uninterrupted = lake.copied_to(tmp_path / "uninterrupted")
    uninterrupted.night(tonight)
    want, count = uninterrupted.tree(), 0
    for output in killed_copies(lake, tmp_path, tonight):
        for version in output.codebook_versions():  # visible codebooks are complete
            assert {"a", "b", "c"} <= output.assigned(version)
        output.night(tonight)
        assert output.tree() == want
        count += 1
    assert count == 2 * len(set(want) - set(lake.tree()))


def test_what_a_killed_refit_has_assigned_is_not_assigned_again(lake, tmp_path):
    resumed = 0
    for output in killed_copies(lake, tmp_path):
        done = {k for k in output.tree() if "/assignments/" in k}
        keys: list[str] = []

        class Noting(ObjectStorage):
            def put_new(self, key: str, payload: bytes, keys: list[str] = keys) -> bool:
                keys.append(key)
                return super().put_new(key, payload)

        output.storage = Noting(output.uri)
        output.night()
        assert not done & {*keys}
        resumed += bool(done)
    assert resumed > 2


def test_a_half_written_codebook_is_skipped_if_the_lake_has_grown_since(tmp_path, lake):
    seen = set()
    for output in killed_copies(lake, tmp_path):
        output.add_shard("d")
        report = output.night()
        codebook = load_codebook(output)
        seen.add(report.version)
        assert output.codebook_versions() == [report.version]
        assert output.assigned(report.version) == {"a", "b", "c", "d"}
        assert output.classes(report.version).keys() >= output.truth().keys()
        assert report.version == codebook.version
        assert {c.born_in for c in codebook.classes} == {report.version}
        rows = output.read(output.assignments_key(report.version, "a"))
        assert set(rows["codebook"].to_pylist()) == {report.version}
        fresh = lake.at(tmp_path / "fresh")
        if not fresh.committed():
            for shard in "abcd":
                fresh.add_shard(shard)
            fresh.night()
        if report.refitted:
            assert output.classes(report.version) == fresh.classes(1)
    assert seen == {1, 2}


@pytest.mark.parametrize("first", [True, False])
def test_a_codebook_committed_by_another_run_during_the_fit_is_an_error(lake, first):
    if not first:
        lake.night()
        for shard in "def":
            lake.add_shard(shard)
    own = 1 if first else 2

    class Rival(ObjectStorage):
        """Runs two refits by another process shortly before this run commits."""

        def put_new(self, key: str, payload: bytes) -> bool:
            if key.startswith(f"classes/v{own:06d}/assignments/part-c") and not rivals:
                rivals.append(lake.at(lake.uri).night(refit=True))
                rivals.append(lake.at(lake.uri).night(refit=True))
            return super().put_new(key, payload)

    rivals: list[ClusterReport] = []
    racing = lake.at(lake.uri)
    racing.storage = Rival(lake.uri)
    message = rf"another run committed codebook v\d to {lake.uri} during this fit .*no night"
    with pytest.raises(CodebookError, match=message):
        racing.night()
    assert lake.night().version == own + 1


def test_two_runs_of_the_same_night_agree(lake):
    class Twin(ObjectStorage):
        def put_new(self, key: str, payload: bytes) -> bool:
            if key.endswith("codebook.json") and not twins:
                twins.append(lake.at(lake.uri).night())
            return super().put_new(key, payload)

    twins: list[ClusterReport] = []
    racing = lake.at(lake.uri)
    racing.storage = Twin(lake.uri)
    assert racing.night().version == twins[0].version == 1
    assert lake.codebook_versions() == [1]
