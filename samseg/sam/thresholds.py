"""Explain why no mask of an image passed the filters. Does not import torch."""

from collections.abc import Mapping
from typing import Any

from samseg.sam.settings import MaskSettings

_THRESHOLDS = ("pred_iou_thresh", "stability_score_thresh")


def explain_no_masks(
    checkpoint: str, settings: MaskSettings, recommended: Mapping[str, Any]
) -> str:
    """Name the thresholds that are above the recommended ones, or those in use.

    Args:
        checkpoint: name of the checkpoint.
        settings: the settings as given.
        recommended: the checkpoint's recommended values, by setting name.

    Returns:
        A sentence without a full stop, with what to do next.
    """
    used = settings.resolved(recommended)
    usual = MaskSettings().resolved(recommended)
    above = [name for name in _THRESHOLDS if getattr(used, name) > getattr(usual, name)]
    if above:
        compared = " and ".join(
            f"masks.{name}={getattr(used, name):g} (recommended for {checkpoint}: "
            f"{getattr(usual, name):g})"
            for name in above
        )
        those = "it" if len(above) == 1 else "them"
        return f"no mask passes {compared}; leave {those} out to use the recommended value"
    in_use = " and ".join(f"masks.{name}={getattr(used, name):g}" for name in _THRESHOLDS)
    return f"no mask passes {in_use}; lower them, or raise masks.points_per_side"
