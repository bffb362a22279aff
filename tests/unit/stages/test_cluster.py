"""Nights of the cluster stage over small output folders written straight through the schemas."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from samseg import schema
from samseg.clustering import DBSCAN, KMeans
from samseg.clustering.codebook import Codebook
from samseg.clustering.settings import ClusterSettings
from samseg.errors import CodebookError
from samseg.output import Output
from samseg.stages.cluster import ClusterReport, cluster
from samseg.storage import ObjectStorage

FIXED = ClusterSettings(fit=DBSCAN(eps=0.2, min_samples=4))
KINDS = 4
_g = np.random.default_rng(7)
COMMON = 1.5 * _g.standard_normal(256)
CENTERS = _g.standard_normal((KINDS + 2, 256))


def image_id(shard: str, number: int) -> str:
    return hashlib.blake2b(f"{shard}/{number}".encode(), digest_size=10).hexdigest()


def masks_of(image: str, kinds: tuple[int, ...], noise: int = 2) -> np.ndarray:
    """Return (n, 256) embeddings of one image: one of each kind, then strangers."""
    g = np.random.default_rng(int(image[:8], 16))
    known = CENTERS[list(kinds)] + 0.3 * g.standard_normal((len(kinds), 256))
    rows = np.concatenate([known, g.standard_normal((noise, 256))]) + COMMON
    return (rows * g.uniform(0.5, 9, (len(rows), 1))).astype(np.float32)


def add_shard(
    output: Output,
    shard: str,
    images: int = 6,
    kinds: tuple[int, ...] = tuple(range(KINDS)),
    embeddings: np.ndarray | None = None,
    scale: float = 1.0,
) -> None:
    """Commit one shard; the last mask of each image has no embedding."""
    ids, image_ids, rows = [], [], []
    for number in range(images):
        image = image_id(shard, number)
        found = masks_of(image, kinds) if embeddings is None else embeddings
        ids += [f"{image}-{i:04d}" for i in range(len(found) + 1)]
        image_ids += [image] * (len(found) + 1)
        rows += [*(found * np.float32(scale)), np.zeros(found.shape[1], np.float32)]
    empty = np.array([a != b for a, b in zip(image_ids, [*image_ids[1:], ""], strict=False)], bool)
    columns = {name: [None] * len(ids) for name in schema.MASKS.names}
    columns |= {"mask_id": ids, "image_id": image_ids}
    columns["status"] = ["empty" if e else "ok" for e in empty]
    matrix = np.array(rows, dtype=np.float32).reshape(-1, 256)
    columns["embedding"] = schema.embeddings_of(matrix, ~empty)
    table = schema.pa.table(columns, schema=schema.MASKS)
    assert output.storage.put_new(output.masks_key(shard), schema.encode(table))
    commit = schema.encode(schema.IMAGES.empty_table())
    assert output.storage.put_new(output.images_key(shard), commit)


def night(output: Output, settings: ClusterSettings = FIXED, **options) -> ClusterReport:
    return cluster(output, settings, recipe_fingerprint="recipe", **options)


def tree(output: Output) -> dict[str, bytes]:
    return {s.key: output.storage.get(s.key) for s in output.storage.list()}


def classes(output: Output, version: int) -> dict[str, int]:
    found = {}
    for shard in output.assigned(version):
        part = output.read(output.assignments_key(version, shard))
        found |= dict(zip(part["mask_id"].to_pylist(), part["class_id"].to_pylist(), strict=True))
    return found


def truth(output: Output) -> dict[str, int]:
    """Return the kind of each mask that is one, by its index."""
    return {
        m: int(m[-4:])
        for shard in output.committed()
        for m in output.read(output.masks_key(shard), ["mask_id"])["mask_id"].to_pylist()
        if int(m[-4:]) < KINDS
    }


@pytest.fixture
def lake(tmp_path: Path) -> Output:
    output = Output(str(tmp_path / "lake"))
    for shard in ("a", "b", "c"):
        add_shard(output, shard)
    return output


# ---------------------------------------------------------------------- ordinary nights


def test_the_first_night_finds_the_classes(lake):
    report = night(lake)
    assert (report.version, report.refitted, report.reason) == (1, True, "first")
    assert report.classes == report.born == KINDS
    assert report.retired == 0
    found = classes(lake, 1)
    by_kind = [{found[m] for m, kind in truth(lake).items() if kind == k} for k in range(KINDS)]
    assert all(len(ids) == 1 and -1 not in ids for ids in by_kind)
    assert len(set.union(*by_kind)) == KINDS


def test_the_default_settings_find_them_too(lake):
    report = night(lake, ClusterSettings())
    assert report.classes == KINDS
    assert len(report.curve) > 10
    assert report.eps in [row["eps"] for row in report.curve]


def test_counts_add_up(lake):
    calls = []
    report = night(lake, on_progress=calls.append)
    found = classes(lake, 1)
    assert report.masks == report.new_masks == len(found) == 3 * 6 * (KINDS + 3)
    assert report.assigned == sum(c >= 0 for c in found.values())
    assert report.noise == sum(c < 0 for c in found.values())
    assert report.invalid == 18
    assert calls == [42, 84, 126]


def test_masks_without_an_embedding_are_noise_at_no_distance(lake):
    night(lake)
    part = lake.read(lake.assignments_key(1, "a")).to_pylist()
    empty = [row for row in part if row["mask_id"].endswith(f"-{KINDS + 2:04d}")]
    assert len(empty) == 6
    assert all((r["class_id"], r["distance"], r["margin"]) == (-1, None, None) for r in empty)
    others = [row for row in part if row not in empty]
    assert all(row["distance"] >= 0 and row["margin"] >= 0 for row in others)
    assert {row["codebook"] for row in part} == {1}


def test_an_assignments_part_follows_its_masks_part_row_for_row(lake):
    night(lake)
    for shard in "abc":
        masks = lake.read(lake.masks_key(shard), ["mask_id"])["mask_id"]
        assert lake.read(lake.assignments_key(1, shard))["mask_id"].equals(masks)


def test_a_second_night_assigns_only_what_is_new(lake, monkeypatch):
    night(lake)
    before = tree(lake)
    add_shard(lake, "d")
    touched = []
    read = Output.read
    monkeypatch.setattr(
        Output, "read", lambda self, key, *rest: touched.append(key) or read(self, key, *rest)
    )
    report = night(lake)
    assert (report.version, report.refitted, report.reason) == (1, False, "")
    assert report.masks == report.new_masks == 42
    assert report.born == report.retired == 0
    assert [key for key in touched if not key.startswith("classes/v000001/")] == [
        "masks/part-d.parquet"
    ]
    after = tree(lake)
    assert {k: after[k] for k in before} == before
    assert set(after) - set(before) == {
        "masks/part-d.parquet",
        "images/part-d.parquet",
        "classes/v000001/assignments/part-d.parquet",
    }


def test_a_night_with_nothing_new_writes_nothing(lake):
    night(lake)
    before = tree(lake)
    report = night(lake)
    assert (report.masks, report.new_masks, report.classes) == (0, 0, KINDS)
    assert tree(lake) == before


def test_every_mask_with_a_class_has_a_witness_within_the_radius_and_no_other_has(lake):
    night(lake)
    add_shard(lake, "d")
    night(lake)
    codebook = Codebook.load(lake, "recipe")
    core = codebook.anchors.vectors.astype(np.float64)
    for shard in "abcd":
        masks = lake.read(lake.masks_key(shard))
        masks = masks.filter(schema.pa.compute.equal(masks["status"], "ok"))
        points = codebook.transform.apply(schema.matrix_of(masks["embedding"]))[0]
        distance = 1 - points.astype(np.float64) @ core.T
        found = classes(lake, 1)
        for mask_id, row in zip(masks["mask_id"].to_pylist(), distance, strict=True):
            witness = row <= codebook.eps
            ids = set(codebook.anchors.class_ids[witness].tolist())
            assert found[mask_id] in ids if ids else found[mask_id] == -1


def test_neither_the_order_of_nights_nor_of_shards_matters(tmp_path, lake):
    night(lake)
    add_shard(lake, "d")
    add_shard(lake, "e")
    night(lake)
    other = Output(str(tmp_path / "other"))
    for shard in ("c", "a", "b"):
        add_shard(other, shard)
    night(other)
    for shard in ("e", "d"):
        add_shard(other, shard)
        night(other)
    assert tree(other) == tree(lake)


def test_the_length_of_embeddings_does_not_matter(tmp_path, lake):
    other = Output(str(tmp_path / "other"))
    for shard in "abc":
        add_shard(other, shard, scale=0.125)
    night(lake)
    night(other)
    assert classes(other, 1) == classes(lake, 1)


def test_how_masks_are_packed_into_shards_does_not_change_the_reference(tmp_path, lake):
    small = FIXED.model_copy(update={"reference": 40})
    night(lake, small)
    codebook = Codebook.load(lake, "recipe")
    assert codebook.notes["reference"] == 40
    assert codebook.notes["masks"] == 3 * 6 * (KINDS + 2)
    other = Output(str(tmp_path / "other"))
    parts = [lake.read(lake.masks_key(shard)) for shard in "abc"]
    whole = schema.encode(schema.pa.concat_tables(parts))
    other.storage.put_new(other.masks_key("one"), whole)
    other.storage.put_new(other.images_key("one"), schema.encode(schema.IMAGES.empty_table()))
    night(other, small)
    assert classes(other, 1) == classes(lake, 1)


# ---------------------------------------------------------------------- refits


def test_a_lake_that_has_doubled_is_fitted_anew_and_ids_live_on(lake):
    night(lake)
    before = classes(lake, 1)
    for shard in "def":
        add_shard(lake, shard, kinds=(*range(KINDS), KINDS))
    report = night(lake)
    assert (report.version, report.refitted, report.reason) == (2, True, "growth")
    assert (report.born, report.retired, report.classes) == (1, 0, KINDS + 1)
    assert (report.masks, report.new_masks) == (126 + 144, 144)
    after = classes(lake, 2)
    assert len(after) == 126 + 144
    assert all(after[m] == c for m, c in before.items() if c >= 0)
    rows = lake.read(lake.codebook_key(2, "classes.parquet")).to_pylist()
    assert [r["born_in"] for r in rows] == [1] * KINDS + [2]
    assert [r["name"] for r in rows] == [f"class {i}" for i in range(KINDS + 1)]


@pytest.mark.parametrize(
    ("settings", "options", "reason"),
    [
        (FIXED, {"refit": True}, "asked"),
        (FIXED.model_copy(update={"refit_growth": 50.0}), {}, ""),
        (ClusterSettings(fit=DBSCAN(eps=0.21, min_samples=4)), {}, "settings"),
        (ClusterSettings(fit=KMeans(classes=5)), {}, "settings"),
    ],
)
def test_what_makes_a_night_refit(lake, settings, options, reason):
    night(lake)
    report = night(lake, settings, **options)
    assert (report.reason, report.refitted) == (reason, bool(reason))
    assert report.version == (2 if reason else 1)


def test_a_refit_of_the_same_lake_keeps_every_class(lake):
    night(lake)
    report = night(lake, refit=True)
    assert (report.born, report.retired) == (0, 0)
    assert report.new_masks == 0
    assert classes(lake, 2) == classes(lake, 1)


def test_ids_are_never_reused(lake):
    night(lake)
    strict = ClusterSettings(fit=DBSCAN(eps=0.2, min_samples=4), reference=1)
    report = night(lake, strict)
    assert (report.classes, report.retired) == (0, KINDS)
    report = night(lake)
    assert (report.version, report.born) == (3, KINDS)
    rows = lake.read(lake.codebook_key(3, "classes.parquet")).to_pylist()
    assert [r["class_id"] for r in rows] == list(range(2 * KINDS))
    assert [r["status"] for r in rows] == ["retired"] * KINDS + ["active"] * KINDS
    assert set(classes(lake, 3).values()) == {-1, *range(KINDS, 2 * KINDS)}


def test_merged_classes_name_their_parents(lake):
    night(lake)
    night(lake, ClusterSettings(fit=KMeans(classes=2)))
    rows = lake.read(lake.codebook_key(2, "classes.parquet")).to_pylist()
    active = [r for r in rows if r["status"] == "active"]
    named = {p for r in active for p in r["parents"]} | {r["class_id"] for r in active}
    assert named >= set(range(KINDS))


# ---------------------------------------------------------------------- little or odd input


@pytest.mark.parametrize("images", [0, 1])
def test_too_few_masks_for_a_class_are_no_error(tmp_path, images):
    output = Output(str(tmp_path / "lake"))
    add_shard(output, "a", images=images)
    report = night(output)
    assert (report.classes, report.assigned, report.masks) == (0, 0, images * 7)
    for shard in "bcd":
        add_shard(output, shard)
    report = night(output)
    assert (report.version, report.reason, report.classes) == (2, "growth", KINDS)


def test_an_empty_folder_is_no_error(tmp_path):
    output = Output(str(tmp_path / "lake"))
    assert night(output).masks == 0
    add_shard(output, "a")
    assert night(output).reason == "growth"


def test_embeddings_that_are_not_finite_are_noise_and_counted(lake):
    bad = np.full((2, 256), np.nan, np.float32)
    bad[1] = 0
    add_shard(lake, "d", images=1, embeddings=bad)
    report = night(lake)
    assert report.invalid == 18 + 3
    part = lake.read(lake.assignments_key(1, "d"))
    assert part["class_id"].to_pylist() == [-1, -1, -1]
    assert part["distance"].null_count == 3
    assert Codebook.load(lake, "recipe").notes["invalid"] == 2


def test_a_codebook_of_another_recipe_is_refused(lake):
    night(lake)
    with pytest.raises(CodebookError, match="recipe recipe, these are of recipe other"):
        cluster(lake, FIXED, recipe_fingerprint="other")


# ---------------------------------------------------------------------- kills and races


class Killed(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


class Mortal(ObjectStorage):
    """A storage whose process dies around its n-th write, before or after it takes effect."""

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


def deaths(base: Output, folder: Path) -> Iterator[Output]:
    """Yield copies of `base` in which a night was killed at each of its writes."""
    for writes in range(1, 100):
        for after in (False, True):
            copy = folder / f"{writes}{after}"
            shutil.copytree(base.uri.removeprefix("file://"), copy)
            output = Output(str(copy))
            output.storage = Mortal(output.uri, writes, after)
            try:
                night(output)
            except Killed:
                yield Output(str(copy))
            else:
                assert writes > 1
                return
    raise RuntimeError("a night never ended")


@pytest.mark.parametrize("nights", ["first", "assign", "refit"])
def test_a_night_killed_at_any_write_and_run_again_is_as_if_never_killed(tmp_path, lake, nights):
    if nights != "first":
        night(lake)
        for shard in "de" if nights == "assign" else "def":
            add_shard(lake, shard)
    calm = tmp_path / "calm"
    shutil.copytree(lake.uri.removeprefix("file://"), calm)
    night(Output(str(calm)))
    want, count = tree(Output(str(calm))), 0
    for output in deaths(lake, tmp_path):
        newest = output.codebook_versions()
        for version in newest:  # what readers see is whole
            assert {"a", "b", "c"} <= output.assigned(version)
        night(output)
        assert tree(output) == want
        count += 1
    assert count == 2 * len(set(want) - set(tree(lake)))


def test_a_half_written_codebook_is_passed_over_when_the_lake_has_grown_since(tmp_path, lake):
    seen = set()
    for output in deaths(lake, tmp_path):
        add_shard(output, "d")
        report = night(output)
        codebook = Codebook.load(output, "recipe")
        seen.add(report.version)
        assert output.codebook_versions() == [report.version]
        assert output.assigned(report.version) == {"a", "b", "c", "d"}
        assert classes(output, report.version).keys() >= truth(output).keys()
        assert report.version == codebook.version
        assert {c.born_in for c in codebook.classes} == {report.version}
        rows = output.read(output.assignments_key(report.version, "a"))
        assert set(rows["codebook"].to_pylist()) == {report.version}
        fresh = Output(str(tmp_path / "fresh"))
        if not fresh.committed():
            for shard in "abcd":
                add_shard(fresh, shard)
            night(fresh)
        if report.refitted:
            assert classes(output, report.version) == classes(fresh, 1)
    assert seen == {1, 2}


def test_a_codebook_committed_by_another_run_meanwhile_is_not_followed_blindly(lake):
    night(lake)
    for shard in "def":
        add_shard(lake, shard)

    class Rival(ObjectStorage):
        """Lets another run finish a whole refit just before this one commits."""

        def put_new(self, key: str, payload: bytes) -> bool:
            if key.startswith("classes/v000002/assignments/part-f") and not rivals:
                rivals.append(night(Output(lake.uri), refit=True))
                rivals.append(night(Output(lake.uri), refit=True))
            return super().put_new(key, payload)

    rivals: list[ClusterReport] = []
    racing = Output(lake.uri)
    racing.storage = Rival(lake.uri)
    with pytest.raises(CodebookError, match="another run committed codebook v3"):
        night(racing)
    assert night(lake).version == 3


def test_two_runs_of_the_same_night_agree(lake):
    class Twin(ObjectStorage):
        def put_new(self, key: str, payload: bytes) -> bool:
            if key.endswith("codebook.json") and not twins:
                twins.append(night(Output(lake.uri)))
            return super().put_new(key, payload)

    twins: list[ClusterReport] = []
    racing = Output(lake.uri)
    racing.storage = Twin(lake.uri)
    assert night(racing).version == twins[0].version == 1
    assert lake.codebook_versions() == [1]
