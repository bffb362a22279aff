from pathlib import Path

import numpy as np
import pytest

from samseg.errors import ConfigError
from samseg.masks.palette import color_of
from samseg.picture.figure import choose, draw
from samseg.picture.prediction import Prediction
from samseg.picture.prompt import Prompt

GREEN, RED = [40, 200, 60], [225, 45, 45]
POINT = Prompt.parse(None, ["12,10"], [], None)
POINTS = Prompt.parse(None, ["12,10", "50,30"], [1, 0], None)
BOX = Prompt.parse("4,4,20,20", [], [], None)
MASK = Prompt.parse(None, [], [], Path("m.png"))


@pytest.mark.parametrize(
    ("figure", "prompt", "classes", "wanted"),
    [
        (None, None, False, "overlay"),
        (None, None, True, "triptych"),
        (None, POINT, False, "scores"),
        (None, POINTS, False, "overlay"),
        (None, BOX, False, "overlay"),
        (None, MASK, False, "overlay"),
        ("overlay", None, True, "overlay"),
        ("scores", BOX, False, "scores"),
        ("triptych", POINT, False, "triptych"),
    ],
)
def test_the_figure_suits_the_prediction(figure, prompt, classes, wanted):
    assert choose(figure, prompt, classes) == wanted


@pytest.mark.parametrize(
    ("figure", "classes", "message"),
    [
        ("scores", False, "--figure scores shows the masks of a prompt"),
        ("scores", True, "--figure scores shows the masks of a prompt"),
        ("triptych", False, "add --classes, --point"),
    ],
)
def test_a_figure_of_what_is_not_there_is_an_error(figure, classes, message):
    with pytest.raises(ConfigError, match=message):
        choose(figure, None, classes)


@pytest.fixture
def squares(masks_of):
    """Three squares of 16 px on grey, 40 x 60 px, from left to right."""
    dense = np.zeros((3, 40, 60), bool)
    for i in range(3):
        dense[i, 4:20, 4 + 18 * i : 20 + 18 * i] = True
    return np.full((40, 60, 3), 120, np.uint8), masks_of(dense)


def panels(figure, count):
    """Split a row of panels of 40 x 60 px."""
    gap = (figure.shape[1] - count * 60) // (count + 1)
    top = figure.shape[0] - 40 - gap
    rows = figure[top : top + 40]
    return [rows[:, gap + i * (60 + gap) :][:, :60] for i in range(count)]


def test_an_overlay_of_classes_leaves_noise_as_it_is(squares):
    pixels, masks = squares
    ids = np.array([0, 1, -1], np.int32)
    drawn = draw(Prediction(pixels, masks, class_ids=ids), "overlay")
    inside = [drawn[12, 12 + 18 * i].tolist() for i in range(3)]
    assert inside[0] != inside[1] and inside[2] == [120, 120, 120]


def test_a_triptych_shows_the_largest_class(squares):
    pixels, masks = squares
    ids = np.array([0, -1, 0], np.int32)
    drawn = draw(Prediction(pixels, masks, class_ids=ids), "triptych")
    photo, semantic, extracted = panels(drawn, 3)
    member = masks.to_dense()[[0, 2]].any(axis=0)
    assert np.array_equal(photo, pixels)
    assert (semantic == np.where(member[..., None], color_of(0), 0)).all()
    assert (extracted == np.where(member[..., None], pixels, 0)).all()


def test_scores_show_every_mask_of_a_point_in_its_own_panel(squares):
    pixels, masks = squares
    drawn = panels(draw(Prediction(pixels, masks, POINT), "scores"), 3)
    for i, panel in enumerate(drawn):
        tinted = [bool((panel[16, 16 + 18 * k] != 120).any()) for k in range(3)]
        assert tinted == [k == i for k in range(3)]
        assert panel[10, 12].tolist() == GREEN  # the point, on every panel


def test_a_triptych_of_a_prompt_shows_its_best_mask(squares):
    pixels, masks = squares
    masks.predicted_iou[:] = 0.3, 0.8, 0.5
    prompted, mask, extracted = panels(draw(Prediction(pixels, masks, BOX), "triptych"), 3)
    best = masks.to_dense()[1]
    assert ((mask != 0).any(axis=2) == best).all()
    assert (extracted == np.where(best[..., None], pixels, 0)).all()
    assert np.allclose(prompted[4, 12], GREEN, atol=30)  # the upper edge of the box


def test_an_overlay_of_a_prompt_marks_points_by_their_label(squares):
    pixels, masks = squares
    drawn = draw(Prediction(pixels, masks[0], POINTS), "overlay")
    assert (drawn[10, 12].tolist(), drawn[30, 50].tolist()) == (GREEN, RED)
