"""The figures of a prediction, by name."""

from typing import Literal

from samseg.errors import ConfigError
from samseg.masks.painting import dense
from samseg.picture.prediction import Prediction
from samseg.picture.prompt import Prompt
from samseg.types import Pixels
from samseg.views import figures
from samseg.views.overlay import overlay
from samseg.views.panels import side_by_side
from samseg.views.prompts import with_prompts

Figure = Literal["overlay", "scores", "triptych"]


def choose(figure: Figure | None, prompt: Prompt | None, classes: bool) -> Figure:
    """Return the figure to draw, or the default if none is named.

    Raises:
        ConfigError: a prediction of this kind lacks what the figure shows.
    """
    if figure == "scores" and prompt is None:
        raise ConfigError(
            "--figure scores shows the masks of a prompt, but there is none; add --point, --box or "
            "--mask, or use --figure overlay"
        )
    if figure == "triptych" and prompt is None and not classes:
        raise ConfigError(
            "--figure triptych shows one class or the mask of a prompt, but there is neither; add "
            "--classes, --point, --box or --mask"
        )
    if figure is not None:
        return figure
    if classes:
        return "triptych"
    return "scores" if prompt is not None and prompt.ambiguous else "overlay"


def draw(prediction: Prediction, figure: Figure) -> Pixels:
    """Draw a figure.

    Args:
        prediction: the masks of a photo; not empty.
        figure: `overlay`: all masks over the photo, in the colours of their classes if there are
            any. `scores`: each mask of a prompt in a panel with its predicted IoU. `triptych`: the
            photo, the semantic map, and the photo cut out, of the largest class or of the prompt's
            best mask. It must suit the prediction, see `choose`.

    Returns:
        uint8 RGB.
    """
    if prediction.prompt is not None:
        return _of_prompt(prediction, prediction.prompt, figure)
    pixels, masks, class_ids = prediction.pixels, prediction.masks, prediction.class_ids
    areas = masks.areas.tolist()
    if class_ids is None:
        return figures.every_mask(pixels, masks.rles, areas)
    if figure == "triptych":
        return figures.triptych(pixels, masks.rles, class_ids.tolist(), 0)
    return overlay(pixels, masks.rles, areas, class_ids.tolist(), contours=False)


def _of_prompt(prediction: Prediction, prompt: Prompt, figure: Figure) -> Pixels:
    pixels, masks = prediction.pixels, prediction.masks
    drawn = prompt.points, prompt.labels, prompt.box
    if figure == "overlay":
        outlined = overlay(pixels, masks.rles, masks.areas.tolist(), list(range(len(masks))))
        return with_prompts(outlined, *drawn)
    if figure == "scores":
        return figures.scored(pixels, masks.rles, masks.predicted_iou.tolist(), *drawn)
    best = int(masks.predicted_iou.argmax())
    mask = dense(masks.rles[best])
    return side_by_side(
        {
            "Input": with_prompts(pixels, *drawn),
            f"Mask {best + 1}, score {masks.predicted_iou[best]:.3f}": figures.class_map(mask, 0),
            "Extracted": figures.cut_out(pixels, mask),
        }
    )
