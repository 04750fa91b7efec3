"""Where rays first enter a shape: DVR's dense marching, and a search that lets a coarse grid do most of the asking.

Both give the ray parameter of the first crossing, without gradients; `implicit.py` adds those. Rays are
origin + d * direction with d the camera-space depth.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.config import RenderSettings
from backend.rendering.occupancy_grid import CHUNK, DEFAULT_CHUNK, HALF_SIDE, OccupancyGrid, evaluate
from backend.svr.base import Field

MISSED_CUBE_SPAN = (0.0, 2.4)
"""Dense marching follows rays past the padded cube too, over these depths (DVR)."""
SAMPLES_PER_CELL = 2
"""Grid look-ups per cell length along a ray."""
ROUNDS = 4
"""Places along one ray where the grid may promise a surface that the decoder denies."""
EXACT_STEP, SECANT_STEP = 0.01, 0.05
"""Corrections, in cells, small enough to take without asking again: after one look, after two."""


@dataclass(frozen=True)
class Crossings:
    """First crossings of rays [B, P]."""

    depth: Tensor
    """Ray parameter; infinity where nothing was hit."""
    hit: Tensor
    """True where the ray meets the shape."""
    entered: Tensor
    """True where it does so through the surface; False for rays that start inside."""
    evaluations: int
    drift: float = 0.0
    """Median distance between the grid's guess and the surface, in cells; 0 without a grid."""


def cube_span(
    origins: Tensor, directions: Tensor, low: Tensor, high: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Entry and exit parameters of rays [..., 3] through a box, and whether they meet it in front of the origin."""
    safe = torch.where(directions.abs() < 1e-12, torch.full_like(directions, 1e-12), directions)
    first, second = (low - origins) / safe, (high - origins) / safe
    near = torch.minimum(first, second).amax(-1)
    far = torch.maximum(first, second).amin(-1)
    return near, far, (near < far) & (far > 0)


def march_densely(field: Field, origins: Tensor, directions: Tensor, settings: RenderSettings) -> Crossings:
    """First crossings by DVR's marching: every ray [B, P, 3] in `march_steps` equal steps, then secant steps.

    A crossing counts if the first sample of its ray is free. A ray whose first sample is inside hits there.
    """
    field = field.detach()
    batch, count, _ = origins.shape
    chunk = CHUNK.get(origins.device.type, DEFAULT_CHUNK)
    size = max(1, chunk // (batch * settings.march_steps))
    with torch.no_grad():
        parts = [
            _march_chunk(field, origins[:, i : i + size], directions[:, i : i + size], settings)
            for i in range(0, count, size)
        ]
    depth, hit, entered = (torch.cat(p, dim=1) for p in zip(*parts, strict=True))
    evaluations = batch * count * (settings.march_steps + settings.secant_steps)
    return Crossings(depth, hit, entered, evaluations)


def _march_chunk(
    field: Field, origins: Tensor, directions: Tensor, settings: RenderSettings
) -> tuple[Tensor, Tensor, Tensor]:
    corner = origins.new_full((3,), HALF_SIDE)
    near, far, inside_cube = cube_span(origins, directions, -corner, corner)
    near = torch.where(inside_cube, near, torch.full_like(near, MISSED_CUBE_SPAN[0]))
    far = torch.where(inside_cube, far, torch.full_like(far, MISSED_CUBE_SPAN[1]))
    fractions = torch.linspace(0, 1, settings.march_steps, dtype=near.dtype, device=near.device)
    depths = near[..., None] * (1 - fractions) + far[..., None] * fractions  # [B, P, N]
    points = origins[:, :, None] + depths[..., None] * directions[:, :, None]
    logits = field.occupancy(points.flatten(1, 2)).reshape(depths.shape) - settings.iso_logit

    starts_inside = logits[..., 0] >= 0
    enters = (logits[..., :-1] < 0) & (logits[..., 1:] >= 0) & ~starts_inside[..., None]
    entered = enters.any(-1)
    before = enters.to(torch.uint8).argmax(-1, keepdim=True)
    low_d, high_d = depths.gather(-1, before)[..., 0], depths.gather(-1, before + 1)[..., 0]
    low_f, high_f = logits.gather(-1, before)[..., 0], logits.gather(-1, before + 1)[..., 0]
    guess = _regula_falsi(low_d, low_f, high_d, high_f)
    for _ in range(settings.secant_steps):
        value = field.occupancy(origins + guess[..., None] * directions) - settings.iso_logit
        free = value < 0
        low_d, low_f = torch.where(free, guess, low_d), torch.where(free, value, low_f)
        high_d, high_f = torch.where(free, high_d, guess), torch.where(free, high_f, value)
        guess = _regula_falsi(low_d, low_f, high_d, high_f)
    depth = torch.where(entered, guess, torch.full_like(guess, math.inf))
    return torch.where(starts_inside, near, depth), entered | starts_inside, entered


def _regula_falsi(low_d: Tensor, low_f: Tensor, high_d: Tensor, high_f: Tensor) -> Tensor:
    gap = high_f - low_f
    return low_d - low_f * (high_d - low_d) / torch.where(gap == 0, torch.ones_like(gap), gap)


def search_with_grid(
    field: Field, grid: OccupancyGrid, origins: Tensor, directions: Tensor, settings: RenderSettings
) -> Crossings:
    """First crossings of rays [P, 3] with a one-shape field, asking it only where the grid promises a surface.

    Along each ray the grid's logits are looked up; the decoder is asked at the first place where they come near the
    iso level, and a safeguarded secant search goes on from there. Where the decoder denies the surface, the next place
    along the ray is tried. Costs about two evaluations per hit.
    """
    field = field.detach()
    depth = torch.full_like(origins[:, 0], math.inf)
    entered = torch.zeros_like(depth, dtype=torch.bool)
    evaluations, drifts = 0, []
    with torch.no_grad():
        near, far, meets = cube_span(origins, directions, grid.low, grid.high)
        rays = meets.nonzero()[:, 0]
        steps, logits = _look_up(grid, origins[rays], directions[rays], near[rays].clamp(min=0), far[rays])
        near, start = near[rays].clamp(min=0), torch.zeros_like(rays)
        for _ in range(ROUNDS):
            place = _first_place(logits, start, grid.margin)
            if not len(place.ray):
                break
            search = _Search(field, origins, directions, rays, near, steps, logits, place, grid.cell)
            found, at, used = search.run(settings)
            evaluations += used
            chosen = rays[place.ray[found]]
            depth[chosen] = at[found]
            entered[chosen] = ~search.starts_inside[found]
            drifts.append((at - search.guess)[found].abs())
            left = place.ray[~found]
            rays, near, steps, logits = rays[left], near[left], steps[left], logits[left]
            start = place.end[~found]
    hit = depth.isfinite()
    moved = torch.cat(drifts) if drifts else depth[:0]
    drift = float(moved.median()) / grid.cell if len(moved) else 0.0
    return Crossings(depth, hit, entered, evaluations, drift)


def _look_up(
    grid: OccupancyGrid, origins: Tensor, directions: Tensor, near: Tensor, far: Tensor
) -> tuple[Tensor, Tensor]:
    """Spacing [P] and grid logits [P, N] of even samples between entry and exit."""
    if not len(origins):
        return near, near.new_zeros(0, 2)
    longest = float(((far - near) * directions.norm(dim=-1)).max())
    count = max(2, math.ceil(SAMPLES_PER_CELL * longest / grid.cell) + 1)
    steps = (far - near) / (count - 1)
    index = torch.arange(count, device=near.device, dtype=near.dtype)
    rows = []
    for i in range(0, len(near), 4096):
        depths = near[i : i + 4096, None] + steps[i : i + 4096, None] * index
        points = origins[i : i + 4096, None] + depths[..., None] * directions[i : i + 4096, None]
        rows.append(grid.interpolate(points))
    return steps, torch.cat(rows)


@dataclass(frozen=True)
class _Place:
    """Runs of samples near or inside the surface, one per ray that has one."""

    ray: Tensor
    """Index of the ray [K] among those looked at."""
    begin: Tensor
    """First sample of the run [K]."""
    inside: Tensor
    """First sample above 0 in the run; the peak where there is none [K]."""
    promised: Tensor
    """Whether the run rises above 0 [K]."""
    peak: Tensor
    """Highest sample of the run [K]."""
    end: Tensor
    """First sample after the run [K]."""


def _first_place(logits: Tensor, start: Tensor, margin: float) -> _Place:
    """The first run of samples above -margin at or after each ray's start."""
    index = torch.arange(logits.shape[1], device=logits.device)
    near = (logits > -margin) & (index >= start[:, None])
    ray = near.any(1).nonzero()[:, 0]
    near, logits = near[ray], logits[ray]
    begin = near.to(torch.uint8).argmax(1)
    after = ~near & (index > begin[:, None])
    end = torch.where(after.any(1), after.to(torch.uint8).argmax(1), index[-1] + 1)
    run = (index >= begin[:, None]) & (index < end[:, None])
    values = torch.where(run, logits, torch.full_like(logits, -math.inf))
    peak = values.argmax(1)
    promised = values.amax(1) > 0
    inside = torch.where(promised, (values > 0).to(torch.uint8).argmax(1), peak)
    return _Place(ray, begin, inside, promised, peak, end)


class _Search:
    """Safeguarded secant search for the crossing of every place, all advanced together."""

    def __init__(
        self,
        field: Field,
        origins: Tensor,
        directions: Tensor,
        rays: Tensor,
        near: Tensor,
        steps: Tensor,
        logits: Tensor,
        place: _Place,
        cell: float,
    ) -> None:
        chosen = rays[place.ray]
        self._field, self._cell = field, cell
        self._origins, self._directions = origins[chosen], directions[chosen]
        # Lengths along a ray are measured in its parameter, so a cell is shorter for longer directions.
        self._unit = cell / self._directions.norm(dim=-1)
        near, steps, logits = near[place.ray], steps[place.ray], logits[place.ray]
        self._near = near
        before = (place.inside - 1).clamp(min=0)
        low, high = (logits.gather(1, i[:, None])[:, 0] for i in (before, place.inside))
        rise = (high - low).clamp(min=1e-6)
        share = torch.where(place.promised, (-low / rise).clamp(0, 1), torch.ones_like(low))
        self.guess = near + steps * (before + share * (place.inside - before))
        self._slope = rise / steps
        self._low = torch.maximum(near + steps * (place.begin - 1), near)
        self._high = near + steps * place.peak
        self._high = torch.maximum(self._high, self.guess)
        self.starts_inside = torch.zeros_like(near, dtype=torch.bool)

    def run(self, settings: RenderSettings) -> tuple[Tensor, Tensor, int]:
        """Whether each place holds a crossing [K], where [K], and the number of evaluations."""
        count = len(self.guess)
        at = self.guess.clone()
        found = torch.zeros(count, dtype=torch.bool, device=at.device)
        slope = self._slope.clone()
        low, high, low_known, high_known = self._low.clone(), self._high.clone(), found.clone(), found.clone()
        last_at, last_value = at.clone(), torch.full_like(at, math.nan)
        open_ = torch.arange(count, device=at.device)
        evaluations = 0
        for step in range(max(2, settings.secant_steps)):
            here = at[open_]
            points = self._origins[open_] + here[:, None] * self._directions[open_]
            value = evaluate(self._field, points) - settings.iso_logit
            evaluations += len(open_)
            inside = value >= 0

            # Samples taken so far bracket the crossing; the grid's run does until then.
            at_high_end = (here >= high[open_]) & ~high_known[open_]
            at_low_end = (here <= low[open_]) & ~low_known[open_]
            high[open_] = torch.where(inside, here, high[open_])
            low[open_] = torch.where(inside, low[open_], here)
            high_known[open_] |= inside
            low_known[open_] |= ~inside
            denied = at_high_end & ~inside
            # Inside already at the near end: the surface came closer than the grid knew, or the ray starts inside.
            at_entry = at_low_end & inside & (here <= self._near[open_])
            unit = self._unit[open_]
            low[open_] = torch.where(
                at_low_end & inside, torch.maximum(here - 2 * unit, self._near[open_]), low[open_]
            )

            secant = (value - last_value[open_]) / (here - last_at[open_])
            usable = secant.isfinite() & (secant > 0)
            slope[open_] = torch.where(usable, secant, slope[open_])
            target = here - value / slope[open_]
            lowest, highest = low[open_], high[open_]
            bracketed = low_known[open_] & high_known[open_]
            outside = (target <= lowest) | (target >= highest)
            middle = 0.5 * (lowest + highest)
            target = torch.where(
                outside, torch.where(bracketed, middle, target.clamp(lowest, highest)), target
            )
            move = (target - here).abs() / unit
            limit = torch.where(usable, SECANT_STEP, EXACT_STEP)
            close = (move < limit) & ~outside | (bracketed & (highest - lowest < EXACT_STEP * unit))
            last_at[open_], last_value[open_] = here, value
            at[open_] = torch.where(at_entry, here, target)
            self.starts_inside[open_] |= at_entry
            found[open_] = (close & ~denied) | at_entry
            if step + 1 == max(2, settings.secant_steps):
                # Out of steps: a point inside was seen, so the crossing lies at most a cell away.
                found[open_] |= high_known[open_] & ~denied
            open_ = open_[~(found[open_] | denied)]
            if not len(open_):
                break
        return found, at, evaluations
