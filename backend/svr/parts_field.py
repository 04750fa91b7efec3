"""The field of a shape of parts: which primitives a table of parts means, their union, their colours."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from backend.solid_patterns import PATTERNS, Place
from backend.svr import parts_distance as distance
from backend.svr import parts_layout as layout
from backend.svr.base import Field
from backend.svr.parts_skin import Skin

SOFTNESS = 0.01
"""Distance at which the occupancy logit is 1: logits are -distance / SOFTNESS."""
WHITE_FROM, WHITE_AT = 0.06, 0.1
"""Distances outside the shape between which its colour fades to white: what stage 2's background loss asks of
a decoder holds here by construction."""
SHARP = 0.004
"""Blends up to which a joint is not rounded."""
NEAR = WHITE_AT
"""Parts are asked exactly at points within this distance, and that of the widest blend, of the ball around
them."""
_SAME_CORNER = 0.01
"""Corners of an outline's end that lie closer than this are its last corner repeated."""
_BEYOND_AXIS = -0.3
"""Radius at which a lathe's outline is closed: an edge on the axis would be a surface inside the solid."""
_PATTERNS = {
    "wood": "grain", "metal": "sheen", "gold": "sheen", "marble": "veins", "glass": "glints",
    "leather": "speckle", "fabric": "weave", "concrete": "speckle", "brick": "courses", "rust": "patches",
    "leaf": "leaves", "zebra": "waves", "checker": "checks", "stripes": "bands", "dots": "dots",
    "flame": "tongues", "ice": "facets",
}  # fmt: skip
"""Pattern of a material -> pattern in space."""


@dataclass(frozen=True)
class Parts:
    """The K parts of one shape, read from its rows."""

    kinds: tuple[str, ...]
    cuts: tuple[bool, ...]
    patterns: tuple[str, ...]
    center: Tensor
    """[K, 3]"""
    axes: Tensor
    """[K, 2, 3]: local y, then local x before it is made square to y."""
    params: Tensor
    """[K, 4]"""
    outline: Tensor
    """[K, CORNERS, 2]"""
    blend: Tensor
    """[K]"""
    colors: Tensor
    """[K, 2, 3] sRGB."""
    scale: Tensor
    """[K]: size of the pattern."""

    @classmethod
    def read(cls, rows: Tensor) -> "Parts":
        """Of rows [SLOTS, COLUMNS] of one shape with logits where the layout has shares, those that are
        `there`."""
        return cls.of(rows[there(rows)])

    @classmethod
    def of(cls, rows: Tensor) -> "Parts":
        """Of the rows [K, COLUMNS], all of them."""
        kinds = rows[:, layout.KIND].argmax(-1).tolist()
        patterns = rows[:, layout.PATTERN].argmax(-1).tolist()
        return cls(
            tuple(layout.KINDS[kind] for kind in kinds),
            tuple((rows[:, layout.CUT] > 0).tolist()),
            tuple(layout.PATTERNS[pattern] for pattern in patterns),
            rows[:, layout.CENTER],
            torch.stack([rows[:, layout.AXIS_Y], rows[:, layout.AXIS_X]], 1),
            rows[:, layout.PARAMS],
            rows[:, layout.OUTLINE].unflatten(-1, (layout.CORNERS, 2)),
            rows[:, layout.BLEND],
            torch.stack([rows[:, layout.COLOR_A], rows[:, layout.COLOR_B]], 1),
            rows[:, layout.SCALE],
        )

    def detach(self) -> "Parts":
        tensors = {name: value.detach() for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **tensors)

    @cached_property
    def _groups(self) -> list[tuple[str, list[int]]]:
        return [(kind, [i for i, own in enumerate(self.kinds) if own == kind])
                for kind in layout.KINDS if kind in self.kinds]  # fmt: skip

    @cached_property
    def _order(self) -> list[int]:
        """Row of each part among the groups' rows."""
        order = [0] * len(self.kinds)
        for row, i in enumerate(i for _, members in self._groups for i in members):
            order[i] = row
        return order

    @cached_property
    def _solid(self) -> list[tuple[str, Tensor, Tensor, Tensor, Tensor | None]]:
        """Kind, centres, frames [k, 3, 3] (columns are the local axes), params and outlines of each group."""
        y = torch.nn.functional.normalize(self.axes[:, 0] + 1e-6, dim=-1)
        x = self.axes[:, 1] - (self.axes[:, 1] * y).sum(-1, keepdim=True) * y
        # Where x is no direction, as of round parts, any will do.
        spare = torch.where(y[:, :1].abs() < 0.9, y.new_tensor([[1.0, 0, 0]]), y.new_tensor([[0, 0, 1.0]]))
        spare = spare - (spare * y).sum(-1, keepdim=True) * y
        x = torch.where((x.norm(dim=-1) < 0.1)[:, None], spare, x)
        x = torch.nn.functional.normalize(x, dim=-1)
        frames = torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)
        solid = []
        for kind, members in self._groups:
            outline = _closed(self.outline[members], kind) if kind in ("prism", "lathe") else None
            solid.append((kind, self.center[members], frames[members], self.params[members], outline))
        return solid

    def distances(self, points: Tensor, reach: float = NEAR) -> Tensor:
        """[K, P] distances of points [P, 3], or [K, P, 3] of its own for every part, to each part alone,
        negative inside.

        A part further than `reach` gives the distance of the ball around it: most parts are far from most
        points.
        """
        # Beyond this a rounded joint cannot reach the surface, however much closer than the part its ball is.
        near = reach + 1.25 * float(self.blend.detach().amax().clamp_min(0))
        found = []
        for (_, members), (kind, center, frames, params, outline) in zip(
            self._groups, self._solid, strict=True
        ):
            away = (points[None] if points.dim() == 2 else points[members]) - center[:, None]
            ball = (away.square().sum(-1) + 1e-12).sqrt() - _radius(kind, params, outline)[:, None]
            part, point = (ball < near).nonzero(as_tuple=True)
            local = away[part, point][:, None] @ frames[part]  # [N, 1, 3]
            if outline is None:
                exact = _PLAIN[kind](local, params[part])
            elif kind == "prism":
                exact = distance.prism_distance(local, params[part], outline[part])
            else:
                exact = distance.lathe_distance(local, outline[part])
            found.append(ball.index_put((part, point), exact[:, 0]))
        return torch.cat(found)[self._order]

    def union(self, each: Tensor) -> Tensor:
        """[P]: the distance to the whole, of distances [K, P] to its parts; in order, as cuts ask."""
        blends = self.blend.tolist()
        whole = each.new_full(each.shape[1:], 1e9)
        i = 0
        while i < len(each):
            if self.cuts[i]:
                whole = torch.maximum(whole, -each[i])
            elif blends[i] > SHARP:
                blend = self.blend[i]
                overlap = (blend - (whole - each[i]).abs()).clamp_min(0) / blend
                whole = torch.minimum(whole, each[i]) - overlap.square() * blend * 0.25
            else:
                end = i + 1
                while end < len(each) and not self.cuts[end] and blends[end] <= SHARP:
                    end += 1
                whole = torch.minimum(whole, each[i:end].amin(0))
                i = end - 1
            i += 1
        return whole

    def color(self, nearest: Tensor, points: Tensor, lattice: Tensor) -> Tensor:
        """sRGB [P, 3] at points [P, 3] whose nearest parts are `nearest` [P]."""
        colors = self.colors.clamp(0, 1)
        color = colors[nearest, 0]
        for name in sorted(set(self.patterns) - {"plain"}):
            parts = torch.tensor([own == name for own in self.patterns], device=points.device)
            here = parts[nearest].nonzero()[:, 0]
            if not len(here):
                continue
            at, part = points[here], nearest[here]
            period = self.scale[part].clamp_min(0.03)[:, None]
            share = PATTERNS[_PATTERNS[name]][0](Place(at, at / period, lattice))[:, None]
            color = color.index_put((here,), colors[part, 0] * (1 - share) + colors[part, 1] * share)
        return color


_PLAIN = {
    "box": distance.box_distance,
    "ellipsoid": distance.ellipsoid_distance,
    "cone": distance.cone_distance,
    "torus": distance.torus_distance,
    "capsule": distance.capsule_distance,
    "arc": distance.arc_distance,
}


def _radius(kind: str, params: Tensor, outline: Tensor | None) -> Tensor:
    """Radius [K] of the balls around the local origins that hold the parts."""
    p = params.abs()
    if kind in ("prism", "lathe"):
        assert outline is not None
        corners = outline.square().sum(-1)
        if kind == "lathe":  # closed beyond the axis, where nothing is
            corners = torch.where(outline[..., 0] < 0, outline[..., 1].square(), corners)
        depth = p[:, 0].square() if kind == "prism" else 0.0
        return (corners.amax(-1) + depth).sqrt()
    if kind == "box":
        return p[:, :3].norm(dim=-1)
    if kind == "ellipsoid":
        return p[:, :3].amax(-1)
    if kind == "cone":
        return (p[:, :2].amax(-1).square() + p[:, 2].square()).sqrt()
    if kind == "capsule":
        return p[:, :2].amax(-1) + p[:, 2]
    return p[:, 0] + p[:, 1]


def there(rows: Tensor) -> Tensor:
    """Which parts [..., SLOTS] of shapes' rows [..., SLOTS, COLUMNS] are there: those that rather are than
    not, and the likeliest in any case."""
    exists = rows[..., layout.EXISTS]
    return (exists > 0) | (exists == exists.amax(-1, keepdim=True))


def _closed(outlines: Tensor, kind: str) -> Tensor:
    """Outlines [K, N, 2] without their repeated last corners; a lathe's are closed beyond the axis."""
    same = (outlines - outlines[:, -1:]).abs().amax(-1) < _SAME_CORNER
    corners = torch.arange(outlines.shape[1], device=outlines.device)
    # The last corner is the first of those, from the third on, from which on all are the same.
    last = (corners * (~same).roll(1, 1)).amax(1).clamp_min(2)
    most = int(last.max()) + 1
    at = corners[:most]
    if kind == "prism":
        return _gathered(outlines, torch.minimum(at, last[:, None]))
    outlines = torch.cat([outlines[..., :1].clamp_min(0), outlines[..., 1:]], -1)
    at = corners.new_tensor(range(most + 2))
    beyond = (at > last[:, None])[..., None]
    # Past the last corner stands its height beyond the axis, then that of the first, which repeats.
    height = torch.where(at == last[:, None] + 1, last[:, None], 0)
    ends = _gathered(outlines, height)
    ends = torch.cat([torch.full_like(ends[..., :1], _BEYOND_AXIS), ends[..., 1:]], -1)
    return torch.where(beyond, ends, _gathered(outlines, torch.minimum(at, last[:, None])))


def _gathered(outlines: Tensor, corners: Tensor) -> Tensor:
    """The corners [K, M] of outlines [K, N, 2]."""
    return outlines.gather(1, corners[..., None].expand(-1, -1, 2))


class PartsField(Field):
    """Shapes given by rows [B, SLOTS, COLUMNS]."""

    def __init__(self, skin: Skin, rows: Tensor, parts: list[Parts] | None = None) -> None:
        self._skin = skin
        self.rows = rows
        self.parts = [Parts.read(own) for own in rows] if parts is None else parts

    def occupancy(self, points: Tensor) -> Tensor:
        shapes = zip(self.parts, points, strict=True)
        return torch.stack([-parts.union(parts.distances(own)) / SOFTNESS for parts, own in shapes])

    def color(self, points: Tensor) -> Tensor:
        return self.occupancy_and_color(points)[1]

    def occupancy_and_color(self, points: Tensor) -> tuple[Tensor, Tensor]:
        logits, colors = [], []
        for parts, own in zip(self.parts, points, strict=True):
            each = parts.distances(own)
            whole = parts.union(each)
            logits.append(-whole / SOFTNESS)
            colors.append(_fade(parts.color(_nearest(each), own, self._skin.lattice), whole))
        return torch.stack(logits), torch.stack(colors)

    def __getitem__(self, index: int) -> "PartsField":
        return PartsField(self._skin, self.rows[index : index + 1], self.parts[index : index + 1])

    def detach(self) -> "PartsField":
        return PartsField(self._skin, self.rows.detach(), [parts.detach() for parts in self.parts])

    def tensors(self, part: str) -> dict[str, Tensor]:
        own = self.parts[0]
        if part == "occupancy":
            return {name: getattr(own, name) for name in ("center", "axes", "params", "outline")}
        return {"colors": own.colors, **self._skin.tensors()}

    def evaluate(self, part: str, tensors: Mapping[str, Tensor], points: Tensor) -> Tensor:
        if part == "occupancy":
            tuned = replace(self.parts[0], **tensors)
            return -tuned.union(tuned.distances(points[0]))[None] / SOFTNESS
        tuned = replace(self.parts[0], colors=tensors["colors"])
        each = tuned.distances(points[0])
        below = _fade(tuned.color(_nearest(each), points[0], self._skin.lattice), tuned.union(each))
        return self._skin.over(below, tensors, points[0])[None]


def _fade(colors: Tensor, distance: Tensor) -> Tensor:
    """Colours [P, 3] at distances [P] outside the shape."""
    white = ((distance.detach() - WHITE_FROM) / (WHITE_AT - WHITE_FROM)).clamp(0, 1)[:, None]
    return colors + (1 - colors) * white


def _nearest(each: Tensor) -> Tensor:
    """[P]: the part whose surface is nearest; of equals the last, which was put on the others."""
    return len(each) - 1 - each.detach().abs().flip(0).argmin(0)
