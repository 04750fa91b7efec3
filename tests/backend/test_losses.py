"""Losses by hand on tiny tensors; test_reference_stage*.py check whole stages against the reference."""

import math

import pytest
import torch

from backend import losses


def test_sums_are_per_shape() -> None:
    rgb, truth = torch.zeros(2, 2, 3), torch.full((2, 2, 3), 0.5)
    mask = torch.tensor([[True, False], [True, True]])
    assert losses.color_loss(rgb, truth, mask).item() == pytest.approx(3 * 3 * 0.5 / 2)
    assert losses.normal_loss(torch.eye(3), torch.eye(3).roll(1, 0), 2).item() == pytest.approx(
        3 * math.sqrt(2) / 2
    )


def test_depth_ignores_unknown_truth_and_keeps_gradients_finite() -> None:
    depth = torch.tensor([[1.0, 2.0, 3.0, math.inf]], requires_grad=True)
    truth = torch.tensor([[1.5, math.inf, 1.0, 1.0]])
    loss = losses.depth_loss(depth, truth, torch.tensor([[True, True, True, False]]))
    loss.backward()
    assert loss.item() == pytest.approx(2.5)
    assert depth.grad.tolist() == [[-1.0, 0.0, 1.0, 0.0]]


def test_cross_entropies() -> None:
    logits = torch.tensor([[2.0, -1.0]])
    mask = torch.tensor([[True, False]])
    assert losses.freespace_loss(logits, mask).item() == pytest.approx(math.log(1 + math.exp(2)))
    assert losses.occupancy_loss(logits, mask).item() == pytest.approx(math.log(1 + math.exp(-2)))


def test_equal_normals_have_a_finite_gradient() -> None:
    normals = torch.tensor([[0.0, 0.0, 1.0]], requires_grad=True)
    losses.normal_loss(normals, normals.detach(), 1).backward()
    assert normals.grad.isfinite().all()


def test_background_counts_hits_as_zero() -> None:
    rgb = torch.tensor([[0.4, 0.4, 0.4], [0.0, 0.0, 0.0]])
    assert losses.background_loss(rgb, torch.tensor([False, True])).item() == pytest.approx(0.3)


def test_regression_does_not_reach_the_codes() -> None:
    proposed, codes = torch.ones(2, 4, requires_grad=True), torch.zeros(2, 4, requires_grad=True)
    loss = losses.regression_loss(proposed, codes)
    loss.backward()
    assert loss.item() == 1 and codes.grad is None and proposed.grad is not None


def test_clip_loss_is_one_minus_cosine_summed() -> None:
    views = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])
    assert losses.clip_loss(views, torch.tensor([[5.0, 0.0]])).item() == pytest.approx(0 + 1 + 2)


def test_stage3_terms() -> None:
    logits, original = torch.tensor([1.0, -1.0, 4.0]), torch.tensor([0.0, 1.0, 2.0])
    assert losses.prior_loss(logits, original).item() == pytest.approx(5 / 3)
    rgb = torch.tensor([[1.0, 1.0, 0.9], [1.0, 1.0, 1.0], [0.9, 0.9, 0.9]])
    assert losses.white_removal_loss(original, rgb).item() == pytest.approx(0.5)
    assert losses.white_removal_loss(original, torch.zeros(3, 3)).item() == 0
