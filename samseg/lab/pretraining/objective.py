"""The training objective of one micro-batch: prompt, correct, sum the losses."""

from dataclasses import dataclass, field

import torch
from segment_anything.modeling import Sam
from torch import Tensor

from samseg.lab.pretraining.likeness import TrunkLikeness, likeness_loss
from samseg.lab.pretraining.loss_weights import Weights
from samseg.lab.pretraining.losses import (
    chosen_cost,
    feature_loss,
    iou_loss,
    kind_loss,
    mask_costs,
    matched_cost,
    patch_loss,
    pooled,
    true_iou,
)
from samseg.lab.pretraining.prompting import WindowPrompter, correction, encode
from samseg.lab.pretraining.training_image import UNKNOWN
from samseg.sam.precision import has_bfloat16

Batch = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class PromptPlan:
    """Prompts of one training step.

    Attributes:
        boxes: the first prompt is a box instead of a click.
        corrections: number of corrective clicks that follow, each given with the mask it corrects.
        seed: of their positions.
    """

    boxes: bool
    corrections: int
    seed: int


@dataclass(slots=True)
class StepLosses:
    """Losses and metrics of one micro-batch.

    Attributes:
        loss: to be minimised.
        figures: mean losses by name, and the mean true IoU of the `best` mask and of the `chosen`
            one, which has the highest predicted IoU. Tensors on the device: reading one would
            synchronise a GPU.
        embeddings: (n, d) of masks of a known kind, without gradient.
        kinds: (n,) kinds of these masks.
    """

    loss: Tensor
    embeddings: Tensor
    kinds: Tensor
    figures: dict[str, Tensor] = field(default_factory=dict)


def objective(
    model: Sam,
    batch: Batch,
    plan: PromptPlan,
    weights: Weights,
    memory: tuple[Tensor, Tensor],
    trunk: TrunkLikeness | None = None,
) -> StepLosses:
    """Compute the losses of b windows with p prompts each.

    The model runs in bfloat16 where the device has it, and the losses in float32, because the terms
    of focal loss are large and cancel.

    Args:
        model: the model in training.
        batch: see `samseg.lab.pretraining.examples.Examples`.
        plan: the prompts.
        weights: of the losses.
        memory: (m, d) embeddings of earlier steps and their (m,) kinds.
        trunk: the trunk whose similarities masks are trained to have; None without that loss.
    """
    b, p = batch["points"].shape[:2]
    device = batch["image"].device
    with _autocast(device):
        features = encode(model, batch["image"]).float()
    window = WindowPrompter(model, features, batch["corner"])
    targets = batch["targets"].flatten(0, 1).float() / 255
    valid, kinds = batch["valid"].flatten(0, 1), batch["kinds"].flatten(0, 1)
    prompts, intent = torch.arange(b * p, device=targets.device), batch["intent"].flatten()

    boxes = batch["boxes"].flatten(0, 1) if plan.boxes else None
    points = None if plan.boxes else batch["points"].flatten(0, 1)[:, None]
    ones = torch.ones(b * p, 1, device=targets.device)
    clicks = None if points is None else (points, ones)
    with _autocast(device):
        logits, predicted_iou = window.predict(p, clicks, boxes, None)
    iou = true_iou(logits, targets).masked_fill(~valid[:, None], 0)
    best = iou.max(2).values
    if plan.boxes:  # a box has one target, which any of the predictions may match
        best = iou[prompts, :, intent]
        costs = mask_costs(logits, targets[prompts, intent][:, None])[..., 0]
        mask = costs[:, 0] + costs[:, 1:].min(1).values
        rank = (predicted_iou - best).square().mean()
    else:
        costs, of_three = mask_costs(logits[:, 1:], targets), predicted_iou[:, 1:]
        mask = matched_cost(costs, valid) + weights.chosen * chosen_cost(costs, valid, of_three)
        rank = iou_loss(of_three, best[:, 1:])
    mask_total, iou_total = mask.mean(), rank
    iou_of_three = best[:, 1:]
    chosen = iou_of_three.gather(1, predicted_iou[:, 1:].argmax(1, keepdim=True))
    figures = {
        "mask": mask.detach().mean(),
        "iou": rank.detach(),
        "best": iou_of_three.max(1).values.mean(),
        "chosen": chosen.mean(),
    }

    target = targets[prompts, intent]
    prediction = logits[prompts, 0 if plan.boxes else 1 + iou[prompts, 1:, intent].argmax(1)]
    labels = ones
    generator = torch.Generator(target.device).manual_seed(plan.seed)
    for _ in range(plan.corrections):
        prediction = prediction.detach()
        xy, label = correction(prediction, target, generator)
        corner = batch["corner"].repeat_interleave(p, dim=0)
        added = (xy * 4 + 2 + corner).float()[:, None]
        first = points is None
        points = added if points is None else torch.cat([points, added], dim=1)
        labels = label.float()[:, None] if first else torch.cat([labels, label[:, None]], dim=1)
        with _autocast(device):
            logits, predicted_iou = window.predict(p, (points, labels), boxes, prediction[:, None])
        prediction = logits[:, 0]
        corrected = mask_costs(prediction[:, None], target[:, None]).mean()
        actual = true_iou(prediction[:, None], target[:, None])[:, 0, 0]
        mask_total = mask_total + corrected
        iou_total = iou_total + (predicted_iou[:, 0] - actual).square().mean()
        figures["corrected"] = actual.mean()

    loss = (mask_total + weights.iou * iou_total) / (1 + plan.corrections)
    by_image = targets.view(b, -1, *targets.shape[2:])
    mask_embeddings = pooled(features, by_image).flatten(0, 1)
    has_kind = (valid & (kinds != UNKNOWN)).flatten()
    embeddings, kinds = mask_embeddings[has_kind], kinds.flatten()[has_kind]
    if weights.kind and len(kinds):
        kind = kind_loss(embeddings, kinds, *memory)
        figures["kind"] = kind.detach()
        loss = loss + weights.kind * kind
    if trunk is not None:
        with _autocast(device):
            trunk_features = trunk(batch["image"], by_image).flatten(0, 1)
        of_valid = valid.flatten()
        likeness = likeness_loss(mask_embeddings[of_valid], trunk_features[of_valid])
        figures["likeness"] = likeness.detach()
        loss = loss + weights.likeness * likeness
    if weights.patches:
        patches = patch_loss(features, batch["patches"], plan.seed)
        figures["patches"] = patches.detach()
        loss = loss + weights.patches * patches
    if weights.features and "has_teacher" in batch and batch["has_teacher"].any():
        taught = batch["has_teacher"]
        distance = feature_loss(features[taught], batch["features"][taught])
        figures["features"] = distance.detach()
        loss = loss + weights.features * distance
    return StepLosses(loss, embeddings.detach(), kinds, figures)


def _autocast(device: torch.device) -> torch.autocast:
    """Run in bfloat16 on a device that has it.

    Without the cache of casts: all threads share it, and results vary from run to run.
    """
    bfloat16 = has_bfloat16(device)
    return torch.autocast(device.type, torch.bfloat16, enabled=bfloat16, cache_enabled=False)
