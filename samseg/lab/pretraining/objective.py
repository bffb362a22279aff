"""One micro-batch: ask, correct, and sum the losses up."""

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
from samseg.lab.pretraining.picture import UNKNOWN
from samseg.lab.pretraining.prompting import WindowPrompter, correction, encode

Batch = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class PromptPlan:
    """How the prompts of one step are given.

    Attributes:
        boxes: the first prompt is a box instead of a click.
        corrections: how many corrective clicks follow, each with the mask it corrects.
        seed: of where they are.
    """

    boxes: bool
    corrections: int
    seed: int


@dataclass(slots=True)
class StepLosses:
    """What came of one micro-batch.

    Attributes:
        loss: to be minimised.
        figures: means to show: losses by name; `best` and `chosen` IoU of the first answers. They
            stay on the device: to read each of them would stop a GPU.
        embeddings: (n, d) of masks of a known kind, without gradient.
        kinds: (n,) theirs.
    """

    loss: Tensor
    embeddings: Tensor
    kinds: Tensor
    figures: dict[str, Tensor] = field(default_factory=dict)


def objective(
    model: Sam,
    batch: Batch,
    round_: PromptPlan,
    weights: Weights,
    known: tuple[Tensor, Tensor],
    trunk: TrunkLikeness | None = None,
) -> StepLosses:
    """Compute the losses of b windows with p prompts each.

    The model runs in bfloat16, the losses in float32: focal loss sums large numbers that cancel.

    Args:
        model: the model in training.
        batch: see `samseg.lab.pretraining.examples.Examples`.
        round_: how prompts are given.
        weights: of the losses.
        known: embeddings of earlier steps and their kinds.
        trunk: what says how alike masks are; None where nothing shall.
    """
    b, p = batch["points"].shape[:2]
    device = batch["image"].device.type
    with _half(device):
        features = encode(model, batch["image"]).float()
    window = WindowPrompter(model, features, batch["corner"])
    targets = batch["targets"].flatten(0, 1).float() / 255
    meant, kinds = batch["meant"].flatten(0, 1), batch["kinds"].flatten(0, 1)
    everything, intent = torch.arange(b * p, device=targets.device), batch["intent"].flatten()

    boxes = batch["boxes"].flatten(0, 1) if round_.boxes else None
    points = None if round_.boxes else batch["points"].flatten(0, 1)[:, None]
    ones = torch.ones(b * p, 1, device=targets.device)
    clicks = None if points is None else (points, ones)
    with _half(device):
        logits, predicted = window.ask(p, clicks, boxes, None)
    iou = true_iou(logits, targets).masked_fill(~meant[:, None], 0)
    best = iou.max(2).values
    if round_.boxes:  # a box means one mask, whichever answer gives it
        best = iou[everything, :, intent]
        costs = mask_costs(logits, targets[everything, intent][:, None])[..., 0]
        mask = costs[:, 0] + costs[:, 1:].min(1).values
        rank = (predicted - best).square().mean()
    else:
        costs, said = mask_costs(logits[:, 1:], targets), predicted[:, 1:].float()
        mask = matched_cost(costs, meant) + weights.chosen * chosen_cost(costs, meant, said)
        rank = iou_loss(said, best[:, 1:])
    total, ranked = mask.mean(), rank
    of_three = best[:, 1:]
    chosen = of_three.gather(1, predicted[:, 1:].argmax(1, keepdim=True))
    figures = {
        "mask": mask.detach().mean(),
        "iou": rank.detach(),
        "best": of_three.max(1).values.mean(),
        "chosen": chosen.mean(),
    }

    wanted = targets[everything, intent]
    answer = logits[everything, 0 if round_.boxes else 1 + iou[everything, 1:, intent].argmax(1)]
    labels = ones
    generator = torch.Generator(wanted.device).manual_seed(round_.seed)
    for _ in range(round_.corrections):
        answer = answer.detach()
        xy, label = correction(answer, wanted, generator)
        corner = batch["corner"].repeat_interleave(p, dim=0)
        placed = (xy * 4 + 2 + corner).float()[:, None]
        first = points is None
        points = placed if points is None else torch.cat([points, placed], dim=1)
        labels = label.float()[:, None] if first else torch.cat([labels, label[:, None]], dim=1)
        with _half(device):
            logits, predicted = window.ask(p, (points, labels), boxes, answer[:, None])
        answer = logits[:, 0]
        corrected = mask_costs(answer[:, None], wanted[:, None]).mean()
        reached = true_iou(answer[:, None], wanted[:, None])[:, 0, 0]
        total = total + corrected
        ranked = ranked + (predicted[:, 0] - reached).square().mean()
        figures["corrected"] = reached.mean()

    loss = (total + weights.iou * ranked) / (1 + round_.corrections)
    of_pictures = targets.view(b, -1, *targets.shape[2:])
    every = pooled(features, of_pictures).flatten(0, 1)
    of_kind = (meant & (kinds != UNKNOWN)).flatten()
    embeddings, kinds = every[of_kind], kinds.flatten()[of_kind]
    if weights.kind and len(kinds):
        alike = kind_loss(embeddings, kinds, *known)
        figures["kind"] = alike.detach()
        loss = loss + weights.kind * alike
    if trunk is not None:
        with _half(device):
            seen = trunk(batch["image"], of_pictures).flatten(0, 1)
        unlike = likeness_loss(every[meant.flatten()], seen[meant.flatten()])
        figures["likeness"] = unlike.detach()
        loss = loss + weights.likeness * unlike
    if weights.patches:
        grouped = patch_loss(features, batch["patches"], round_.seed)
        figures["patches"] = grouped.detach()
        loss = loss + weights.patches * grouped
    if weights.features and "taught" in batch and batch["taught"].any():
        taught = feature_loss(features[batch["taught"]], batch["features"][batch["taught"]])
        figures["features"] = taught.detach()
        loss = loss + weights.features * taught
    return StepLosses(loss, embeddings.detach(), kinds, figures)


def _half(device: str) -> torch.autocast:
    """Run in bfloat16. The cache of casts is one for all threads: with it, runs differ."""
    return torch.autocast(device, torch.bfloat16, cache_enabled=False)
