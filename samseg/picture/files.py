"""Files of a prediction: a figure, SAM's dicts as JSON, or arrays."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from samseg.errors import ConfigError, StorageError
from samseg.picture.figure import Figure, draw
from samseg.picture.prediction import Prediction

SUFFIXES = (".png", ".json", ".npz")


def check_path(path: Path) -> None:
    """Check that a prediction can be written to a file, before any work.

    Raises:
        ConfigError: its name has another suffix, or its folder does not exist.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError(
            f"-o {path} has the suffix {path.suffix!r}, wanted .png for a figure, .json for one "
            "dict per mask, or .npz for arrays"
        )
    if not path.parent.is_dir():
        raise ConfigError(f"the folder of -o {path} does not exist; create {path.parent} first")


def write(prediction: Prediction, path: Path, figure: Figure, photo: str) -> bool:
    """Write a prediction; an existing file is replaced.

    Args:
        prediction: the masks of a photo.
        path: `.png` for the figure; `.json` for `Masks.to_anns` with RLEs, and class ids; `.npz`
            for arrays: dense masks, boxes, areas and scores, the logits of a prompt, class ids,
            embeddings and the semantic map.
        figure: what a `.png` shows.
        photo: name of the photo, for the JSON.

    Returns:
        False if there is nothing to draw; no figure is written then.

    Raises:
        StorageError: the file cannot be written.
    """
    try:
        if path.suffix == ".json":
            path.write_text(json.dumps(_plain(prediction, photo)) + "\n", encoding="utf-8")
        elif path.suffix == ".npz":
            np.savez_compressed(path, **_arrays(prediction))
        elif prediction.empty:
            return False
        else:
            Image.fromarray(draw(prediction, figure)).save(path)
    except OSError as e:
        raise StorageError(
            f"cannot write {path}: {e.strerror or e}; check that its folder is writable"
        ) from e
    return True


def _plain(prediction: Prediction, photo: str) -> dict[str, Any]:
    anns = prediction.masks.to_anns("coco_rle")
    if prediction.class_ids is not None:
        ids = prediction.class_ids.tolist()
        anns = [{**a, "class_id": class_id} for a, class_id in zip(anns, ids, strict=True)]
    return {"photo": photo, "size": list(prediction.masks.size), "masks": anns}


def _arrays(prediction: Prediction) -> dict[str, Any]:
    masks = prediction.masks
    arrays: dict[str, Any] = {
        "masks": masks.to_dense(),
        "boxes": masks.boxes,
        "areas": masks.areas,
        "predicted_iou": masks.predicted_iou,
        "stability_score": masks.stability_score,
    }
    if masks.logits is not None:
        arrays["logits"] = masks.logits
    if prediction.class_ids is not None:
        arrays["class_ids"] = prediction.class_ids
        arrays["embeddings"] = prediction.embeddings
        arrays["semantic_map"] = prediction.semantic_map
    return arrays
