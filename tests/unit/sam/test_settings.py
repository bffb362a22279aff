import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError
from segment_anything import SamAutomaticMaskGenerator

from samseg.sam.settings import MaskSettings, ModelSpec


def test_names_and_defaults_are_those_of_the_reference():
    reference = inspect.signature(SamAutomaticMaskGenerator.__init__).parameters
    wanted = {k: p.default for k, p in reference.items() if k not in ("self", "model")}
    del wanted["output_mode"]
    assert MaskSettings().reference_arguments() == wanted


GRID = (((0.5, 0.5),),)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"points_per_side": None}, ["exactly one", "got neither"]),
        ({"point_grids": GRID}, ["exactly one", "got both", "points_per_side to null"]),
        (
            {"points_per_side": None, "point_grids": GRID, "crop_n_layers": 1},
            ["holds 1 grids", "needs 2"],
        ),
        (
            {"points_per_side": 4, "crop_n_layers": 2, "crop_n_points_downscale_factor": 3},
            ["layer 2 would have no points"],
        ),
        ({"points_per_side": None, "point_grids": (((0.5, 1.5),),)}, ["less than or equal to 1"]),
        ({"pred_iou_thresh": 1.2}, ["less than or equal to 1"]),
        ({"points_per_batch": 0}, ["greater than or equal to 1"]),
        ({"output_mode": "coco_rle"}, ["Extra inputs"]),
    ],
)
def test_invalid_settings_are_refused_with_the_reason(given, words):
    with pytest.raises(ValidationError) as refused:
        MaskSettings(**given)
    for word in words:
        assert word in str(refused.value)


RECOMMENDED = {"pred_iou_thresh": 0.5, "stability_score_thresh": 0.7}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, (0.5, 0.7)),
        ({"pred_iou_thresh": 0.3}, (0.3, 0.7)),
        ({"pred_iou_thresh": 0.88}, (0.88, 0.7)),  # given, though equal to the default
        ({"points_per_side": 8}, (0.5, 0.7)),
    ],
)
def test_explicit_settings_override_recommended_ones(given, wanted):
    resolved = MaskSettings(**given).resolved(RECOMMENDED)
    assert (resolved.pred_iou_thresh, resolved.stability_score_thresh) == wanted
    assert resolved.points_per_side == given.get("points_per_side", 32)
    assert resolved.resolved(RECOMMENDED) == resolved


def test_json_round_trip():
    settings = MaskSettings(points_per_side=None, point_grids=GRID)
    assert MaskSettings.model_validate(settings.model_dump(mode="json")) == settings
    spec = ModelSpec(cache=Path("/somewhere"))
    assert ModelSpec.model_validate(spec.model_dump(mode="json")) == spec


def test_settings_and_registry_do_not_import_torch():
    code = (
        "import sys, samseg.sam.settings, samseg.sam.weights.registry, samseg.masks.containment;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
