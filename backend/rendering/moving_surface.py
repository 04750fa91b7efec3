"""Surface points and their colours as functions of the field: implicit gradients.

A surface point moves with the field: for a hit p on a ray of direction v, dd = -df / (grad f . v). It is
written as p = p0 - v * (f(p0) - f(p0).detach()) / (grad f . v).detach(), so that first derivatives of the
field suffice and only surface points carry a graph.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from backend.rendering.chunks import ask
from backend.svr.base import Field

SLOPE_FLOOR = 1e-3
"""Slopes along the ray weaker than this are replaced by it, its sign lost (the reference's guard)."""


def surface_points(
    field: Field, origins: Tensor, directions: Tensor, depth: Tensor, moving: Tensor
) -> tuple[Tensor, Tensor]:
    """Points [B, P, 3] and depths [B, P] at given depths, with implicit gradients to the field where
    `moving`.

    `moving` [B, P] marks true crossings; elsewhere depth is a constant.
    """
    points = origins + depth[..., None] * directions
    if not torch.is_grad_enabled() or not points.numel():
        return points, depth
    places = points.detach().requires_grad_()
    logits = field.occupancy(places)
    if not logits.requires_grad:
        return points, depth
    shift = _step_per_logit(logits, places, directions, moving) * (logits - logits.detach())
    return points + shift[..., None] * directions, depth + shift


def colored_surface(
    field: Field, origins: Tensor, directions: Tensor, depth: Tensor, moving: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """As `surface_points`, and the colours [B, P, 3] at the points, all from one question to the field.

    A colour changes in two ways: directly, and because another point is seen. Asking for it at the moved
    point would ask the decoder a second time. Here occupancy and colour come from one call; backwards, the
    colour's change along the ray is handed to the occupancy that moves the point, and both go through the
    decoder together.
    """
    points = origins + depth[..., None] * directions
    if not torch.is_grad_enabled() or not points.numel():
        return points, depth, ask(field.color, points)
    places = points.detach().requires_grad_()
    logits, colors = field.occupancy_and_color(places)
    if not logits.requires_grad:
        return points, depth, colors
    step = _step_per_logit(logits, places, directions, moving)
    if colors.requires_grad:
        colors = _Carried.apply(colors, logits, places, step[..., None] * directions)
    shift = step * (logits - logits.detach())
    return points + shift[..., None] * directions, depth + shift, colors


def _step_per_logit(logits: Tensor, places: Tensor, directions: Tensor, moving: Tensor) -> Tensor:
    """How far along its ray [B, P] a point moves per logit that the field rises; 0 where not `moving`."""
    (gradient,) = torch.autograd.grad(logits.sum(), places, retain_graph=True)
    slope = (gradient * directions).sum(-1)
    slope = torch.where(slope.abs() < SLOPE_FLOOR, torch.full_like(slope, SLOPE_FLOOR), slope)
    return torch.where(moving, -1 / slope, torch.zeros_like(slope))


class _Carried(torch.autograd.Function):
    """Colours as they are; backwards, as if their places were carried along by the logits."""

    @staticmethod
    def forward(ctx: Any, colors: Tensor, logits: Tensor, places: Tensor, path: Tensor) -> Tensor:
        """path: how far [B, P, 3] a place moves per logit."""
        ctx.save_for_backward(colors, places, path)
        return colors.view_as(colors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_colors: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        colors, places, path = ctx.saved_tensors
        (of_places,) = torch.autograd.grad(colors, places, of_colors, retain_graph=True, allow_unused=True)
        of_logits = None if of_places is None else (of_places * path).sum(-1)
        return of_colors, of_logits, None, None
