from dataclasses import replace

import numpy as np
import pytest

from samseg.lab.evaluation.masks.automatic import AutomaticScores, Hits
from samseg.lab.labelled import LabelledPhoto

SIZE = (50, 60)


@pytest.fixture
def photo():
    """A photo with three segments of 100 px and one of 4 px, which is less than 0.2 %."""
    instances = np.zeros(SIZE, np.int32)
    for i in range(3):
        instances[10:20, 15 * i : 15 * i + 10] = i + 1
    instances[40:42, 40:42] = 9
    return LabelledPhoto("a", np.zeros((*SIZE, 3), np.uint8), instances, {})


def rectangles(masks_of, *corners):
    dense = np.zeros((len(corners), *SIZE), bool)
    for mask, (y0, x0, y1, x1) in zip(dense, corners, strict=True):
        mask[y0:y1, x0:x1] = True
    return masks_of(dense)


def test_recall_and_precision(masks_of, photo):
    masks = rectangles(
        masks_of,
        (10, 0, 20, 10),  # exactly the first segment
        (10, 0, 20, 11),  # the first segment again, slightly larger
        (10, 15, 16, 25),  # IoU 0.6 with the second
        (40, 40, 42, 42),  # the small segment: correct, but not part of recall
        (0, 0, 50, 60),  # the whole photo
        (30, 0, 35, 5),  # no segment
    )
    hits = Hits.of(masks, photo)
    np.testing.assert_allclose(hits.of_segments, [1, 0.6, 100 / 3000])
    np.testing.assert_allclose(hits.of_masks, [1, 100 / 110, 0.6, 1, 100 / 3000, 0], atol=1e-9)
    found = AutomaticScores.of([hits])
    assert found.recall_50 == pytest.approx(2 / 3)
    assert found.recall_75 == pytest.approx(1 / 3)
    assert found.precision_50 == pytest.approx(4 / 6)
    assert (found.photos, found.segments, found.masks_per_photo) == (1, 3, 6)


def test_recall_by_number_of_masks(masks_of, photo):
    """Thirty masks of nothing before the first segment, sixty before the second."""
    nothing = [(30, 0, 35, 5)]
    exact, second = (10, 0, 20, 10), (10, 15, 20, 25)
    masks = rectangles(masks_of, second, *30 * nothing, exact, *30 * nothing)
    ranks = np.array([0.1, *30 * [0.9], 0.5, *30 * [0.4]], dtype=np.float32)
    masks = replace(masks, predicted_iou=ranks)
    found = AutomaticScores.of([Hits.of(masks, photo)])
    assert found.recall_50_at == {20: 0, 50: pytest.approx(1 / 3), 100: pytest.approx(2 / 3)}


def test_segments_and_masks_of_all_photos_have_equal_weight(masks_of, photo):
    exact = Hits.of(rectangles(masks_of, (10, 0, 20, 10)), photo)
    nothing = Hits.of(rectangles(masks_of), photo)
    found = AutomaticScores.of([exact, nothing])
    assert (found.segments, found.masks_per_photo) == (6, 0.5)
    assert found.recall_50 == pytest.approx(1 / 6)
    assert found.precision_50 == 1


def test_without_segments_masks_or_photos(masks_of, photo):
    bare = LabelledPhoto("b", photo.pixels, np.zeros(SIZE, np.int32), {})
    masks = rectangles(masks_of, (0, 0, 9, 9))
    found = AutomaticScores.of([Hits.of(masks, bare)])
    assert (found.recall_50, found.precision_50) == (None, 0)
    found = AutomaticScores.of([Hits.of(rectangles(masks_of), photo)])
    assert (found.recall_50, found.precision_50) == (0, None)
    assert AutomaticScores.of([]) is None
