"""A whole output folder: every kind of object, stub masks in place of SAM's."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from samseg import schema
from samseg.config import Config, parse
from samseg.features import MaskEmbeddings
from samseg.nightly import Night
from samseg.output import Output
from samseg.stages.embed.named_rows import NamedRows
from samseg.types import Shard, image_id_of, mask_id_of

KINDS = 3
SIZE = 48


def config_of(folder: Path) -> Config:
    return parse(
        {
            "output": str(folder / "output"),
            "reader": {"kind": "folder", "uri": str(folder / "lake"), "images_per_shard": 4},
            "embeddings": [{"kind": "efficientnet_lite0", "name": "lite"}],
            "cluster": {"embedding": "lite"},
            "exports": [{"kind": "coco"}],
            "engine": {"kind": "local", "attempts": 1},
        }
    )


def label(output: Output, shard: Shard) -> None:
    """Commit a shard as the embed stage does, six masks per image."""
    images, masks, sam, lite = [], [], [], []
    for source in shard.sources:
        image_id = image_id_of(source.key)
        g = np.random.default_rng(list(source.key.encode()))
        for index in range(2 * KINDS):
            kind, dense = index % KINDS, np.zeros((SIZE, SIZE), np.uint8)
            dense[4 * index : 4 * index + 6, 5 : 15 + 9 * kind] = 1
            rle = coco.encode(np.asfortranarray(dense))
            box = dict(zip("xywh", (int(v) for v in coco.toBbox(rle)), strict=True))
            masks.append(
                {
                    "mask_id": mask_id_of(image_id, index),
                    "image_id": image_id,
                    "image_uri": source.uri,
                    "mask_index": index,
                    "bbox": box,
                    "area": int(dense.sum()),
                    "predicted_iou": 0.9,
                    "stability_score": 0.95,
                    "rle": {"size": rle["size"], "counts": rle["counts"].decode()},
                    "depth": 0,
                    "status": "ok",
                }
            )
            for vectors, size in ((sam, 256), (lite, 256)):
                axis = 5 * np.random.default_rng(kind).normal(size=size)
                vectors.append((axis + g.normal(size=size)).astype(np.float32))
        images.append(
            {
                "image_id": image_id,
                "key": source.key,
                "uri": source.uri,
                "shard_id": shard.id,
                "width": SIZE,
                "height": SIZE,
                "status": "ok",
                "masks": 2 * KINDS,
                "seconds": {"read": 0.01, "decode": 0.02, "segment": 0.5, "pool": 0.03},
            }
        )
    table = schema.table_of(masks, schema.MASKS)
    column = schema.embeddings_of(np.stack(sam))
    table = table.set_column(
        table.schema.get_field_index("embedding"), schema.MASKS.field("embedding"), column
    )
    output.storage.put_new(output.masks_key(shard.id), schema.encode(table))
    rows = NamedRows("lite", 256)
    ids = [row["mask_id"] for row in masks]
    rows.add(ids, MaskEmbeddings(np.stack(lite), ("ok",) * len(ids)))
    rows.put(output, shard.id)
    table = schema.table_of(images, schema.IMAGES)
    assert output.storage.put_new(output.images_key(shard.id), schema.encode(table))


def labelled(folder: Path) -> Output:
    """Make a lake of twelve photos and the output folder of one night over it, in `folder`."""
    (folder / "lake").mkdir(parents=True)
    for i in range(12):
        pixels = np.random.default_rng(i).integers(0, 255, (SIZE, SIZE, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "lake" / f"{i:02d}.jpg")
    night = Night(config_of(folder))
    night.plan()
    night.recipes.create()
    for shard in night.output.planned():
        label(night.output, shard)
    night.cluster()
    night.export()
    night.report()
    night.close()
    return night.output


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Iterator[Callable[[], Path]]:
    """Return what puts the output folder back as it was, at one place."""
    shutil.copytree(whole / "lake", tmp_path / "lake")

    def fresh() -> Path:
        shutil.rmtree(tmp_path / "output", ignore_errors=True)
        shutil.copytree(whole / "output", tmp_path / "output")
        lake = json.dumps({"uri": f"file://{tmp_path}/lake"})
        (tmp_path / "output" / "lake.json").write_text(lake)
        return tmp_path

    yield fresh
