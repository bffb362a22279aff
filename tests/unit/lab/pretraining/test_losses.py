"""The losses against their definitions, written out."""

from itertools import permutations

import pytest
import torch
from torch.nn import functional

from samseg.lab.pretraining.losses import (
    chosen_cost,
    feature_loss,
    kind_loss,
    mask_costs,
    matched_cost,
    patch_loss,
    pooled,
    ranking_loss,
    true_iou,
)
from samseg.lab.pretraining.picture import UNKNOWN


def test_mask_costs_are_focal_plus_dice():
    torch.manual_seed(0)
    logits, targets = torch.randn(2, 3, 8, 8) * 4, torch.rand(2, 2, 8, 8)
    costs = mask_costs(logits, targets)
    for n in range(2):
        for a in range(3):
            for t in range(2):
                x, y = logits[n, a].double(), targets[n, t].double()
                p = x.sigmoid()
                focal = -(y * (1 - p) ** 2 * p.log() + (1 - y) * p**2 * (1 - p).log())
                dice = 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)
                assert costs[n, a, t] == pytest.approx(float(20 * focal.mean() + dice), rel=1e-4)


def test_costs_stay_finite_for_extreme_logits():
    logits = torch.tensor([1e4, -1e4]).view(1, 2, 1, 1).expand(1, 2, 4, 4).requires_grad_()
    costs = mask_costs(logits, torch.ones(1, 1, 4, 4))
    (grad,) = torch.autograd.grad(costs.sum(), logits)
    assert torch.isfinite(costs).all() and torch.isfinite(grad).all()


@pytest.mark.parametrize("meant", [1, 2, 3])
def test_matching_is_the_best_of_all_assignments(meant):
    torch.manual_seed(meant)
    costs = torch.rand(5, 3, 3)
    mask = (torch.arange(3) < meant).expand(5, 3)
    found = matched_cost(costs, mask, tail=0.0)
    for n in range(5):
        best = min(
            sum(float(costs[n, answers[t], t]) for t in range(meant)) / meant
            for answers in permutations(range(3), meant)
        )
        assert float(found[n]) == pytest.approx(best, rel=1e-5)


def test_every_answer_gets_a_gradient_though_one_mask_is_meant():
    costs = torch.rand(1, 3, 3, requires_grad=True)
    (grad,) = torch.autograd.grad(matched_cost(costs, torch.tensor([[True, False, False]])), costs)
    assert (grad[0, :, 0] > 0).all()
    assert (grad[0, :, 1:] == 0).all()


def test_the_likely_choice_costs_what_its_nearest_target_does():
    costs = torch.tensor([[[3.0, 1.0, 0.1], [4.0, 2.0, 0.1], [9.0, 8.0, 0.1]]], requires_grad=True)
    meant, predicted = torch.tensor([[True, True, False]]), torch.tensor([[0.2, 0.9, 0.3]])
    found = chosen_cost(costs, meant, predicted.requires_grad_())
    assert float(found.detach()) == pytest.approx(2.0, abs=1e-4)
    on_costs, on_predicted = torch.autograd.grad(found, (costs, predicted), allow_unused=True)
    assert on_predicted is None
    torch.testing.assert_close(on_costs[0, 1], torch.tensor([0.0, 1.0, 0.0]), atol=1e-5, rtol=0)
    assert float(on_costs[0, [0, 2]].abs().sum()) < 1e-4
    undecided = chosen_cost(costs, meant, torch.zeros(1, 3))
    assert float(undecided.detach()) == pytest.approx((1 + 2 + 8) / 3)


def test_true_iou_counts_px():
    logits = torch.full((1, 1, 4, 4), -1.0)
    logits[..., :2] = 1
    targets = torch.zeros(1, 2, 4, 4)
    targets[0, 0, :2] = 1
    found = true_iou(logits, targets)
    assert found.shape == (1, 1, 2)
    assert float(found[0, 0, 0]) == pytest.approx(4 / 12)
    assert float(found[0, 0, 1]) == 0


def test_the_right_order_costs_least_whatever_is_added_to_all():
    reached = torch.tensor([[0.2, 0.8, 0.5]])
    right, shifted = ranking_loss(reached, reached), ranking_loss(reached + 0.3, reached)
    wrong = ranking_loss(reached[:, [1, 0, 2]], reached)
    torch.testing.assert_close(right, shifted)
    assert wrong > right + 5
    guess = reached.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(ranking_loss(guess, reached), guess)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-5)


def test_pooling_weighs_patches_by_their_share():
    features = torch.tensor([[1.0, 5.0]]).view(1, 1, 1, 2).expand(1, 1, 2, 2)
    targets = torch.zeros(1, 2, 8, 8)
    targets[0, 0, :4, :4] = 1  # all of the first patch
    targets[0, 0, 0, 4:] = 1  # a quarter of the second
    targets[0, 1, :, 4:] = 1  # another mask: all of the second
    found = pooled(features, targets)
    assert found.flatten().tolist() == pytest.approx([(1 + 5 / 4) / (1 + 1 / 4), 5])


def test_kinds_that_lie_together_cost_less():
    torch.manual_seed(0)
    kinds = torch.tensor([0, 0, 1, 1])
    middle = torch.eye(2, 16) * 10
    together = middle[kinds] + 0.01 * torch.randn(4, 16)
    nothing = torch.zeros(0, 16), torch.zeros(0, dtype=torch.int64)
    mixed = together[[0, 2, 1, 3]]
    assert kind_loss(together, kinds, *nothing) < 0.1 < kind_loss(mixed, kinds, *nothing)
    known = together, kinds
    alone = kind_loss(together[:1], kinds[:1], *known)
    assert alone < kind_loss(together[2:3], kinds[:1], *known)


@pytest.mark.parametrize("n", [1, 3])
def test_kinds_without_a_partner_cost_nothing(n):
    lonely = torch.randn(n, 8, requires_grad=True)
    nothing = torch.zeros(0, 8), torch.zeros(0, dtype=torch.int64)
    loss = kind_loss(lonely, torch.arange(n), *nothing)
    assert float(loss.detach()) == 0
    (gradient,) = torch.autograd.grad(loss, lonely)
    assert torch.isfinite(gradient).all()


def test_patches_of_one_region_that_lie_together_cost_less():
    shown = torch.full((2, 8, 8), UNKNOWN)
    shown[:, :, :3], shown[0, :, 5:], shown[1, :, 5:] = 4, -7, -8
    grouped = torch.eye(4, 16)[torch.tensor([3, 0, 1, 2])]  # of UNKNOWN, 4, -7, -8
    which = torch.where(shown == 4, 1, torch.where(shown == -7, 2, torch.where(shown == -8, 3, 0)))
    features = grouped[which].movedim(-1, 1).requires_grad_()
    striped = features.detach().roll(1, dims=3)
    loss = patch_loss(features, shown, seed=0)
    assert loss < patch_loss(striped, shown, seed=0)
    (gradient,) = torch.autograd.grad(patch_loss(features + 0.1, shown, seed=0), features)
    assert gradient[:, :, :, 3:5].abs().sum() == 0, "nothing is asked of mixed patches"
    assert patch_loss(features, torch.full_like(shown, UNKNOWN), seed=0) == 0


def test_feature_loss_is_zero_for_a_perfect_pupil():
    torch.manual_seed(0)
    taught = torch.randn(2, 256, 4, 4) * 3 + 1
    pupil = functional.layer_norm(taught.movedim(1, -1), (256,)).movedim(-1, 1)
    assert float(feature_loss(pupil, taught.half())) < 1e-4
    assert float(feature_loss(pupil.roll(1, dims=2), taught.half())) > 0.5
