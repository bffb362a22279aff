"""What `samseg segment` tells about a prediction: lines for people, and one JSON object."""

from pathlib import Path
from typing import Any

from samseg.errors import redact
from samseg.picture.prediction import Prediction
from samseg.picture.settings import PictureSettings
from samseg.sam.thresholds import explain_no_masks
from samseg.sam.weights.registry import identify


def notes(prediction: Prediction, settings: PictureSettings) -> list[str]:
    """Return lines for a person: counts and scores, or why there is nothing."""
    masks = prediction.masks
    if prediction.prompt is not None:
        return [
            f"mask {i + 1}: score {one['predicted_iou']:.3f}, {one['area']} px, box "
            f"{','.join(map(str, box))}"
            for i, (one, box) in enumerate(
                zip(masks.to_anns("coco_rle"), masks.boxes.tolist(), strict=True)
            )
        ]
    if not len(masks):
        recommended = identify(settings.model).recommended
        return [explain_no_masks(settings.model.checkpoint, settings.masks, recommended)]
    lines = [f"{len(masks)} masks"]
    if prediction.class_ids is None:
        return lines
    sizes = prediction.class_sizes
    if not sizes:
        return [
            *lines,
            "no classes: no group of similar masks is large enough; try a larger distance or "
            "smaller groups, for example cluster.fit.eps=0.1 cluster.fit.min_samples=4",
        ]
    inside = ", ".join(f"class {i}: {n}" for i, n in enumerate(sizes))
    return [*lines, f"masks by class: {inside}; in none: {len(masks) - sum(sizes)}"]


def line(prediction: Prediction, photo: str, output: Path | None, code: int) -> dict[str, Any]:
    """Return the last line of standard output.

    Args:
        prediction: the masks of a photo.
        photo: path or URL of the photo.
        output: the file written, if any.
        code: the exit code.
    """
    masks = prediction.masks
    found: dict[str, Any] = {
        "samseg": "segment",
        "exit": code,
        "photo": redact(photo),
        "size": list(masks.size),
        "masks": len(masks),
    }
    if prediction.prompt is not None:
        found["predicted_iou"] = [round(float(v), 6) for v in masks.predicted_iou]
        found["areas"] = masks.areas.tolist()
    if prediction.class_ids is not None:
        found["classes"] = prediction.class_sizes
    return found | ({"output": str(output)} if output is not None else {})
