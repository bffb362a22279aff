import dataclasses

import pytest

from samseg import remarks
from samseg.sam.settings import MaskSettings
from samseg.stages.cluster.stage import ClusterReport
from samseg.stages.embed.totals import EmbedTotals

TINY = {"pred_iou_thresh": 0.3, "stability_score_thresh": 0.1}
NOTEBOOK = MaskSettings(pred_iou_thresh=0.86, stability_score_thresh=0.92)


def totals(masks=0, **statuses):
    done = EmbedTotals(masks=masks)
    done.statuses.update(statuses)
    return done


def test_thresholds_that_a_checkpoint_never_reaches_are_named(small_output):
    output = small_output(masks=False).output
    text = remarks.no_masks(output, totals(no_masks=4), "tiny", NOTEBOOK, TINY)
    assert "None of 4 images has a mask" in text
    assert "masks.pred_iou_thresh=0.86 (recommended for tiny: 0.3)" in text
    assert "masks.stability_score_thresh=0.92 (recommended for tiny: 0.1)" in text
    assert "lower them" in remarks.no_masks(output, totals(no_masks=4), "tiny", NOTEBOOK, {})


@pytest.mark.parametrize(
    "done", [totals(masks=1, ok=1), totals(undecodable=2), totals()], ids=["masks", "failed", "new"]
)
def test_a_night_with_masks_or_without_labelled_images_needs_no_remark(small_output, done):
    output = small_output(masks=False).output
    assert remarks.no_masks(output, done, "tiny", NOTEBOOK, TINY) is None


def test_an_empty_photo_in_a_lake_with_masks_needs_no_remark(small_output):
    assert (
        remarks.no_masks(small_output().output, totals(no_masks=1), "tiny", NOTEBOOK, TINY) is None
    )


def clustered(**changed):
    base = dict.fromkeys((f.name for f in dataclasses.fields(ClusterReport)), 0)
    return ClusterReport(**base | {"classes": 3, "masks": 10, "refitted": False} | changed)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"noise": 5}, None),
        ({"noise": 6}, "60% of the masks are noise.*--refit"),
        ({"noise": 6, "refitted": True}, "min_size"),
        ({"noise": 10, "classes": 0}, None),
        ({"noise": 0, "masks": 0}, None),
    ],
)
def test_a_night_that_is_mostly_noise(changed, words):
    text = remarks.mostly_noise(clustered(**changed))
    if words is None:
        assert text is None
    else:
        import re

        assert re.search(words, text)
