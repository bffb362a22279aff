import pytest

from samseg.sam.settings import MaskSettings
from samseg.sam.thresholds import explain_no_masks

TINY = {"pred_iou_thresh": 0.3, "stability_score_thresh": 0.1}


@pytest.mark.parametrize(
    ("given", "recommended", "named", "advice"),
    [
        (
            {"pred_iou_thresh": 0.86, "stability_score_thresh": 0.92},
            TINY,
            [
                "masks.pred_iou_thresh=0.86 (recommended for x: 0.3)",
                "masks.stability_score_thresh=0.92 (recommended for x: 0.1)",
            ],
            "leave them out",
        ),
        ({"pred_iou_thresh": 0.86}, TINY, ["pred_iou_thresh=0.86 (rec"], "leave it out"),
        ({"stability_score_thresh": 0.99}, {}, ["=0.99 (recommended for x: 0.95)"], "leave it out"),
        (
            {"pred_iou_thresh": 0.2},
            TINY,
            ["masks.pred_iou_thresh=0.2", "masks.stability_score_thresh=0.1"],
            "lower them, or raise masks.points_per_side",
        ),
        ({}, {}, ["=0.88", "=0.95"], "lower them"),
    ],
    ids=["both above", "one above", "SAM's own", "below", "none given"],
)
def test_thresholds_that_nothing_passes_are_named(given, recommended, named, advice):
    text = explain_no_masks("x", MaskSettings(**given), recommended)
    assert all(name in text for name in named) and advice in text
