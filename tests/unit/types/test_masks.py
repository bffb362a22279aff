import sys
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest


def test_masks_select_and_decode(masks_of):
    dense = np.random.default_rng(0).random((4, 5, 7)) > 0.5
    masks = masks_of(dense)
    assert np.array_equal(masks.to_dense(), dense)
    assert np.array_equal(masks[[2, 0]].to_dense(), dense[[2, 0]])
    assert np.array_equal(masks[masks.prompt_ids > 1].to_dense(), dense[2:])
    assert masks[1:3].prompt_ids.tolist() == [1, 2]
    assert masks[[]].to_dense().shape == (0, 5, 7)


def test_masks_are_a_sequence_of_single_masks(masks_of):
    dense = np.random.default_rng(1).random((3, 5, 7)) > 0.5
    masks = replace(masks_of(dense), logits=np.arange(3.0)[:, None, None] * np.ones((3, 4, 4)))
    single = list(masks)
    assert [len(one) for one in single] == [1, 1, 1]
    for i, one in enumerate(single):
        assert np.array_equal(one.to_dense()[0], dense[i]) and (one.logits == i).all()
    joined = type(masks).join(single[::-1])
    assert joined.prompt_ids.tolist() == [2, 1, 0] and joined.logits[:, 0, 0].tolist() == [2, 1, 0]


@pytest.mark.parametrize("output_mode", ["binary_mask", "coco_rle"])
def test_anns_are_those_of_the_reference(output_mode):
    from segment_anything import SamAutomaticMaskGenerator

    from samseg.sam.segmenter import load_segmenter

    settings = {"points_per_side": 4, "pred_iou_thresh": 0.3, "stability_score_thresh": 0.1}
    segmenter = load_segmenter("tiny", "cpu", **settings)
    y, x = np.mgrid[:80, :110]
    image = np.stack([x * 2, y * 3, (x // 40 + y // 30) % 2 * 200], axis=-1).astype(np.uint8)
    reference = SamAutomaticMaskGenerator(segmenter.model, **settings, output_mode=output_mode)
    wanted = reference.generate(image)
    found = segmenter.segment(image).masks.to_anns(output_mode)
    assert len(found) == len(wanted) > 0
    for a, b in zip(found, wanted, strict=True):
        assert list(a) == list(b)
        assert a["area"] == pytest.approx(b["area"], abs=1)
        assert all(a[key] == b[key] for key in ("bbox", "crop_box", "point_coords"))
        for key in ("predicted_iou", "stability_score"):
            assert a[key] == pytest.approx(b[key], abs=1e-3)
        if output_mode == "binary_mask":
            assert a["segmentation"].dtype == bool
            assert (a["segmentation"] ^ b["segmentation"]).sum() <= 1
        else:
            assert a["segmentation"]["size"] == b["segmentation"]["size"]
            assert isinstance(a["segmentation"]["counts"], str)


def test_an_unknown_output_mode_is_refused(masks_of):
    with pytest.raises(ValueError, match="'rle', wanted 'binary_mask' or 'coco_rle'"):
        masks_of(np.ones((1, 2, 2), bool)).to_anns("rle")


@dataclass
class FakeDetections:
    xyxy: Any
    mask: Any
    confidence: Any
    class_id: Any
    data: Any


def test_detections_have_the_arrays_of_the_masks(masks_of, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", SimpleNamespace(Detections=FakeDetections))
    dense = np.random.default_rng(2).random((3, 5, 7)) > 0.5
    masks = masks_of(dense)
    found = masks.to_detections([4, -1, 4])
    assert np.array_equal(found.mask, dense) and np.array_equal(found.xyxy, masks.boxes)
    assert found.class_id.tolist() == [4, -1, 4]
    assert np.array_equal(found.data["prompt_id"], masks.prompt_ids)
    assert masks.to_detections().class_id is None
    with pytest.raises(ValueError, match="got 2 class_ids for 3 masks"):
        masks.to_detections([1, 2])


def test_detections_without_supervision_say_what_to_install(masks_of, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match="pip install supervision"):
        masks_of(np.ones((1, 2, 2), bool)).to_detections()
