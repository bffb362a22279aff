"""Synthetic output folders: tables as a night writes them, of masks that no photo has.

A shard has 100 images of 50 masks. Embeddings lie around the means of some hundred classes of very
different sizes, with a component that all share, as those of a network do. Everything follows from
the number of the shard, so a folder can be made larger, and two runs make the same.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from samseg import schema
from samseg.engine.protocol import Engine, Task
from samseg.features import MaskEmbeddings
from samseg.output import Output
from samseg.stages.embed.named_rows import NamedRows
from samseg.stages.table_map import PerItem, grouped, results
from samseg.types import Float32, Shard, Source, image_id_of, mask_id_of

EMBEDDING = "synthetic"
IMAGES, MASKS = 100, 50
"""Images of a shard, and masks of an image."""
MASKS_OF_SHARD = IMAGES * MASKS

_CLASSES, _DIMENSION, _SIDE = 200, 256, 256
_SHARED, _SPREAD = 1.5, 0.55


def shard_of(number: int) -> Shard:
    """Return the n-th shard."""
    sources = [
        Source(
            f"{number:07d}/{i:03d}.jpg", f"memory://synthetic/{number:07d}/{i:03d}.jpg", "1", 1000
        )
        for i in range(IMAGES)
    ]
    return Shard.of(sources, IMAGES)


def vectors_of(number: int) -> Float32:
    """Return the embeddings of the n-th shard, (5000, 256) float32."""
    of_all = np.random.default_rng(0)
    shared = _SHARED * of_all.standard_normal(_DIMENSION)
    means = of_all.standard_normal((_CLASSES, _DIMENSION))
    weight = 1 / np.arange(1, _CLASSES + 1)
    g = np.random.default_rng(number + 1)
    kind = g.choice(_CLASSES, MASKS_OF_SHARD, p=weight / weight.sum())
    rows = g.standard_normal((MASKS_OF_SHARD, _DIMENSION), np.float32) * np.float32(_SPREAD)
    noise = g.random(MASKS_OF_SHARD) < 0.2
    rows[noise] *= np.float32(1 / _SPREAD)
    rows[~noise] += means[kind[~noise]].astype(np.float32)
    return rows + shared.astype(np.float32)


@dataclass(frozen=True, slots=True)
class SyntheticSpec(PerItem[int, None]):
    """What workers receive: the output folder."""

    output: Output

    def of_item(self, item: int) -> None:
        """Write one shard."""
        output, shard = self.output, shard_of(item)
        image_ids = [image_id_of(source.key) for source in shard.sources]
        mask_ids = [mask_id_of(i, n) for i in image_ids for n in range(MASKS)]
        rows = NamedRows(EMBEDDING, _DIMENSION)
        rows.add(mask_ids, MaskEmbeddings(vectors_of(item), ("ok",) * MASKS_OF_SHARD))
        masks = _masks(shard, image_ids, mask_ids)
        output.storage.put_new(output.masks_key(shard.id), schema.encode(masks))
        rows.put(output, shard.id)
        images = [
            {
                "image_id": image_id,
                "key": source.key,
                "uri": source.uri,
                "shard_id": shard.id,
                "sha256": hashlib.sha256(source.key.encode()).hexdigest(),
                "bytes": source.bytes,
                "format": "JPEG",
                "width": _SIDE,
                "height": _SIDE,
                "status": "ok",
                "masks": MASKS,
                "seconds": dict.fromkeys(schema.SECONDS, 0.1),
            }
            for image_id, source in zip(image_ids, shard.sources, strict=True)
        ]
        part = schema.encode(schema.table_of(images, schema.IMAGES))
        output.storage.put_new(output.images_key(shard.id), part)


def synthesize(output: Output, masks: int, engine: Engine) -> Iterator[int]:
    """Write a folder of at least that many masks, or make one larger; yields the masks so far.

    Args:
        output: the folder; what it has is kept.
        masks: number of masks.
        engine: writes the shards.
    """
    if output.recipe() is None:
        named = {"schema": schema.VERSION, "kind": "synthetic", "name": EMBEDDING}
        output.guard(named, output.embedding_recipe_key(EMBEDDING))
        output.guard({"schema": schema.VERSION, "synthetic": True})
    planned = sum(1 for _ in output.planned())
    wanted = -(-masks // MASKS_OF_SHARD)
    if planned < wanted:
        new = [shard_of(number) for number in range(planned, wanted)]
        output.add_plan(output.next_plan(), new, 1)
    committed = output.committed()
    missing = [n for n in range(wanted) if shard_of(n).id not in committed]
    done = masks - len(missing) * MASKS_OF_SHARD
    tasks = (Task(str(group[0]), group) for group in grouped(missing))
    for written in results(engine, SyntheticSpec(output).build, tasks):
        done += len(written) * MASKS_OF_SHARD
        yield done


def _masks(shard: Shard, image_ids: list[str], mask_ids: list[str]) -> pa.Table:
    count = len(mask_ids)
    box = {"x": 10, "y": 10, "w": 20, "h": 30}
    rle = {"size": [_SIDE, _SIDE], "counts": "Z`2n0R70000000000000000000000000000000000000f_h1"}
    known: dict[str, Any] = {
        "mask_id": mask_ids,
        "image_id": np.repeat(image_ids, MASKS).tolist(),
        "image_uri": np.repeat([s.uri for s in shard.sources], MASKS).tolist(),
        "mask_index": list(range(MASKS)) * IMAGES,
        "bbox": [box] * count,
        "area": [600] * count,
        "predicted_iou": [0.9] * count,
        "stability_score": [0.95] * count,
        "rle": [rle] * count,
        "depth": [0] * count,
        "status": ["empty"] * count,
    }
    columns = [pa.array(known.get(f.name, [None] * count), f.type) for f in schema.MASKS]
    return pa.table(columns, schema=schema.MASKS)
