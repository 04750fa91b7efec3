"""Signed distances of primitives, differentiable: the solids that a parts model is made of.

Each function takes local points and the parts' numbers and returns distances [K, P], negative inside. Round
primitives stand on their local y axis. Distances of ellipsoids, tapered prisms and after cuts are bounds, not
exact. The compiled kernels of the shape programs compute the same without gradients; a test compares them.
"""

import torch
from torch import Tensor

_TINY = 1e-12
_LEAST = 0.004
"""Least half size of anything."""


def box_distance(local: Tensor, params: Tensor) -> Tensor:
    """params [K, 4]: half sizes x, y, z, radius of the rounded edges."""
    half = params[:, :3].clamp_min(_LEAST)
    rounding = torch.minimum(params[:, 3].clamp_min(0), half.amin(-1))[:, None]
    q = local.abs() - half[:, None] + rounding[..., None]
    outside = _length(q.clamp_min(0))
    return outside + q.amax(-1).clamp_max(0) - rounding


def ellipsoid_distance(local: Tensor, params: Tensor) -> Tensor:
    """params [K, 4]: half sizes x, y, z, not used."""
    half = params[:, None, :3].clamp_min(_LEAST)
    scaled = local / half
    k0 = _length(scaled)
    k1 = ((scaled / half).square().sum(-1) + _TINY / half.amin(-1).square()).sqrt()
    return k0 * (k0 - 1) / k1


def cone_distance(local: Tensor, params: Tensor) -> Tensor:
    """A frustum. params [K, 4]: radius below, radius above, half height, radius of the rounded edges."""
    bottom, top, half, rounding = params.clamp_min(0)[:, None].unbind(-1)
    rounding = torch.minimum(rounding, half)
    r1, r2 = (bottom - rounding).clamp_min(0), (top - rounding).clamp_min(0)
    h = half.clamp_min(_LEAST) - rounding
    q, y = _length(local[..., ::2]), local[..., 1]
    slant_r, slant_y = r2 - r1, 2 * h
    cap_r = q - torch.minimum(q, torch.where(y < 0, r1, r2))
    cap_y = y.abs() - h
    t = ((r2 - q) * slant_r + (h - y) * slant_y) / (slant_r.square() + slant_y.square()).clamp_min(_TINY)
    t = t.clamp(0, 1)
    side_r, side_y = q - r2 + slant_r * t, y - h + slant_y * t
    sign = torch.where((side_r < 0) & (cap_y < 0), -1.0, 1.0)
    nearest = torch.minimum(cap_r.square() + cap_y.square(), side_r.square() + side_y.square())
    return sign * (nearest + _TINY).sqrt() - rounding


def torus_distance(local: Tensor, params: Tensor) -> Tensor:
    """params [K, 4]: radius of the centre line, radius of the tube, not used, not used."""
    radius, tube = params[:, None, 0], params[:, None, 1].clamp_min(_LEAST)
    q = _length(local[..., ::2]) - radius
    return (q.square() + local[..., 1].square() + _TINY).sqrt() - tube


def capsule_distance(local: Tensor, params: Tensor) -> Tensor:
    """A round-ended bar from the origin along +y. params [K, 4]: radius at its start and end, length."""
    start, end = (params[:, None, i].clamp_min(_LEAST) for i in (0, 1))
    length = params[:, None, 2].clamp_min(_LEAST)
    q, y = _length(local[..., ::2]), local[..., 1]
    b = ((start - end) / length).clamp(-0.999, 0.999)
    a = (1 - b.square()).sqrt()
    along = a * y - b * q
    side = q * a + y * b - start
    at_start = (q.square() + y.square() + _TINY).sqrt() - start
    at_end = (q.square() + (y - length).square() + _TINY).sqrt() - end
    return torch.where(along < 0, at_start, torch.where(along > a * length, at_end, side))


def arc_distance(local: Tensor, params: Tensor) -> Tensor:
    """A piece of a torus in the xy plane about +y. params [K, 4]: radius of the centre line, of the tube,
    sine and cosine of the half opening angle."""
    radius, tube = params[:, None, 0], params[:, None, 1].clamp_min(_LEAST)
    angle = torch.atan2(params[:, 2], params[:, 3])[:, None]
    sine, cosine = angle.sin(), angle.cos()
    x, y, z = local[..., 0].abs(), local[..., 1], local[..., 2]
    beyond = (x - radius * sine).square() + (y - radius * cosine).square()
    within = ((x.square() + y.square() + _TINY).sqrt() - radius).square()
    planar = torch.where(cosine * x > sine * y, beyond, within)
    return (planar + z.square() + _TINY).sqrt() - tube


def prism_distance(local: Tensor, params: Tensor, outline: Tensor) -> Tensor:
    """An outline [K, N, 2] in the xy plane drawn out along z. params [K, 4]: half depth, radius of the
    rounded edges, not used, not used."""
    half, rounding = params[:, None, 0].clamp_min(_LEAST), params[:, None, 1].clamp_min(0)
    d = polygon_distance(local[..., 0], local[..., 1], outline) + rounding
    w = local[..., 2].abs() - half + rounding
    outside = (d.clamp_min(0).square() + w.clamp_min(0).square() + _TINY).sqrt()
    return torch.maximum(d, w).clamp_max(0) + outside - rounding


def lathe_distance(local: Tensor, outline: Tensor) -> Tensor:
    """An outline [K, N, 2] of (radius, height) turned about the y axis."""
    return polygon_distance(_length(local[..., ::2]), local[..., 1], outline)


def polygon_distance(x: Tensor, y: Tensor, outline: Tensor) -> Tensor:
    """Distances [K, P] of points to closed polygons [K, N, 2]; a repeated corner changes nothing."""
    ax, ay = outline[:, None, :, 0], outline[:, None, :, 1]
    bx, by = ax.roll(1, -1), ay.roll(1, -1)
    best: Tensor | None = None
    inside = torch.zeros_like(x, dtype=torch.bool)
    for i in range(outline.shape[1]):
        x0, y0, x1, y1 = ax[..., i], ay[..., i], bx[..., i], by[..., i]  # [K, 1]
        ex, ey, wx, wy = x1 - x0, y1 - y0, x - x0, y - y0
        t = ((wx * ex + wy * ey) / (ex.square() + ey.square()).clamp_min(_TINY)).clamp(0, 1)
        squared = (wx - ex * t).square() + (wy - ey * t).square()
        best = squared if best is None else torch.minimum(best, squared)
        level = torch.where(ey.abs() < _TINY, torch.full_like(ey, _TINY), ey)
        inside ^= ((y0 > y) != (y1 > y)) & (x < ex * wy / level + x0)
    assert best is not None
    return torch.where(inside, -1.0, 1.0) * (best + _TINY).sqrt()


def _length(v: Tensor) -> Tensor:
    """Lengths over the last axis, with a gradient at 0."""
    return (v.square().sum(-1) + _TINY).sqrt()
