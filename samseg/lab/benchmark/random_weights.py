"""Random weights for a SAM of any architecture, with about the workload of trained weights.

For machines without the published weights: run time depends on how many masks pass each filter, not
on their content. With plain random weights, masks are noise, predicted IoU is near 0 and no mask is
stable. Therefore:

- Both transposed convolutions are constant over their 2 x 2 positions: masks consist of patches,
  and their run lengths resemble those of objects.
- The IoU head's bias is increased by 0.5 and logits are scaled to a standard deviation of 30, so
  that both filters see a spread of values.
- `random_settings` chooses the thresholds for each photo: half of the masks pass `pred_iou_thresh`
  and a quarter of these `stability_score_thresh`. Non-maximum suppression is off, because the boxes
  of such masks cover the image and only one would remain.

One eighth of the candidates remains, 384 of a full grid. On photos, trained weights keep more masks
before suppression and fewer after it. The reference run-length-encodes the masks before
suppression, samseg those after it, so random weights favour the reference in both respects.
"""

import numpy as np
import torch
from segment_anything.modeling import Sam

from samseg.sam.segmenter import Segmenter
from samseg.sam.settings import Architecture, GridPoints, MaskSettings
from samseg.sam.weights.load import build_model
from samseg.types import Pixels

_PASS_IOU, _PASS_STABILITY = 0.5, 0.25
_LOGITS_STD = 30.0


@torch.inference_mode()
def random_model(arch: Architecture) -> Sam:
    """Return the model; its weights are the same in every process."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(arch)
        decoder = model.mask_decoder
        for layer in decoder.output_upscaling:
            if isinstance(layer, torch.nn.ConvTranspose2d):
                layer.weight.copy_(layer.weight[..., :1, :1].expand_as(layer.weight))
        decoder.iou_prediction_head.layers[-1].bias += 0.5
        pe = model.prompt_encoder.get_dense_pe()
        point = torch.full((1, 1, 2), model.image_encoder.img_size / 2)
        sparse, dense = model.prompt_encoder((point, torch.ones(1, 1)), None, None)
        logits, _ = decoder(torch.randn_like(pe), pe, sparse, dense, multimask_output=True)
        for network in decoder.output_hypernetworks_mlps:
            network.layers[-1].weight *= _LOGITS_STD / logits.std()
            network.layers[-1].bias *= _LOGITS_STD / logits.std()
    return model


def random_settings(model: Sam, settings: MaskSettings, pixels: Pixels) -> MaskSettings:
    """Return settings with thresholds chosen for one photo, as described above.

    Args:
        model: from `random_model`, on its device.
        settings: point grid and crops.
        pixels: (h, w, 3) uint8 RGB.
    """
    every = settings.model_copy(update={"box_nms_thresh": 1.0, "crop_nms_thresh": 1.0})
    free = every.model_copy(
        update={
            "points": GridPoints(),
            "pred_iou_thresh": 0.0,
            "stability_score_thresh": 0.0,
        }
    )
    masks, _ = Segmenter(model, free, model.device).segment(pixels)
    iou = float(np.quantile(masks.predicted_iou, 1 - _PASS_IOU))
    stable = np.nan_to_num(masks.stability_score[masks.predicted_iou > iou])
    stability = float(np.quantile(stable, 1 - _PASS_STABILITY))
    return every.model_copy(update={"pred_iou_thresh": iou, "stability_score_thresh": stability})
