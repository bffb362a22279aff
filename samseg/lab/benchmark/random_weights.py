"""A SAM of any architecture with random weights that asks for about the work of a trained one.

For machines without the published weights: time depends on how many masks pass which filter, not
on what they show. Untrained, masks are noise, predicted IoU is near 0 and no mask is stable. So:

- Both transposed convolutions are constant over their 2 x 2 positions: masks are made of patches,
  and their run lengths are like those of things.
- The IoU head is moved to 0.5 and logits are scaled to a standard deviation of 30: both filters
  have something to tell apart.
- `random_settings` chooses the thresholds for each photo: half of the masks pass `pred_iou_thresh`
  and a quarter of these `stability_score_thresh`. Nothing is suppressed, for the boxes of such
  masks cover the image and one would be left.

An eighth of the candidates is left, 384 of a full grid. On photos trained weights leave more before
suppression and fewer after it. The reference run-length-encodes what is left before, samseg what
is left after, so that these weights flatter the reference on both counts.
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
    """Return the model, the same in every process."""
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
    """Return settings under which the right share of masks passes each filter on one photo.

    Args:
        model: from `random_model`, on its device.
        settings: where points lie.
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
