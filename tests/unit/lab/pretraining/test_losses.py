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
from samseg.lab.pretraining.training_image import UNKNOWN


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


@pytest.mark.parametrize("valid", [1, 2, 3])
def test_matching_is_the_best_of_all_assignments(valid):
    torch.manual_seed(valid)
    costs = torch.rand(5, 3, 3)
    mask = (torch.arange(3) < valid).expand(5, 3)
    found = matched_cost(costs, mask, tail=0.0)
    for n in range(5):
        best = min(
            sum(float(costs[n, order[t], t]) for t in range(valid)) / valid
            for order in permutations(range(3), valid)
        )
        assert float(found[n]) == pytest.approx(best, rel=1e-5)


def test_every_prediction_gets_a_gradient_with_one_valid_target():
    costs = torch.rand(1, 3, 3, requires_grad=True)
    (grad,) = torch.autograd.grad(matched_cost(costs, torch.tensor([[True, False, False]])), costs)
    assert (grad[0, :, 0] > 0).all()
    assert (grad[0, :, 1:] == 0).all()


def test_the_chosen_cost_is_that_of_the_nearest_target_of_the_best_predicted_iou():
    costs = torch.tensor([[[3.0, 1.0, 0.1], [4.0, 2.0, 0.1], [9.0, 8.0, 0.1]]], requires_grad=True)
    valid, predicted_iou = torch.tensor([[True, True, False]]), torch.tensor([[0.2, 0.9, 0.3]])
    found = chosen_cost(costs, valid, predicted_iou.requires_grad_())
    assert float(found.detach()) == pytest.approx(2.0, abs=1e-4)
    on_costs, on_iou = torch.autograd.grad(found, (costs, predicted_iou), allow_unused=True)
    assert on_iou is None
    torch.testing.assert_close(on_costs[0, 1], torch.tensor([0.0, 1.0, 0.0]), atol=1e-5, rtol=0)
    assert float(on_costs[0, [0, 2]].abs().sum()) < 1e-4
    uniform = chosen_cost(costs, valid, torch.zeros(1, 3))
    assert float(uniform.detach()) == pytest.approx((1 + 2 + 8) / 3)


def test_true_iou_counts_px():
    logits = torch.full((1, 1, 4, 4), -1.0)
    logits[..., :2] = 1
    targets = torch.zeros(1, 2, 4, 4)
    targets[0, 0, :2] = 1
    found = true_iou(logits, targets)
    assert found.shape == (1, 1, 2)
    assert float(found[0, 0, 0]) == pytest.approx(4 / 12)
    assert float(found[0, 0, 1]) == 0


def test_ranking_loss_is_lowest_for_the_right_order_and_invariant_to_shifts():
    actual = torch.tensor([[0.2, 0.8, 0.5]])
    right, shifted = ranking_loss(actual, actual), ranking_loss(actual + 0.3, actual)
    wrong = ranking_loss(actual[:, [1, 0, 2]], actual)
    torch.testing.assert_close(right, shifted)
    assert wrong > right + 5
    predicted = actual.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(ranking_loss(predicted, actual), predicted)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-5)


def test_pooling_weights_patches_by_the_share_inside():
    features = torch.tensor([[1.0, 5.0]]).view(1, 1, 1, 2).expand(1, 1, 2, 2)
    targets = torch.zeros(1, 2, 8, 8)
    targets[0, 0, :4, :4] = 1  # all of the first patch
    targets[0, 0, 0, 4:] = 1  # a quarter of the second
    targets[0, 1, :, 4:] = 1  # another mask: all of the second
    found = pooled(features, targets)
    assert found.flatten().tolist() == pytest.approx([(1 + 5 / 4) / (1 + 1 / 4), 5])


def test_clustered_kinds_cost_less():
    torch.manual_seed(0)
    kinds = torch.tensor([0, 0, 1, 1])
    centres = torch.eye(2, 16) * 10
    clustered = centres[kinds] + 0.01 * torch.randn(4, 16)
    empty = torch.zeros(0, 16), torch.zeros(0, dtype=torch.int64)
    mixed = clustered[[0, 2, 1, 3]]
    assert kind_loss(clustered, kinds, *empty) < 0.1 < kind_loss(mixed, kinds, *empty)
    memory = clustered, kinds
    right = kind_loss(clustered[:1], kinds[:1], *memory)
    assert right < kind_loss(clustered[2:3], kinds[:1], *memory)


@pytest.mark.parametrize("n", [1, 3])
def test_kinds_without_another_of_theirs_cost_nothing(n):
    embeddings = torch.randn(n, 8, requires_grad=True)
    empty = torch.zeros(0, 8), torch.zeros(0, dtype=torch.int64)
    loss = kind_loss(embeddings, torch.arange(n), *empty)
    assert float(loss.detach()) == 0
    (gradient,) = torch.autograd.grad(loss, embeddings)
    assert torch.isfinite(gradient).all()


def test_patches_clustered_by_region_cost_less():
    labels = torch.full((2, 8, 8), UNKNOWN)
    labels[:, :, :3], labels[0, :, 5:], labels[1, :, 5:] = 4, -7, -8
    grouped = torch.eye(4, 16)[torch.tensor([3, 0, 1, 2])]  # of UNKNOWN, 4, -7, -8
    which = torch.where(
        labels == 4, 1, torch.where(labels == -7, 2, torch.where(labels == -8, 3, 0))
    )
    features = grouped[which].movedim(-1, 1).requires_grad_()
    striped = features.detach().roll(1, dims=3)
    loss = patch_loss(features, labels, seed=0)
    assert loss < patch_loss(striped, labels, seed=0)
    (gradient,) = torch.autograd.grad(patch_loss(features + 0.1, labels, seed=0), features)
    assert gradient[:, :, :, 3:5].abs().sum() == 0, "mixed patches have no loss"
    assert patch_loss(features, torch.full_like(labels, UNKNOWN), seed=0) == 0


def test_feature_loss_is_zero_for_a_perfect_student():
    torch.manual_seed(0)
    teacher = torch.randn(2, 256, 4, 4) * 3 + 1
    student = functional.layer_norm(teacher.movedim(1, -1), (256,)).movedim(-1, 1)
    assert float(feature_loss(student, teacher.half())) < 1e-4
    assert float(feature_loss(student.roll(1, dims=2), teacher.half())) > 0.5
