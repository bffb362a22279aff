"""The rows of the table `masks` for one image."""

import numpy as np
import pyarrow as pa

from samseg import schema
from samseg.stages.embed.prefetch import DecodedImage
from samseg.types import Int32, Masks, Pooled, mask_id_of


def mask_table(
    decoded: DecodedImage, masks: Masks, pooled: Pooled, parent: Int32, depth: Int32
) -> pa.Table:
    """Build the rows of `masks` for one image."""
    n = len(masks)
    image_id = decoded.raw.image_id
    ids = [mask_id_of(image_id, i) for i in range(n)]
    counts = [rle["counts"] for rle in masks.rles]
    columns = {
        "mask_id": ids,
        "image_id": [image_id] * n,
        "image_uri": [decoded.raw.uri] * n,
        "mask_index": np.arange(n, dtype=np.int32),
        "bbox": _boxes(_inclusive_to_xywh(masks.boxes)),
        "area": masks.areas,
        "predicted_iou": masks.predicted_iou,
        "stability_score": masks.stability_score,
        "point": pa.StructArray.from_arrays(
            [pa.array(masks.points[:, i], pa.float32()) for i in range(2)],
            fields=list(schema.POINT),
        ),
        "crop": _boxes(_exclusive_to_xywh(masks.crops)),
        "prompt_kind": [masks.prompt_kind] * n,
        "prompt_id": masks.prompt_ids,
        "rle": pa.array(
            [
                {"size": list(masks.size), "counts": c.decode() if isinstance(c, bytes) else c}
                for c in counts
            ],
            schema.RLE,
        ),
        "coverage": pooled.coverage,
        "parent_mask_id": [ids[p] if p >= 0 else None for p in parent],
        "depth": depth,
        "status": np.where(pooled.empty, "empty", "ok").tolist(),
        "embedding": schema.embeddings_of(pooled.embeddings, ~pooled.empty),
    }
    arrays = [pa.array(columns[f.name], f.type) for f in schema.MASKS]
    return pa.Table.from_arrays(arrays, schema=schema.MASKS)


def _inclusive_to_xywh(boxes: Int32) -> Int32:
    """Convert xyxy boxes with both corners inclusive to COCO xywh."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2] + 1], axis=1)


def _exclusive_to_xywh(boxes: Int32) -> Int32:
    """Convert xyxy boxes with an exclusive second corner (crops) to COCO xywh."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def _boxes(xywh: Int32) -> pa.StructArray:
    return pa.StructArray.from_arrays(
        [pa.array(xywh[:, i], pa.int32()) for i in range(4)], fields=list(schema.BOX)
    )
