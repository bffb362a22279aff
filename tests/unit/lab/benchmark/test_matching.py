import numpy as np
import pytest
from pycocotools import mask as coco

from samseg.lab.benchmark.matching import Agreement, agreement


def bar(x0: int, x1: int):
    dense = np.zeros((4, 400), dtype=np.uint8, order="F")
    dense[:, x0:x1] = 1
    return coco.encode(dense)


@pytest.mark.parametrize(
    ("wanted", "found", "at_90", "at_99", "mean_iou"),
    [
        ([], [], 0, 0, 1.0),
        ([bar(0, 100)], [], 0, 0, 1.0),
        ([bar(0, 100)], [bar(0, 100)], 1, 1, 1.0),
        ([bar(0, 100), bar(200, 300)], [bar(200, 300), bar(0, 95)], 2, 1, 0.975),
        # each mask is matched once
        ([bar(0, 100), bar(0, 99)], [bar(0, 100)], 1, 1, 1.0),
        ([bar(0, 100)], [bar(100, 200)], 0, 0, 1.0),
    ],
)
def test_agreement(wanted, found, at_90, at_99, mean_iou):
    got = agreement(wanted, found)
    assert (got.wanted, got.found, got.at_90, got.at_99) == (len(wanted), len(found), at_90, at_99)
    assert got.mean_iou == pytest.approx(mean_iou)
    assert got.count_difference == abs(len(wanted) - len(found))


def test_rates_are_over_all_images():
    both = agreement([bar(0, 10)], [bar(0, 10)]) + agreement([bar(0, 10), bar(20, 30)], [])
    assert both.recall(0.9) == pytest.approx(1 / 3)
    assert both.precision(0.99) == 1.0
    assert Agreement().recall(0.9) == Agreement().precision(0.9) == 1.0
