import numpy as np
import pytest
from pycocotools import mask as coco

from samseg.masks.distinct import distinct


def rle(start: int, stop: int) -> dict:
    mask = np.zeros((10, 100), np.uint8)
    mask[:, start:stop] = 1
    code = coco.encode(np.asfortranarray(mask))
    return {"size": code["size"], "counts": code["counts"].decode()}


@pytest.mark.parametrize(
    ("spans", "kept"),
    [
        ([], []),
        ([(0, 10)], [0]),
        ([(0, 10), (0, 10)], [0]),
        ([(0, 10), (0, 20)], [0]),  # half of the union
        ([(0, 10), (0, 21)], [0, 1]),
        ([(0, 10), (50, 60), (1, 11), (52, 60)], [0, 1]),
        ([(0, 40), (0, 10), (11, 20)], [0, 1, 2]),  # parts of an object are objects of their own
        ([(0, 10), (5, 15), (9, 19)], [0, 1, 2]),
    ],
)
def test_near_identical_masks_count_once(spans: list, kept: list) -> None:
    assert distinct([rle(*span) for span in spans]) == kept
