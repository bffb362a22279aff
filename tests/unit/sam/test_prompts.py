"""Masks from prompts compared with `SamPredictor.predict_torch`, on the shipped model."""

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor

from samseg.errors import ConfigError
from samseg.sam.prompts import Prompts
from samseg.sam.segmenter import Segmenter
from samseg.sam.settings import MaskSettings

N = 6
SIZE = (110, 150)


@pytest.fixture(scope="module")
def image(scene):
    return scene(*SIZE)


@pytest.fixture(scope="module")
def predictor(tiny, image):
    predictor = SamPredictor(tiny)
    predictor.set_image(image)
    return predictor


def some_boxes(rng):
    x0, y0 = rng.uniform(0, 60, (2, N))
    return np.stack([x0, y0, x0 + rng.uniform(5, 80, N), y0 + rng.uniform(5, 45, N)], axis=1)


def prompts_of(kind: str) -> dict:
    rng = np.random.default_rng(3)
    boxes = some_boxes(rng).astype(np.float32)
    points = (rng.uniform(0, 1, (N, 3, 2)) * SIZE[::-1]).astype(np.float32)
    labels = rng.integers(-1, 2, (N, 3))
    masks = rng.normal(0, 5, (N, 1, 256, 256)).astype(np.float32)
    return {
        "boxes": {"boxes": boxes},
        "one point": {"points": points[:, 0]},
        "points": {"points": points, "point_labels": labels},
        "boxes and points": {"boxes": boxes, "points": points, "point_labels": labels},
        "masks": {"mask_inputs": masks},
        "boxes and masks": {"boxes": boxes, "mask_inputs": masks},
    }[kind]


@pytest.mark.parametrize("multimask", [False, True])
@pytest.mark.parametrize(
    "kind", ["boxes", "one point", "points", "boxes and points", "masks", "boxes and masks"]
)
def test_masks_are_the_predictor_s(tiny, image, predictor, kind, multimask):
    given = prompts_of(kind)
    points = labels = boxes = None
    if "points" in given:
        coordinates = torch.as_tensor(given["points"]).reshape(N, -1, 2)
        points = predictor.transform.apply_coords_torch(coordinates, SIZE)
        labels = torch.as_tensor(given.get("point_labels", np.ones((N, 1))))
    if "boxes" in given:
        boxes = predictor.transform.apply_boxes_torch(torch.as_tensor(given["boxes"]), SIZE)
    low_res = torch.as_tensor(given["mask_inputs"]) if "mask_inputs" in given else None
    wanted, iou, logits = predictor.predict_torch(points, labels, boxes, low_res, multimask)

    segmenter = Segmenter(tiny, MaskSettings(points_per_batch=4), "cpu")
    masks, features = segmenter.prompt(image, multimask_output=multimask, **given)

    wanted = wanted.flatten(0, 1).numpy()
    differing = (masks.to_dense() ^ wanted).mean(axis=(1, 2))
    assert differing.max() <= 2e-4
    np.testing.assert_allclose(masks.predicted_iou, iou.flatten(), atol=1e-5)
    np.testing.assert_allclose(masks.logits, logits.flatten(0, 1), atol=1e-3)
    np.testing.assert_allclose(features, predictor.features[0], atol=2e-5)
    np.testing.assert_array_equal(masks.prompt_ids, np.arange(N).repeat(3 if multimask else 1))
    assert masks.prompt_kind == {"o": "points", "p": "points", "b": "boxes", "m": "masks"}[kind[0]]


def test_points_of_the_prompts(tiny, image):
    segmenter = Segmenter(tiny, None, "cpu")
    boxes = prompts_of("boxes")["boxes"]
    centres = segmenter.prompt(image, boxes=boxes).masks.points
    np.testing.assert_allclose(centres, (boxes[:, :2] + boxes[:, 2:]) / 2)
    clicks = prompts_of("one point")["points"]
    np.testing.assert_array_equal(segmenter.prompt(image, points=clicks).masks.points, clicks)


def test_logits_of_an_answer_are_the_mask_input_of_the_next_prompt(tiny, image, predictor):
    clicks, labels = np.array([[60.0, 40.0], [100.0, 80.0]]), np.array([1, 0])
    _, scores, low_res = predictor.predict(clicks[:1], labels[:1])
    best = int(scores.argmax())
    wanted, iou, _ = predictor.predict(
        clicks, labels, mask_input=low_res[best, None], multimask_output=False
    )
    segmenter = Segmenter(tiny, None, "cpu")
    first, _ = segmenter.prompt(image, points=clicks[0], multimask_output=True)
    chosen = first[int(first.predicted_iou.argmax())]
    for given in (chosen.logits, chosen.logits[0], chosen.logits[:, None]):
        masks, _ = segmenter.prompt(
            image, point_coords=clicks, point_labels=labels, mask_inputs=given
        )
        assert (masks.to_dense() ^ wanted).mean() <= 2e-4
        np.testing.assert_allclose(masks.predicted_iou, iou, atol=1e-4)


def test_logits_may_be_left_out(tiny, image):
    given = prompts_of("boxes")
    segmenter = Segmenter(tiny, None, "cpu")
    with_logits, without = (segmenter.prompt(image, **given, logits=x).masks for x in (True, False))
    assert with_logits.logits.shape == (N, 256, 256) and without.logits is None
    assert (with_logits.to_dense() ^ without.to_dense()).mean() <= 2e-4


@pytest.mark.parametrize(
    ("single", "full"),
    [
        ({"boxes": [1, 2, 30, 40]}, {"boxes": [[1, 2, 30, 40]]}),
        ({"points": [5, 6]}, {"points": [[[5, 6]]], "point_labels": [[1]]}),
        ({"points": [5, 6], "point_labels": 0}, {"points": [[[5, 6]]], "point_labels": [[0]]}),
        (
            {"points": [[5, 6], [7, 8]], "point_labels": [1, 0]},
            {"points": [[[5, 6]], [[7, 8]]], "point_labels": [[1], [0]]},
        ),
        (
            {"point_coords": [[5, 6], [7, 8]], "point_labels": [1, 0]},
            {"points": [[[5, 6], [7, 8]]], "point_labels": [[1, 0]]},
        ),
        (
            {"boxes": [1, 2, 30, 40], "point_coords": [5, 6]},
            {"boxes": [[1, 2, 30, 40]], "points": [[[5, 6]]]},
        ),
        (
            {"mask_inputs": np.ones((256, 256))},
            {"mask_inputs": np.ones((1, 1, 256, 256))},
        ),
        (
            {"mask_inputs": np.ones((2, 256, 256))},
            {"mask_inputs": np.ones((2, 1, 256, 256))},
        ),
    ],
)
def test_a_single_prompt_needs_no_axis_of_prompts(single, full):
    found, wanted = Prompts.of(**single), Prompts.of(**full)
    for name in ("boxes", "points", "point_labels", "mask_inputs"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "at least one.*got lengths none"),
        ({"boxes": [[0, 0, 1]]}, r"boxes must be finite and of shape \(n, 4\), got \(1, 3\)"),
        ({"boxes": [[0, 0, 1, np.nan]]}, "must be finite"),
        ({"boxes": np.zeros((2, 4)), "points": np.zeros((3, 1, 2))}, r"same length.*\[2, 3\]"),
        ({"points": np.zeros((3, 1, 2)), "point_labels": np.zeros((3, 2))}, "point_labels must"),
        ({"boxes": np.zeros((2, 4)), "point_labels": np.zeros((2, 1))}, "point_labels must"),
        ({"boxes": [[0, 0, 1, 1], [2, 2]]}, "boxes must be numbers"),
        ({"points": [[1, 2]], "point_coords": [[1, 2]]}, "points and point_coords, wanted one"),
        ({"point_coords": [[1, 2, 3]]}, r"point_coords must .*\(n, n, 2\), got \(1, 1, 3\)"),
        ({"mask_inputs": np.zeros((64, 64))}, r"mask_inputs .*256, 256\), got \(1, 1, 64, 64\)"),
    ],
)
def test_invalid_prompts_are_refused(given, words):
    with pytest.raises(ConfigError, match=words):
        Prompts.of(**given)


def test_empty_prompts_yield_no_masks(tiny, image):
    masks, features = Segmenter(tiny, None, "cpu").prompt(image, boxes=np.zeros((0, 4)))
    assert len(masks) == 0
    assert features.shape == (256, 64, 64)
