import numpy as np
import pytest

from samseg.errors import ConfigError
from samseg.picture.prediction import Prediction

PIXELS = np.zeros((40, 60, 3), np.uint8)


def test_noise_hides_no_class_in_the_semantic_map(masks_of):
    dense = np.zeros((3, 40, 60), bool)
    dense[0, :30, :30] = dense[1, 5:15, 5:15] = dense[2, 20:25, 20:25] = True
    found = Prediction(PIXELS, masks_of(dense), class_ids=np.array([0, -1, 1], np.int32))
    shown = found.semantic_map
    assert (shown[10, 10], shown[22, 22], shown[2, 2], shown[35, 50]) == (0, 1, 0, -1)


def test_a_semantic_map_needs_classes(masks_of):
    with pytest.raises(ConfigError, match="--classes"):
        _ = Prediction(PIXELS, masks_of(np.ones((1, 40, 60), bool))).semantic_map


@pytest.mark.parametrize(
    ("dense", "class_ids", "empty"),
    [
        (np.ones((2, 40, 60), bool), None, False),
        (np.ones((2, 40, 60), bool), [0, -1], False),
        (np.ones((2, 40, 60), bool), [-1, -1], True),
        (np.zeros((0, 40, 60), bool), None, True),
        (np.zeros((0, 40, 60), bool), [], True),
        (np.zeros((1, 40, 60), bool), None, True),
    ],
    ids=["masks", "a class", "noise", "no masks", "no masks, classes", "a mask without pixels"],
)
def test_what_counts_as_nothing_found(masks_of, dense, class_ids, empty):
    ids = None if class_ids is None else np.array(class_ids, np.int32)
    assert Prediction(PIXELS, masks_of(dense), class_ids=ids).empty == empty
