"""First crossings of rays where a coarse grid does most of the asking.

Along every ray the grid's logits are looked up; the field itself is asked only where they come near the
surface, about twice per hit. The dense march in `surface.py` gives the same crossings at hundreds of
evaluations.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.config import RenderSettings
from backend.rendering.chunks import ask
from backend.rendering.occupancy_grid import BLOCK, OccupancyGrid
from backend.rendering.surface import Crossings, cube_span
from backend.svr.base import Field

SAMPLES_PER_CELL = 2
"""Grid look-ups per cell length along a ray."""
ROUNDS = 4
"""Places along one ray where the grid may promise a surface that the field denies."""
EXACT_STEP, SECANT_STEP = 0.01, 0.025
"""Corrections, in cells, small enough to take without asking again: after one look, after two."""
LOOK_UP_RAYS = 1024
"""Rays looked up at a time."""


def search_with_grid(
    field: Field, grid: OccupancyGrid, origins: Tensor, directions: Tensor, settings: RenderSettings
) -> Crossings:
    """First crossings of rays [P, 3] with a one-shape field, asking it only where the grid promises one.

    Along each ray the grid's logits are looked up; the field is asked at the first place where they come
    near the iso level, and a safeguarded secant search goes on from there. Where the field denies the
    surface, the next place along the ray is tried. Costs about two evaluations per hit.
    """
    field = field.detach()
    depth = torch.full_like(origins[:, 0], math.inf)
    entered = torch.zeros_like(depth, dtype=torch.bool)
    evaluations, drifts = 0, []
    with torch.no_grad():
        rays, entry, near, far = _promising_rays(grid, origins, directions)
        steps, logits = _look_up(grid, origins[rays], directions[rays], near, far)
        start = torch.zeros_like(rays)
        for _ in range(ROUNDS):
            place = _first_place(logits, start, grid.margin)
            if not len(place.ray):
                break
            search = _Search(field, origins, directions, rays, entry, near, steps, logits, place, grid.cell)
            found, at, used = search.run(settings)
            evaluations += used
            chosen = rays[place.ray[found]]
            depth[chosen] = at[found]
            entered[chosen] = ~search.starts_inside[found]
            drifts.append((at - search.guess)[found].abs())
            left = place.ray[~found]
            rays, entry, near = rays[left], entry[left], near[left]
            steps, logits = steps[left], logits[left]
            start = place.end[~found]
    hit = depth.isfinite()
    moved = torch.cat(drifts) if drifts else depth[:0]
    drift = float(moved.median()) / grid.cell if len(moved) else 0.0
    return Crossings(depth, hit, entered, evaluations, drift)


def _promising_rays(
    grid: OccupancyGrid, origins: Tensor, directions: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Index of the rays [K] that come near the surface, where they enter the box around it, and between which
    parameters they are near; those with the shortest way to look at come first."""
    near, far, meets = cube_span(origins, directions, grid.low, grid.high)
    rays = meets.nonzero()[:, 0]
    near, far = near[rays].clamp(min=0), far[rays]
    if not len(rays):
        return rays, near, near, far
    # Every place of a ray is at most half a block from a sample, hence in the sample's block or beside it.
    length = BLOCK * grid.cell
    longest = float(((far - near) * directions[rays].norm(dim=-1)).max())
    steps, depths = _even_depths(near, far, max(2, math.ceil(longest / length) + 1))
    marked = torch.cat(
        [
            grid.near_rays(origins[chosen], directions[chosen], depth)
            for chosen, depth in zip(rays.split(LOOK_UP_RAYS), depths.split(LOOK_UP_RAYS), strict=True)
        ]
    )
    kept = marked.any(1).nonzero()[:, 0]
    marked = marked[kept].to(torch.uint8)
    first, last = marked.argmax(1), marked.shape[1] - 1 - marked.flip(1).argmax(1)
    rays, entry, far, steps = rays[kept], near[kept], far[kept], steps[kept]
    # Half a step around the marked samples may be near; a little more shows where the surface begins.
    near = (entry + (first - 0.75) * steps).maximum(entry)
    far = (entry + (last + 0.75) * steps).minimum(far)
    order = ((far - near) * directions[rays].norm(dim=-1)).argsort()
    return rays[order], entry[order], near[order], far[order]


def _even_depths(near: Tensor, far: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Spacing [P] and places [P, count] of even samples from near to far."""
    steps = (far - near) / (count - 1)
    index = torch.arange(count, device=near.device, dtype=near.dtype)
    return steps, torch.addcmul(near[:, None], steps[:, None], index)


def _look_up(
    grid: OccupancyGrid, origins: Tensor, directions: Tensor, near: Tensor, far: Tensor
) -> tuple[Tensor, Tensor]:
    """Spacing [P] and grid logits [P, N] of even samples between near and far, shortest rays first.

    Shorter rays have fewer samples; their last one fills the rest of their row.
    """
    if not len(origins):
        return near, near.new_zeros(0, 2)
    lengths = ((far - near) * directions.norm(dim=-1)).split(LOOK_UP_RAYS)
    longest = torch.stack([part[-1] for part in lengths]).tolist()
    counts = [max(2, math.ceil(SAMPLES_PER_CELL * length / grid.cell) + 1) for length in longest]
    steps, rows = [], []
    parts = zip(*(t.split(LOOK_UP_RAYS) for t in (origins, directions, near, far)), counts, strict=True)
    for start, direction, begin, end, count in parts:
        step, depths = _even_depths(begin, end, count)
        row = grid.along_rays(start, direction, depths)
        steps.append(step)
        rows.append(torch.cat([row, row[:, -1:].expand(-1, max(counts) - count)], dim=1))
    return torch.cat(steps), torch.cat(rows)


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
        entry: Tensor,
        near: Tensor,
        steps: Tensor,
        logits: Tensor,
        place: _Place,
        cell: float,
    ) -> None:
        chosen = rays[place.ray]
        self._field = field
        self._origins, self._directions = origins[chosen], directions[chosen]
        # Lengths along a ray are measured in its parameter, so a cell is shorter for longer directions.
        self._unit = cell / self._directions.norm(dim=-1)
        near, steps, logits = near[place.ray], steps[place.ray], logits[place.ray]
        self._entry = entry[place.ray]
        before = (place.inside - 1).clamp(min=0)
        after = (place.inside + 1).clamp(max=logits.shape[1] - 1)
        low, high, beyond = (logits.gather(1, i[:, None])[:, 0] for i in (before, place.inside, after))
        rise = (high - low).clamp(min=1e-6)
        # A promised surface lies between two samples; a near miss is asked at the top of the parabola
        # through its peak.
        bend = (2 * high - low - beyond).clamp(min=1e-6)
        share = torch.where(place.promised, -low / rise, 1 + (0.5 * (beyond - low) / bend).clamp(-0.5, 0.5))
        self.guess = near + steps * (before + share.clamp(0, 1.5) * (place.inside - before))
        self._at = self.guess.clone()
        self._slope = rise / steps
        self._last_at, self._last_value = self._at.clone(), torch.full_like(near, math.nan)
        # The crossing lies between these: ends of the grid's run, until samples of the field take their
        # place.
        self._low = torch.maximum(near + steps * (place.begin - 1), self._entry)
        self._high = torch.maximum(near + steps * place.peak, self.guess)
        self._low_known = torch.zeros_like(near, dtype=torch.bool)
        self._high_known = self._low_known.clone()
        self.starts_inside = self._low_known.clone()

    def run(self, settings: RenderSettings) -> tuple[Tensor, Tensor, int]:
        """Whether each place holds a crossing [K], where [K], and the number of evaluations."""
        open_ = torch.arange(len(self._at), device=self._at.device)
        found = torch.zeros_like(self._high_known)
        evaluations = 0
        for _ in range(max(2, settings.secant_steps)):
            points = self._origins[open_] + self._at[open_, None] * self._directions[open_]
            value = ask(self._field.occupancy, points) - settings.iso_logit
            evaluations += len(open_)
            denied, entry = self._tighten(open_, value >= 0)
            close = self._aim(open_, value, entry)
            self.starts_inside[open_] |= entry
            found[open_] = (close & ~denied) | entry
            open_ = open_[~(found[open_] | denied)]
            if not len(open_):
                break
        # Out of steps: where a point inside was seen, the crossing is near the last aim.
        found[open_] = self._high_known[open_]
        return found, self._at, evaluations

    def _tighten(self, open_: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        """Narrow the brackets by the samples just taken; says where the field denies the surface, and where
        the ray is inside from its very start."""
        here = self._at[open_]
        at_high_end = (here >= self._high[open_]) & ~self._high_known[open_]
        at_low_end = (here <= self._low[open_]) & ~self._low_known[open_]
        self._high[open_] = torch.where(inside, here, self._high[open_])
        self._high_known[open_] |= inside
        self._low[open_] = torch.where(inside, self._low[open_], here)
        self._low_known[open_] |= ~inside
        # Inside already at the near end: the surface came closer than the grid knew. Look two cells further
        # out.
        outer = torch.maximum(here - 2 * self._unit[open_], self._entry[open_])
        self._low[open_] = torch.where(at_low_end & inside, outer, self._low[open_])
        return at_high_end & ~inside, at_low_end & inside & (here <= self._entry[open_])

    def _aim(self, open_: Tensor, value: Tensor, entry: Tensor) -> Tensor:
        """Move to the next guess (not where `entry`); says where it is good enough not to ask again."""
        here, unit = self._at[open_], self._unit[open_]
        secant = (value - self._last_value[open_]) / (here - self._last_at[open_])
        usable = secant.isfinite() & (secant > 0)
        self._slope[open_] = torch.where(usable, secant, self._slope[open_])
        target = here - value / self._slope[open_]
        low, high = self._low[open_], self._high[open_]
        bracketed = self._low_known[open_] & self._high_known[open_]
        outside = (target < low) | (target > high)
        safe = torch.where(bracketed, 0.5 * (low + high), target.clamp(low, high))
        target = torch.where(outside, safe, target)
        limit = torch.where(usable, SECANT_STEP, EXACT_STEP)
        close = ((target - here).abs() / unit < limit) & ~outside
        self._last_at[open_], self._last_value[open_] = here, value
        self._at[open_] = torch.where(entry, here, target)
        done: Tensor = close | (bracketed & (high - low < EXACT_STEP * unit))
        return done
