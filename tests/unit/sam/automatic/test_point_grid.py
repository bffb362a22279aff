import numpy as np
import pytest
from segment_anything.utils.amg import build_all_layer_point_grids, generate_crop_boxes

from samseg.sam.automatic.point_grid import crop_boxes, crops, point_grid
from samseg.sam.settings import MaskSettings


@pytest.mark.parametrize("size", [(600, 800), (801, 333), (1, 9000), (7, 5), (3000, 4000)])
@pytest.mark.parametrize("layers", [0, 1, 3])
@pytest.mark.parametrize("ratio", [512 / 1500, 0.0, 0.6])
def test_crops_are_the_reference_s(size, layers, ratio):
    boxes, layer_of = generate_crop_boxes(size, layers, ratio)
    assert crop_boxes(size, layers, ratio) == list(zip(map(tuple, boxes), layer_of, strict=True))


@pytest.mark.parametrize(("per_side", "factor"), [(32, 1), (32, 2), (7, 2)])
def test_point_grids_are_the_reference_s(per_side, factor):
    settings = MaskSettings(
        points_per_side=per_side, crop_n_layers=2, crop_n_points_downscale_factor=factor
    )
    for layer, wanted in enumerate(build_all_layer_point_grids(per_side, 2, factor)):
        np.testing.assert_array_equal(point_grid(settings, layer), wanted)


def test_explicit_points_are_scaled_to_the_crop():
    settings = MaskSettings(points_per_side=None, point_grids=(((0.5, 0.25), (1.0, 0.0)),))
    (whole,) = crops((100, 40), settings)
    assert whole.box == (0, 0, 40, 100)
    np.testing.assert_array_equal(whole.points, [[20, 25], [40, 0]])


def test_empty_crops_are_skipped():
    assert [c.box for c in crops((1, 1), MaskSettings(crop_n_layers=1))] == [(0, 0, 1, 1)] * 2
