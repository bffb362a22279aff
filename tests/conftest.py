"""Fixtures shared by several kinds of test."""

import os

# Tests run side by side, and more threads than cores wait for one another. Sums also depend in
# their last bit on how many threads share them. Libraries read this when they are loaded.
os.environ["OMP_NUM_THREADS"] = "1"

# Under `uv run`, Ray would build an environment for every worker, and without `ray` in it where the
# tests are started with `--no-sync`. The environment is there already.
os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
# Ray's default of 15 lets tests wait for whatever else runs on the machine.
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  Ray's spelling

import io
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from samseg import schema
from samseg.output import Output
from samseg.storage import clients
from samseg.types import Masks, image_id_of, mask_id_of

TESTS = Path(__file__).parent
NAMES = ("apples", "crates", "")
"""Names of the three classes; the last one has no name yet."""


@dataclass(frozen=True)
class SmallOutput:
    """A committed output folder of generated scenes, and its ground truth."""

    output: Output
    keys: list[str]  # of the images, in the order of shards and rows
    photos: dict[str, bytes]  # uri -> JPEG
    class_of: dict[str, int]  # mask_id -> class_id
    shards: list[str]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the lanes that are whole folders, and start with slow tests to keep workers busy."""
    for item in items:
        file = item.path.relative_to(TESTS).as_posix()
        for folder, lane in (("unit/lab/", "lab"), ("e2e/", "e2e"), ("chaos/", "chaos")):
            if file.startswith(folder):
                item.add_marker(lane)
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Use one PyTorch thread, whatever number the test before chose."""
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry requests of this process as often as ever, without the waits in between."""
    monkeypatch.setattr(clients, "DELAYS_S", tuple(0.001 for _ in clients.DELAYS_S))


@pytest.fixture
def small_output(tmp_path: Path) -> Callable[..., SmallOutput]:
    """Return a builder of small output folders; see `built_output`."""
    return partial(built_output, tmp_path)


def built_output(
    folder: Path,
    keys: tuple[str, ...] = ("a.jpg", "b/c.jpg", "d.jpg", "e.jpg"),
    codebook: bool = True,
    masks: bool = True,
    failures: tuple[tuple[str, str, str], ...] = (),
    size: tuple[int, int] = (96, 128),
) -> SmallOutput:
    """Write scenes of discs (class 0), squares (1) and bars (2) with one odd blob (noise).

    Args:
        folder: gets the output folder `output`.
        keys: keys of the images, split into two shards.
        codebook: also write a codebook with assignments.
        masks: False for images without masks.
        failures: (key, status, error) of images that failed, in the first shard.
        size: (h, w).
    """
    output = Output(str(folder / "output"))
    output.guard({})
    photos: dict[str, bytes] = {}
    class_of: dict[str, int] = {}
    shards = ["0" * 19 + "a", "0" * 19 + "b"]
    half = (len(keys) + 1) // 2
    medoids: dict[int, str] = {}
    for shard, part in zip(shards, (keys[:half], keys[half:]), strict=True):
        images: list[dict[str, Any]] = []
        rows: list[dict[str, Any]] = []
        vectors: list[np.ndarray] = []
        for key in part:
            rng = np.random.default_rng(list(key.encode()))
            pixels, found = _scene(rng, size)
            uri = f"memory://lake/{image_id_of(key)}"
            photos[uri] = _jpeg(pixels)
            found = found if masks else []
            images.append(
                {
                    "image_id": image_id_of(key),
                    "key": key,
                    "uri": uri,
                    "shard_id": shard,
                    "width": size[1],
                    "height": size[0],
                    "status": "ok" if found else "no_masks",
                    "masks": len(found),
                    "seconds": {"read": 0.01, "decode": 0.02, "segment": 0.5, "pool": 0.03},
                }
            )
            for i, (class_id, mask) in enumerate(found):
                row = _row(key, uri, i, mask)
                rows.append(row)
                class_of[row["mask_id"]] = class_id
                medoids.setdefault(class_id, row["mask_id"])
                axis = np.zeros(schema.DIMENSION, dtype=np.float32)
                axis[class_id] = 5.0
                vectors.append(axis + rng.normal(size=schema.DIMENSION).astype("f4") / 9)
        if shard == shards[0]:
            for key, status, error in failures:
                images.append(
                    {
                        "image_id": image_id_of(key),
                        "key": key,
                        "uri": f"memory://lake/{image_id_of(key)}",
                        "shard_id": shard,
                        "status": status,
                        "error": error,
                        "masks": 0,
                        "seconds": {"read": 0.01, "decode": 0.0, "segment": 0.0, "pool": 0.0},
                    }
                )
        _put(output, output.masks_key(shard), _with_vectors(rows, vectors))
        if codebook:
            assignments = [
                {
                    "mask_id": row["mask_id"],
                    "class_id": class_of[row["mask_id"]],
                    "distance": 0.01 * i,
                    "margin": 0.5,
                    "codebook": 1,
                }
                for i, row in enumerate(rows)
            ]
            table = schema.table_of(assignments, schema.ASSIGNMENTS)
            _put(output, output.assignments_key(1, shard), table)
        _put(output, output.images_key(shard), schema.table_of(images, schema.IMAGES))
    if codebook:
        classes = [
            {
                "class_id": i,
                "name": name,
                "status": "active",
                "size": sum(c == i for c in class_of.values()),
                "radius": 0.1,
                "medoid_mask_id": medoids.get(i),
                "born_in": 1,
                "parents": [],
            }
            for i, name in enumerate(NAMES)
        ]
        _put(output, output.codebook_key(1, "classes.parquet"), _classes(classes))
        _put(output, output.codebook_key(1, "core.parquet"), schema.CORE.empty_table())
        facts = {"version": 1, "eps": 0.1}
        output.storage.put_new(output.codebook_key(1, "codebook.json"), json.dumps(facts).encode())
    return SmallOutput(output, list(keys), photos, class_of, shards)


def _scene(
    rng: np.random.Generator, size: tuple[int, int]
) -> tuple[np.ndarray, list[tuple[int, np.ndarray]]]:
    """Draw a photo-like image: (h, w, 3) uint8, and its masks with their classes."""
    h, w = size
    y, x = np.mgrid[:h, :w]
    ground = np.stack([90 + 60 * y / h, 110 + 30 * x / w, 120 - 50 * y / h], axis=-1)
    pixels = ground + rng.normal(scale=6, size=(h, w, 3))
    unit = h / 12
    found: list[tuple[int, np.ndarray]] = []
    for class_id in (0, 0, 0, 1, 1, 2, -1):
        cy, cx = rng.uniform(2 * unit, h - 2 * unit), rng.uniform(2 * unit, w - 2 * unit)
        r = unit * rng.uniform(1.0, 1.9)
        if class_id == 0:
            mask, color = (y - cy) ** 2 + (x - cx) ** 2 < r * r, (200, 40, 45)
        elif class_id == 1:
            mask, color = (abs(y - cy) < r) & (abs(x - cx) < r), (170, 120, 60)
        elif class_id == 2:
            mask, color = (abs(y - cy) < r / 3) & (abs(x - cx) < 2 * r), (60, 90, 190)
        else:
            mask = (y - cy) ** 2 * (1 + np.sin(x / 3) / 2) + (x - cx) ** 2 < r * r
            color = (235, 220, 120)
        light = 1.15 - 0.35 * np.clip((y - cy + r) / (2 * r), 0, 1)
        pixels[mask] = (np.array(color) * light[..., None])[mask]
        found.append((class_id, mask))
    return np.clip(pixels, 0, 255).astype(np.uint8), found


def _row(key: str, uri: str, i: int, mask: np.ndarray) -> dict[str, Any]:
    from pycocotools import mask as coco

    rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    x, y, w, h = (int(v) for v in coco.toBbox(rle))
    return {
        "mask_id": mask_id_of(image_id_of(key), i),
        "image_id": image_id_of(key),
        "image_uri": uri,
        "mask_index": i,
        "bbox": {"x": x, "y": y, "w": w, "h": h},
        "area": int(mask.sum()),
        "predicted_iou": 0.9,
        "stability_score": 0.95,
        "rle": {"size": rle["size"], "counts": rle["counts"].decode()},
        "depth": 0,
        "status": "ok",
    }


def _with_vectors(rows: list[dict[str, Any]], vectors: list[np.ndarray]) -> Any:
    table = schema.table_of(rows, schema.MASKS)
    if not rows:
        return table
    column = table.schema.get_field_index("embedding")
    return table.set_column(
        column, schema.MASKS.field("embedding"), schema.embeddings_of(np.stack(vectors))
    )


def _classes(rows: list[dict[str, Any]]) -> Any:
    return schema.table_of(rows, schema.CLASSES)


def _put(output: Output, key: str, table: Any) -> None:
    assert output.storage.put_new(key, schema.encode(table))


def _jpeg(pixels: np.ndarray) -> bytes:
    from PIL import Image

    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "JPEG", quality=92)
    return sink.getvalue()


@pytest.fixture(scope="session")
def masks_of() -> Callable[[np.ndarray], Masks]:
    """Return a function that converts (n, h, w) bool to `Masks` with `prompt_ids` 0 to n - 1."""
    from pycocotools import mask as coco

    def made(dense: np.ndarray) -> Masks:
        n, h, w = dense.shape
        columns, rows = dense.any(axis=1), dense.any(axis=2)
        first = np.stack([columns.argmax(1), rows.argmax(1)], axis=1)
        last = np.stack([w - columns[:, ::-1].argmax(1), h - rows[:, ::-1].argmax(1)], axis=1) - 1
        some = dense.any(axis=(1, 2))
        return Masks(
            size=(h, w),
            boxes=(np.concatenate([first, last], axis=1) * some[:, None]).astype(np.int32),
            areas=dense.sum(axis=(1, 2)),
            predicted_iou=np.ones(n, np.float32),
            stability_score=np.ones(n, np.float32),
            points=np.zeros((n, 2), np.float32),
            crops=np.zeros((n, 4), np.int32),
            rles=tuple(coco.encode(np.asfortranarray(one, dtype=np.uint8)) for one in dense),
            prompt_kind="grid",
            prompt_ids=np.arange(n, dtype=np.int32),
        )

    return made


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """Start one Ray for all tests of this process, with four CPUs and two simulated GPUs."""
    environment = {
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    for name, value in environment.items():
        os.environ.setdefault(name, value)
    import ray

    ray.init(
        "local",
        num_cpus=4,
        num_gpus=2,
        include_dashboard=False,
        object_store_memory=128 * 2**20,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield
    ray.shutdown()


@pytest.fixture
def race() -> Callable[[Any, str], list[int]]:
    """Return a function that creates one key from eight threads and returns the winners."""

    def run(storage: Any, key: str) -> list[int]:
        barrier, won = threading.Barrier(8), []

        def create(i: int) -> None:
            barrier.wait()
            if storage.put_new(key, bytes([i])):
                won.append(i)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(create, range(8)))
        assert storage.get(key) == bytes(won)
        return won

    return run
