"""Losses of the training.

Masks: 20 x focal loss (Lin et al., "Focal Loss for Dense Object Detection", 2017) + Dice loss
(Milletari et al., "V-Net", 2016), as SAM was trained. A click may have several valid targets; the
three predicted masks are matched to them at the lowest cost, and the mask with the highest
predicted IoU is weighted once more. Predicted IoU: squared error and a ranking loss. Kinds: the
supervised contrastive loss (Khosla et al., 2020) of features pooled under masks. Patches: the same
loss of single patches.
"""

from itertools import permutations

import torch
from torch import Tensor
from torch.nn import functional

from samseg.lab.pretraining.training_image import UNKNOWN

_FOCAL = 20.0
_IOU_TEMPERATURE = 0.05
"""Temperature of softmax over IoU: differences of this size are worth ranking."""

_RANKING_WEIGHT = 0.05
"""Weight of the ranking loss relative to the squared error."""

_TEMPERATURE = 0.2
_SAMPLED_PATCHES = 1024
"""Most patches that `patch_loss` compares."""

_MASKED_SCORE = -1e4
"""Logit of probability 0; with -inf an embedding without any other would yield NaN."""


def mask_costs(logits: Tensor, targets: Tensor) -> Tensor:
    """Compare each predicted mask with each target.

    Args:
        logits: (n, a, h, w).
        targets: (n, t, h, w) in [0, 1].

    Returns:
        (n, a, t) focal + Dice losses.
    """
    x, y = logits.flatten(2), targets.flatten(2)
    inside, px = x.sigmoid(), x.shape[2]
    # focal loss is linear in the target y: y (1 - p)^2 (-log p) + (1 - y) p^2 (-log (1 - p))
    if_in = (1 - inside) ** 2 * functional.softplus(-x)
    if_out = inside**2 * functional.softplus(x)
    focal = ((if_in - if_out) @ y.transpose(1, 2) + if_out.sum(2, keepdim=True)) / px
    both = inside @ y.transpose(1, 2)
    dice = 1 - (2 * both + 1) / (inside.sum(2, keepdim=True) + y.sum(2)[:, None] + 1)
    return _FOCAL * focal + dice


def matched_cost(costs: Tensor, valid: Tensor, tail: float = 0.05) -> Tensor:
    """Match the valid targets one-to-one with predictions at the lowest total cost.

    Args:
        costs: (n, t, t).
        valid: (n, t) bool, valid targets; they come first.
        tail: weight of each prediction's nearest target, so that unmatched predictions learn too.

    Returns:
        (n,) mean over the valid targets.
    """
    t = costs.shape[1]
    orders = torch.tensor(list(permutations(range(t))), device=costs.device)  # target -> prediction
    each = costs[:, orders, torch.arange(t, device=costs.device)]  # (n, t!, t)
    matched = (each * valid[:, None]).sum(2).min(1).values / valid.sum(1)
    return matched + tail * _nearest(costs, valid).mean(1)


def chosen_cost(costs: Tensor, valid: Tensor, predicted_iou: Tensor) -> Tensor:
    """Return the expected cost of the mask that predicted IoU selects.

    Matching alone lets each prediction specialise on one interpretation of a click. Where the click
    is ambiguous, as in unfamiliar photos, selecting one of them is then a guess. This term requires
    the selected mask itself to fit a valid target.

    Args:
        costs: (n, a, t).
        valid: (n, t) bool, valid targets.
        predicted_iou: (n, a); no gradient flows through it.

    Returns:
        (n,) costs of the nearest target, weighted by the softmax of predicted IoU.
    """
    weights = (predicted_iou.detach() / _IOU_TEMPERATURE).softmax(1)
    return (weights * _nearest(costs, valid)).sum(1)


def _nearest(costs: Tensor, valid: Tensor) -> Tensor:
    """Return (n, a) the cost of each prediction's nearest valid target."""
    return costs.masked_fill(~valid[:, None], torch.inf).min(2).values


@torch.no_grad()
def true_iou(logits: Tensor, targets: Tensor) -> Tensor:
    """Return (n, a, t) IoU of thresholded predictions and targets."""
    found = (logits > 0).flatten(2).float()
    wanted = (targets > 0.5).flatten(2).float()
    both = found @ wanted.transpose(1, 2)
    either = found.sum(2, keepdim=True) + wanted.sum(2)[:, None] - both
    return both / either.clamp(min=1)


def iou_loss(predicted: Tensor, actual: Tensor) -> Tensor:
    """Return the squared error and the ranking loss of predicted IoU.

    Args:
        predicted: (n, a) IoU.
        actual: (n, a) IoU.
    """
    error = (predicted - actual).square().mean()
    return error + _RANKING_WEIGHT * ranking_loss(predicted, actual)


def ranking_loss(predicted: Tensor, actual: Tensor) -> Tensor:
    """Compare the ranking of the masks of one prompt by predicted IoU with that by actual IoU.

    The cross entropy of top-one probabilities (Cao et al., "Learning to Rank: From Pairwise
    Approach to Listwise Approach", 2007), lowest where predicted and actual IoU are equal up to a
    constant. A squared error hardly penalises a wrong order of similar values.

    Args:
        predicted: (n, a) IoU.
        actual: (n, a) IoU.
    """
    probabilities = (actual / _IOU_TEMPERATURE).softmax(1)
    return functional.cross_entropy(predicted / _IOU_TEMPERATURE, probabilities)


def pooled(features: Tensor, targets: Tensor) -> Tensor:
    """Pool features under masks.

    Args:
        features: (b, d, g, g).
        targets: (b, k, m g, m g) in [0, 1], k masks per image.

    Returns:
        (b, k, d), weighted by the share of each patch that is inside.
    """
    share = functional.avg_pool2d(targets, targets.shape[-1] // features.shape[-1]).flatten(2)
    summed = share @ features.flatten(2).transpose(1, 2)
    return summed / share.sum(2, keepdim=True).clamp(min=1e-6)


def kind_loss(embeddings: Tensor, kinds: Tensor, memory: Tensor, memory_kinds: Tensor) -> Tensor:
    """Return the supervised contrastive loss of embeddings by kind.

    Args:
        embeddings: (n, d).
        kinds: (n,) int64.
        memory: (m, d) embeddings of earlier steps, without gradient.
        memory_kinds: (m,) int64.

    Returns:
        The mean over embeddings that have another of their kind; 0 when none has.
    """
    everything = torch.cat([embeddings, memory])
    centred = functional.normalize(everything - everything.mean(dim=0).detach(), dim=1)
    scores = centred[: len(embeddings)] @ centred.T / _TEMPERATURE
    itself = torch.eye(len(embeddings), len(everything), dtype=torch.bool, device=scores.device)
    alike = (kinds[:, None] == torch.cat([kinds, memory_kinds])) & ~itself
    log_probability = scores - scores.masked_fill(itself, _MASKED_SCORE).logsumexp(1, keepdim=True)
    positives = alike.sum(1)
    each = -(log_probability * alike).sum(1) / positives.clamp(min=1)
    return (each * (positives > 0)).sum() / (positives > 0).sum().clamp(min=1)


def patch_loss(features: Tensor, labels: Tensor, seed: int) -> Tensor:
    """Return the supervised contrastive loss of patches by region, or by kind where it is known.

    The mask loss covers few regions of an image and reaches the encoder through the decoder only.
    This loss covers all regions and acts on the encoder's features directly.

    Args:
        features: (b, d, g, g).
        labels: (b, g, g) int64, `patches` of `samseg.lab.pretraining.examples.Examples`.
        seed: of the sample of at most `_SAMPLED_PATCHES` patches, in which small regions are
            over-represented.
    """
    flat = labels.flatten()
    labelled = (flat != UNKNOWN).nonzero()[:, 0]
    if not len(labelled):
        return features.sum() * 0
    _, which, counts = flat[labelled].unique(return_inverse=True, return_counts=True)
    generator = torch.Generator(features.device).manual_seed(seed)
    n = min(_SAMPLED_PATCHES, len(labelled))
    drawn = torch.multinomial(counts[which].float().rsqrt(), n, generator=generator)
    at = labelled[drawn]
    embeddings = features.movedim(1, -1).flatten(0, 2)[at]
    return kind_loss(embeddings, flat[at], embeddings[:0].detach(), flat[:0])


def feature_loss(features: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared error of features, (b, d, g, g) both, against a teacher's.

    `features` are normalised over channels already; the teacher's are normalised here.
    """
    wanted = functional.layer_norm(teacher.float().movedim(1, -1), teacher.shape[1:2])
    return functional.mse_loss(features.movedim(1, -1), wanted)
