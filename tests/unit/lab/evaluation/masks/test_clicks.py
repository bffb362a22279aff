"""IoU of clicks and boxes against `SamPredictor`, prompt by prompt, on the shipped model."""

import numpy as np
import pytest
from segment_anything import SamPredictor

from samseg.lab.evaluation.masks.clicks import (
    boundary_iou,
    boxes,
    corrected,
    correction,
    iou,
    one_click,
)
from samseg.lab.evaluation.masks.truth import Truth


@pytest.fixture(scope="module")
def truth(drawn):
    return Truth.choose(drawn.photo, 12, seed=0)


@pytest.fixture(scope="module")
def predictor(segmenter, drawn):
    predictor = SamPredictor(segmenter.model)
    predictor.set_image(drawn.photo.pixels)
    return predictor


def test_one_click_equals_sam_predictor(segmenter, predictor, drawn, truth):
    scores = one_click(segmenter, drawn.photo.pixels, truth)
    assert scores.true_iou.shape == scores.predicted_iou.shape == (6, 3)
    for i, (wanted, click) in enumerate(zip(truth.masks, truth.clicks, strict=True)):
        masks, predicted, _ = predictor.predict(click[None], np.array([1]))
        overlap = [(m & wanted).sum() / (m | wanted).sum() for m in masks]
        np.testing.assert_allclose(scores.true_iou[i], overlap, atol=2e-3)
        np.testing.assert_allclose(scores.predicted_iou[i], predicted, atol=1e-5)
    np.testing.assert_allclose(scores.features, predictor.features[0], atol=2e-5)


def test_boxes_equal_sam_predictor(segmenter, predictor, drawn, truth):
    found = boxes(segmenter, drawn.photo.pixels, truth)
    for overlap, wanted, box in zip(found, truth.masks, truth.boxes, strict=True):
        masks, _, _ = predictor.predict(box=box, multimask_output=False)
        expected = (masks[0] & wanted).sum() / (masks[0] | wanted).sum()
        assert overlap == pytest.approx(expected, abs=2e-3)


def test_corrections_equal_sam_predictor(segmenter, predictor, drawn, truth):
    truth = Truth(truth.ids[::2], truth.masks[::2], truth.clicks[::2], truth.boxes[::2])
    found = corrected(segmenter, drawn.photo.pixels, truth, clicks=3)
    assert found.shape == (3, 3)
    for i, (wanted, click) in enumerate(zip(truth.masks, truth.clicks, strict=True)):
        points, labels, logits = [click], [1], None
        for n in range(3):
            masks, predicted, low = predictor.predict(
                np.array(points), np.array(labels), mask_input=logits, multimask_output=n == 0
            )
            best = predicted.argmax()
            mask, logits = masks[best], low[best][None]
            expected = (mask & wanted).sum() / (mask | wanted).sum()
            assert found[n, i] == pytest.approx(expected, abs=5e-3)
            x, y, label = correction(mask, wanted)
            points, labels = [*points, np.array([x, y])], [*labels, label]


def test_the_first_click_gives_the_mask_of_highest_predicted_iou(segmenter, drawn, truth):
    scores = one_click(segmenter, drawn.photo.pixels, truth)
    preferred = scores.true_iou[np.arange(6), scores.predicted_iou.argmax(axis=1)]
    first = corrected(segmenter, drawn.photo.pixels, truth, clicks=1)
    np.testing.assert_allclose(first[0], preferred, atol=2e-3)


def test_without_segments(segmenter, drawn):
    none = Truth(
        (),
        np.zeros((0, *drawn.photo.instances.shape), bool),
        np.zeros((0, 2), np.float32),
        np.zeros((0, 4), np.float32),
    )
    scores = one_click(segmenter, drawn.photo.pixels, none)
    assert scores.true_iou.shape == scores.predicted_iou.shape == (0, 3)
    assert corrected(segmenter, drawn.photo.pixels, none).shape == (3, 0)
    assert boxes(segmenter, drawn.photo.pixels, none).shape == (0,)


@pytest.mark.parametrize(
    ("found", "wanted", "column", "label"),
    [
        ((0, 10), (0, 17), 13, 1),
        ((0, 17), (0, 10), 13, 0),
        ((4, 20), (0, 13), 16, 0),  # 4 columns are missing, 7 are excess
        ((0, 13), (4, 20), 16, 1),
        ((0, 0), (2, 9), 5, 1),
    ],
    ids=["missing", "excess", "more excess", "more missing", "empty mask"],
)
def test_the_corrective_click(found, wanted, column, label):
    assert correction(columns(*found), columns(*wanted)) == (column, ROWS // 2, label)


def test_a_perfect_mask_needs_no_click():
    assert correction(columns(3, 9), columns(3, 9))[2] == -1


ROWS = 7


def columns(first, end):
    drawn = np.zeros((ROWS, 30), bool)
    drawn[:, first:end] = True
    return drawn


def test_iou():
    left, right = np.zeros((4, 10), bool), np.zeros((4, 10), bool)
    left[:, :6] = right[:, 4:] = True
    assert iou(left, right) == pytest.approx(2 / 10)
    assert iou(left, left) == 1
    assert iou(left, ~left) == 0


def test_boundary_iou_compares_bands():
    """In 300 x 400 px, whose diagonal is 500 px, the band is 10 px wide."""
    wanted = np.zeros((300, 400), bool)
    wanted[100:200, 100:200] = True
    ring = wanted.copy()
    ring[110:190, 110:190] = False
    assert boundary_iou(wanted, wanted) == boundary_iou(ring, wanted) == 1
    larger = np.zeros_like(wanted)
    larger[90:210, 90:210] = True  # its band is just outside of the other
    assert boundary_iou(larger, wanted) == 0 < iou(larger, wanted)
    whole = np.ones_like(wanted)  # the border of the image is a boundary, too
    assert boundary_iou(whole, whole) == 1 > boundary_iou(whole, wanted)
    assert boundary_iou(np.zeros_like(wanted), wanted) == 0
