"""Output folders: one with masks of known kinds, and one of a night over photos."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from samseg import ledger, schema
from samseg.clustering import DBSCAN
from samseg.clustering.settings import ClusterSettings
from samseg.output import Output
from samseg.stages.cluster.stage import ClusterReport, cluster

KINDS = 4
FIXED = ClusterSettings(fit=DBSCAN(eps=0.2, min_samples=4))
_g = np.random.default_rng(7)
COMMON = 1.5 * _g.standard_normal(256)
CENTERS = _g.standard_normal((KINDS + 2, 256))


def image_id(shard: str, number: int) -> str:
    return hashlib.blake2b(f"{shard}/{number}".encode(), digest_size=10).hexdigest()


def masks_of(image: str, kinds: tuple[int, ...], noise: int = 2) -> np.ndarray:
    """Return (n, 256) embeddings of one image: one mask of each kind, then noise."""
    g = np.random.default_rng(int(image[:8], 16))
    known = CENTERS[list(kinds)] + 0.3 * g.standard_normal((len(kinds), 256))
    rows = np.concatenate([known, g.standard_normal((noise, 256))]) + COMMON
    return (rows * g.uniform(0.5, 9, (len(rows), 1))).astype(np.float32)


class KnownLake(Output):
    """An output folder written directly with the schemas.

    Attributes:
        kinds: number of kinds of masks in every image, unless its shard has others.
    """

    kinds = KINDS

    def add_shard(
        self,
        shard: str,
        images: int = 6,
        kinds: tuple[int, ...] = tuple(range(KINDS)),
        embeddings: np.ndarray | None = None,
        scale: float = 1.0,
        noise: int = 2,
    ) -> None:
        """Commit one shard; the last mask of each image has no embedding."""
        ids, image_ids, rows = [], [], []
        for number in range(images):
            image = image_id(shard, number)
            vectors = masks_of(image, kinds) if embeddings is None else embeddings
            ids += [f"{image}-{i:04d}" for i in range(len(vectors) + 1)]
            image_ids += [image] * (len(vectors) + 1)
            rows += [*(vectors * np.float32(scale)), np.zeros(vectors.shape[1], np.float32)]
        following = [*image_ids[1:], ""] if image_ids else []
        empty = np.array([a != b for a, b in zip(image_ids, following, strict=True)], bool)
        columns = {name: [None] * len(ids) for name in schema.MASKS.names}
        columns |= {"mask_id": ids, "image_id": image_ids}
        columns["status"] = ["empty" if e else "ok" for e in empty]
        matrix = np.array(rows, dtype=np.float32).reshape(-1, 256)
        columns["embedding"] = schema.embeddings_of(matrix, ~empty)
        table = schema.pa.table(columns, schema=schema.MASKS)
        assert self.storage.put_new(self.masks_key(shard), schema.encode(table))
        commit = schema.encode(schema.IMAGES.empty_table())
        assert self.storage.put_new(self.images_key(shard), commit)

    def night(self, settings: ClusterSettings = FIXED, **options) -> ClusterReport:
        """Run the cluster stage."""
        return cluster(self, settings, recipe_fingerprint="recipe", **options)

    def tree(self) -> dict[str, bytes]:
        """Return all objects of the folder by key."""
        return {s.key: self.storage.get(s.key) for s in self.storage.list()}

    def classes(self, version: int) -> dict[str, int]:
        """Return the class of each mask under a codebook."""
        class_of = {}
        for shard in self.assigned(version):
            part = self.read(self.assignments_key(version, shard))
            ids = part["mask_id"].to_pylist()
            class_of |= dict(zip(ids, part["class_id"].to_pylist(), strict=True))
        return class_of

    def read_ledger(self) -> pa.Table:
        """Return the ledger of the first codebook."""
        return ledger.read(self, self.sizes("assignments", 1), 1)

    def truth(self) -> dict[str, int]:
        """Return the kind of each mask that has one (its index in the image)."""
        return {
            m: int(m[-4:])
            for shard in self.committed()
            for m in self.read(self.masks_key(shard), ["mask_id"])["mask_id"].to_pylist()
            if int(m[-4:]) < KINDS
        }

    def at(self, folder: Path | str) -> "KnownLake":
        """Open another folder, or this one again."""
        return KnownLake(str(folder))

    def copied_to(self, folder: Path) -> "KnownLake":
        """Return a copy of the folder."""
        shutil.copytree(self.uri.removeprefix("file://"), folder)
        return self.at(folder)


@pytest.fixture(scope="session")
def known_lake() -> type[KnownLake]:
    return KnownLake


@pytest.fixture
def empty_lake(tmp_path: Path) -> KnownLake:
    return KnownLake(str(tmp_path / "lake"))


@pytest.fixture
def lake(empty_lake: KnownLake) -> KnownLake:
    for shard in ("a", "b", "c"):
        empty_lake.add_shard(shard)
    return empty_lake


@pytest.fixture
def output(whole: Path, tmp_path: Path) -> Output:
    """A copy of the output of a night, beside a copy of its lake."""
    shutil.copytree(whole / "lake", tmp_path / "lake")
    shutil.copytree(whole / "output", tmp_path / "output")
    (tmp_path / "output" / "lake.json").write_text(json.dumps({"uri": f"file://{tmp_path}/lake"}))
    return Output(str(tmp_path / "output"))
