"""Drawing, encoding and cleaning masks, against the reference's functions on whole images."""

import numpy as np
import pytest
import torch
from pycocotools import mask as coco
from segment_anything.utils.amg import (
    batched_mask_to_box,
    uncrop_masks,
)

from samseg.sam.encoder import Geometry
from samseg.sam.masks import Candidates, to_masks
from samseg.sam.upsample import Upsampler
from samseg.types import Masks


def encoded(dense):
    """COCO RLEs of (n, h, w) bool."""
    return tuple(coco.encode(np.asfortranarray(one, dtype=np.uint8)) for one in dense)


def masks_of(dense):
    """Masks of (n, h, w) bool, told apart by `prompt_ids`."""
    n = len(dense)
    return Masks(
        size=dense.shape[1:],
        boxes=batched_mask_to_box(torch.as_tensor(dense)).numpy().astype(np.int32),
        areas=dense.sum(axis=(1, 2)),
        predicted_iou=np.ones(n, np.float32),
        stability_score=np.ones(n, np.float32),
        points=np.zeros((n, 2), np.float32),
        crops=np.zeros((n, 4), np.int32),
        rles=encoded(dense),
        prompt_kind="grid",
        prompt_ids=np.arange(n, dtype=np.int32),
    )


# --------------------------------------------------------------------------- drawing


def blobs(m):
    """Logits (m, 256, 256) of blobs of several sizes, one of them empty."""
    coarse = torch.randn(m, 1, 9, 9, generator=torch.Generator().manual_seed(1))
    coarse -= torch.linspace(-1, 1.5, m)[:, None, None, None]
    coarse[0] = -1.0
    return torch.nn.functional.interpolate(coarse, 256, mode="bicubic")[:, 0] * 4


@pytest.mark.parametrize("size", [(90, 130), (300, 210)])
def test_masks_of_crops_lie_where_their_crop_lies(tiny, size):
    h, w = size
    crops = [(0, 0, w, h), (w // 3, 0, w, h // 2), (5, h // 4, w // 2, h), (1, 1, 2, h - 1)]
    parts, wanted = [], []
    for x0, y0, x1, y1 in crops:
        inside = (y1 - y0, x1 - x0)
        geometry, logits = Geometry.of(inside, 1024), blobs(4)
        upsampler = Upsampler(geometry, 256, 1024, torch.device("cpu"))
        full = tiny.postprocess_masks(logits[None], geometry.input_size, inside)[0] > 0
        wanted.append(uncrop_masks(full, [x0, y0, x1, y1], h, w).numpy())
        parts.append(
            Candidates(
                boxes=np.zeros((4, 4), np.int64),
                areas=np.zeros(4, np.int64),
                predicted_iou=np.ones(4, np.float32),
                stability_score=np.ones(4, np.float32),
                points=np.zeros((4, 2), np.float32),
                crops=np.tile(np.array([x0, y0, x1, y1]), (4, 1)),
                prompt_ids=np.arange(4, dtype=np.int32),
                cutouts=tuple((upsampler, c) for c in upsampler.cut(logits, 0.0)),
            )
        )
    masks = to_masks(Candidates.join(parts), size, 0.0, "grid")
    dense, wanted = masks.to_dense(), np.concatenate(wanted)
    assert ((dense != wanted).sum(axis=(1, 2)) <= 1).all()  # a px may be rounded over the threshold
    assert masks.rles == encoded(dense)
    np.testing.assert_array_equal(masks.areas, dense.sum(axis=(1, 2)))
    np.testing.assert_array_equal(masks.boxes, batched_mask_to_box(torch.as_tensor(dense)))
    assert (masks.areas[::4] == 0).all()
    assert (masks.areas > 0).sum() >= 9


def test_no_candidates():
    masks = to_masks(Candidates.join([]), (30, 40), 0.0, "grid")
    assert (len(masks), masks.boxes.shape, masks.areas.shape) == (0, (0, 4), (0,))
