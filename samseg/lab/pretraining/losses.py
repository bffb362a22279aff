"""What training minimises.

Masks: 20 x focal loss (Lin et al., "Focal Loss for Dense Object Detection", 2017) + Dice loss
(Milletari et al., "V-Net", 2016), as SAM was trained. A click may mean several masks; the three
answers are matched to them at the least cost, and the one that would be chosen counts once more.
Predicted IoU: squared error, of every answer, and which is the best. Same kind, same place in
feature space: the supervised contrastive loss (Khosla et al., 2020) of features pooled under masks.
"""

from itertools import permutations

import torch
from torch import Tensor
from torch.nn import functional

from samseg.lab.pretraining.picture import UNKNOWN

_FOCAL = 20.0
_APART = 0.05
"""Two answers this far apart in IoU are worth telling apart."""

_RANKING = 0.05
"""Weight of the order of answers beside the squared error of each."""

_TEMPERATURE = 0.2
_LOOKED_AT = 1024

_NEVER = -1e4
"""A score whose share is 0; infinity would give a lone embedding, without any other, NaN."""


def mask_costs(logits: Tensor, targets: Tensor) -> Tensor:
    """Compare each answer with each target.

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


def matched_cost(costs: Tensor, meant: Tensor, tail: float = 0.05) -> Tensor:
    """Match answers to the masks that were meant, each to another answer, at the least cost.

    Args:
        costs: (n, t, t).
        meant: (n, t) bool, which targets there are; the first ones.
        tail: weight of the best target of each answer, so that answers without one learn too.

    Returns:
        (n,) mean over the targets that were meant.
    """
    t = costs.shape[1]
    orders = torch.tensor(list(permutations(range(t))), device=costs.device)  # target -> answer
    each = costs[:, orders, torch.arange(t, device=costs.device)]  # (n, t!, t)
    matched = (each * meant[:, None]).sum(2).min(1).values / meant.sum(1)
    return matched + tail * _nearest(costs, meant).mean(1)


def chosen_cost(costs: Tensor, meant: Tensor, predicted: Tensor) -> Tensor:
    """Return what the answer costs that predicted IoU would choose.

    Matching lets each answer stake on another reading of a click. Where no reading is sure, as in
    unfamiliar photos, a choice between such stakes is luck; this asks for one that is safe.

    Args:
        costs: (n, a, t).
        meant: (n, t) bool, which targets there are.
        predicted: (n, a) IoU; no gradient flows here.

    Returns:
        (n,) costs of the nearest target, weighted by how likely each answer is the choice.
    """
    shares = (predicted.detach() / _APART).softmax(1)
    return (shares * _nearest(costs, meant)).sum(1)


def _nearest(costs: Tensor, meant: Tensor) -> Tensor:
    """Return (n, a) the cost of each answer's nearest target."""
    return costs.masked_fill(~meant[:, None], torch.inf).min(2).values


@torch.no_grad()
def true_iou(logits: Tensor, targets: Tensor) -> Tensor:
    """Return (n, a, t) IoU of thresholded answers and targets."""
    answer = (logits > 0).flatten(2).float()
    wanted = (targets > 0.5).flatten(2).float()
    both = answer @ wanted.transpose(1, 2)
    either = answer.sum(2, keepdim=True) + wanted.sum(2)[:, None] - both
    return both / either.clamp(min=1)


def iou_loss(predicted: Tensor, reached: Tensor) -> Tensor:
    """Compare predicted with reached IoU, (n, a) each: of every answer, and in their order."""
    error = (predicted - reached).square().mean()
    return error + _RANKING * ranking_loss(predicted, reached)


def ranking_loss(predicted: Tensor, reached: Tensor) -> Tensor:
    """Compare the order of the answers to one prompt with what they reached.

    The cross entropy of top-one probabilities (Cao et al., "Learning to Rank: From Pairwise
    Approach to Listwise Approach", 2007), least where predicted and reached IoU are equal up to a
    constant. A squared error is content with any order of answers that lie close together.

    Args:
        predicted: (n, a) IoU.
        reached: (n, a) IoU.
    """
    shares = (reached / _APART).softmax(1)
    return functional.cross_entropy(predicted / _APART, shares)


def pooled(features: Tensor, targets: Tensor) -> Tensor:
    """Pool features under masks.

    Args:
        features: (b, d, g, g).
        targets: (b, k, m g, m g) in [0, 1], k masks of each picture.

    Returns:
        (b, k, d), weighted by the share of each patch that is inside.
    """
    share = functional.avg_pool2d(targets, targets.shape[-1] // features.shape[-1]).flatten(2)
    summed = share @ features.flatten(2).transpose(1, 2)
    return summed / share.sum(2, keepdim=True).clamp(min=1e-6)


def kind_loss(embeddings: Tensor, kinds: Tensor, known: Tensor, known_kinds: Tensor) -> Tensor:
    """Pull embeddings of one kind together and push those of others apart.

    Args:
        embeddings: (n, d).
        kinds: (n,) int64.
        known: (m, d) embeddings of earlier steps, without gradient.
        known_kinds: (m,) int64.

    Returns:
        The mean over embeddings that have a partner of their kind; 0 when none has.
    """
    everything = torch.cat([embeddings, known])
    centred = functional.normalize(everything - everything.mean(dim=0).detach(), dim=1)
    scores = centred[: len(embeddings)] @ centred.T / _TEMPERATURE
    self_ = torch.eye(len(embeddings), len(everything), dtype=torch.bool, device=scores.device)
    alike = (kinds[:, None] == torch.cat([kinds, known_kinds])) & ~self_
    log_share = scores - scores.masked_fill(self_, _NEVER).logsumexp(1, keepdim=True)
    partners = alike.sum(1)
    each = -(log_share * alike).sum(1) / partners.clamp(min=1)
    return (each * (partners > 0)).sum() / (partners > 0).sum().clamp(min=1)


def patch_loss(features: Tensor, shown: Tensor, seed: int) -> Tensor:
    """Pull patches of what is one thing, or of one kind, together and push others apart.

    Masks tell the encoder little about what belongs together, as they come through the decoder and
    of few regions of a picture; this tells it of all of them.

    Args:
        features: (b, d, g, g).
        shown: (b, g, g) int64, see `samseg.lab.pretraining.examples.Examples`.
        seed: of which patches are looked at: `_LOOKED_AT` at most, small regions more often than
            their area has it.
    """
    flat = shown.flatten()
    of_known = (flat != UNKNOWN).nonzero()[:, 0]
    if not len(of_known):
        return features.sum() * 0
    _, which, counts = flat[of_known].unique(return_inverse=True, return_counts=True)
    generator = torch.Generator(features.device).manual_seed(seed)
    n = min(_LOOKED_AT, len(of_known))
    drawn = torch.multinomial(counts[which].float().rsqrt(), n, generator=generator)
    at = of_known[drawn]
    embeddings = features.movedim(1, -1).flatten(0, 2)[at]
    return kind_loss(embeddings, flat[at], embeddings[:0].detach(), flat[:0])


def feature_loss(features: Tensor, taught: Tensor) -> Tensor:
    """Return the mean squared distance of patches to a teacher's, both normalised over channels."""
    wanted = functional.layer_norm(taught.float().movedim(1, -1), taught.shape[1:2])
    return functional.mse_loss(features.movedim(1, -1), wanted)
