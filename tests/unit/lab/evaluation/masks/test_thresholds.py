"""Pairs of thresholds scored on a set of two generated photos, and the command."""

import json

import numpy as np
import pytest

from samseg import cli
from samseg.errors import ConfigError
from samseg.lab.evaluation.masks.automatic import segment_ious
from samseg.lab.evaluation.masks.thresholds import (
    ThresholdScores,
    best_per_count,
    compare_thresholds,
    recommended,
)
from samseg.progress import Silent
from samseg.sam.segmenter import Segmenter
from samseg.sam.settings import MaskSettings, ModelSpec


def score(masks, recall, **thresholds):
    given = {"pred_iou_thresh": 0, "stability_score_thresh": 0, **thresholds}
    return ThresholdScores(recall_50=recall, precision_50=0, masks_per_photo=masks, **given)


@pytest.fixture(scope="module")
def scores(drawn):
    return compare_thresholds([drawn.labelled], "tiny", Silent(), points_per_side=4)


@pytest.mark.parametrize(
    ("pred_iou", "stability"), [(0.0, 0.0), (0.5, 0.0), (0.4, 0.7), (0.9, 0.9)]
)
def test_scores_are_those_of_masks_generated_with_the_thresholds(
    drawn, scores, pred_iou, stability
):
    settings = MaskSettings(
        points_per_side=4, pred_iou_thresh=pred_iou, stability_score_thresh=stability
    )
    segmenter = Segmenter.load(ModelSpec(checkpoint="tiny"), settings)
    found = segments = masks = 0
    for stem in drawn.labelled.stems:
        photo = drawn.labelled.read(stem)
        generated = segmenter.segment(photo.pixels).masks
        iou, large = segment_ious(generated, photo)
        found += (iou[:, large] >= 0.5).any(axis=0).sum()
        segments, masks = segments + large.sum(), masks + len(generated)
    (scored,) = (
        s for s in scores if (s.pred_iou_thresh, s.stability_score_thresh) == (pred_iou, stability)
    )
    assert scored.recall_50 == pytest.approx(found / segments)
    assert scored.masks_per_photo == masks / len(drawn.labelled)


def test_fewest_masks_that_keep_the_recall_are_recommended():
    kept = score(30, 0.96, pred_iou_thresh=0.4)
    assert recommended([score(100, 1.0), kept, score(20, 0.94), score(40, 0.99)]) == kept


def test_pairs_that_find_less_with_more_masks_are_left_out():
    few, many = score(10, 0.5), score(30, 0.8)
    assert list(best_per_count([many, score(20, 0.4), few, score(40, 0.8)])) == [few, many]


def test_sets_count_alike(drawn):
    once = compare_thresholds([drawn.labelled], "tiny", Silent(), 2)
    twice = compare_thresholds([drawn.labelled] * 2, "tiny", Silent(), 2)
    np.testing.assert_allclose(
        [s.masks_per_photo for s in once], [s.masks_per_photo for s in twice]
    )


def test_no_held_out_photo(drawn):
    with pytest.raises(ConfigError, match="no photo is held out"):
        compare_thresholds([drawn.labelled], "tiny", Silent(), 2, held_out=1e-9)


def test_command(drawn, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    file = tmp_path / "scores.json"
    arguments = [str(drawn.labelled.folder), "--points-per-side", "2", "--json", str(file)]
    with pytest.raises(SystemExit) as exited:
        cli.main(["eval", "thresholds", *arguments])
    assert exited.value.code == 0
    printed = capsys.readouterr()
    chosen = json.loads(printed.out)["recommended"]
    rows = json.loads(file.read_text())
    assert (
        chosen.items() <= recommended([ThresholdScores(**row) for row in rows]).model_dump().items()
    )
    assert "stability_score_thresh" in printed.err
