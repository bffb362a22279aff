"""A contact sheet of predictions, for visual inspection during training."""

from pathlib import Path

import cv2
import numpy as np
import torch
from segment_anything.modeling import Sam
from torch import Tensor

from samseg.lab.pretraining.losses import true_iou
from samseg.lab.pretraining.objective import Batch
from samseg.lab.pretraining.prompting import WindowPrompter, encode
from samseg.types import Bool, Pixels

_IMAGES = 6
_CLICKS = 3
_TILE = 256
_TARGET, _PREDICTION = (255, 255, 255), (255, 80, 40)


@torch.inference_mode()
def draw_sheet(model: Sam, batch: Batch, path: Path) -> None:
    """Draw windows with some clicks each: the target outlined in white, the prediction in red.

    Each tile shows the true IoU of the mask with the highest predicted IoU, and of the best mask.

    Args:
        model: in evaluation mode.
        batch: see `samseg.lab.pretraining.examples.Examples`.
        path: JPEG file to write; its folder is created.
    """
    b = min(_IMAGES, len(batch["image"]))
    p = batch["points"].shape[1]
    part = {name: tensor[:b].to(model.device) for name, tensor in batch.items()}
    window = WindowPrompter(model, encode(model, part["image"]), part["corner"])
    ones = torch.ones(b * p, 1, device=model.device)
    logits, predicted_iou = window.predict(
        p, (part["points"].flatten(0, 1)[:, None], ones), None, None
    )
    targets = part["targets"].flatten(0, 1).float() / 255
    iou = true_iou(logits[:, 1:], targets) * part["valid"].flatten(0, 1)[:, None]
    rows = []
    for i in range(b):
        pixels = part["image"][i].permute(1, 2, 0).cpu().numpy()
        tiles = [_scaled(pixels)]
        for k in range(i * p, i * p + min(p, _CLICKS)):
            preferred = int(predicted_iou[k, 1:].argmax())
            target = int(iou[k, preferred].argmax())
            xy = (part["points"].flatten(0, 1)[k] - part["corner"][i]) / (2 * len(pixels))
            tile = _drawn(pixels, logits[k, 1 + preferred] > 0, targets[k, target] > 0.5, xy)
            label = f"{float(iou[k, preferred, target]):.2f} of {float(iou[k].max()):.2f}"
            cv2.rectangle(tile, (0, _TILE - 24), (108, _TILE), (0, 0, 0), cv2.FILLED)
            cv2.putText(tile, label, (6, _TILE - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _TARGET, 1)
            tiles.append(tile)
        rows.append(np.concatenate(tiles, axis=1))
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.concatenate(rows, axis=0)[..., ::-1])


def _scaled(pixels: Pixels) -> Pixels:
    interpolation = cv2.INTER_AREA if len(pixels) > _TILE else cv2.INTER_LINEAR
    return np.asarray(
        cv2.resize(pixels, (_TILE, _TILE), interpolation=interpolation), dtype=np.uint8
    )


def _drawn(pixels: Pixels, prediction: Tensor, target: Tensor, xy: Tensor) -> Pixels:
    tile = _scaled(pixels)
    filled, outlined = (_mask(m) for m in (prediction, target))
    tile[filled] = tile[filled] // 2 + np.array(_PREDICTION, dtype=np.uint8) // 2
    edges, _ = cv2.findContours(outlined.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(tile, edges, -1, _TARGET, 1)
    x, y = (int(v * _TILE) for v in xy.tolist())
    cv2.circle(tile, (x, y), 4, (0, 0, 0), -1)
    cv2.circle(tile, (x, y), 3, (80, 255, 80), -1)
    return tile


def _mask(mask: Tensor) -> Bool:
    flat = mask.cpu().numpy().astype(np.uint8)
    return cv2.resize(flat, (_TILE, _TILE), interpolation=cv2.INTER_NEAREST) > 0
