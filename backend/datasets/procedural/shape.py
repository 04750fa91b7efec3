"""The vocabulary of solids: a shape is a list of named parts, built from a few primitives.

Units are those of the unit cube: build an object roughly 1 high or wide, y up, its front towards +z; the
shape is centred and scaled to fit when it is packed. Keep every part at least 0.04 thick: thinner parts are
lost by models that see 64 pixels. Sizes are full sizes (width x, height y, depth z), angles degrees.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from backend.datasets.procedural.materials import Material
from backend.svr.parts_layout import KINDS, PATTERNS

FIT = 0.9
"""Longest side of a packed shape, in units of the cube."""

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Part:
    """One primitive: p_local = rotation^T (p - center); params by kind, see the methods of `Shape`."""

    kind: str
    name: str
    material: Material
    center: np.ndarray
    rotation: np.ndarray
    params: tuple[float, ...]
    outline: tuple[tuple[float, float], ...] = ()
    cut: bool = False
    blend: float = 0.0


class Shape:
    """A solid object under construction.

    Parts are joined in order; a part with `cut=True` is taken away from everything before it, and
    `blend` > 0 rounds the joint with what is there already. `material` is any Material; `name` is the
    part's plain word ("legs", "seat"): captions and judges speak of parts by it.
    """

    def __init__(self) -> None:
        self.parts: list[Part] = []

    def box(self, name: str, material: Material, size: Point, at: Point, *, round: float = 0.01,
            turn: Point = (0, 0, 0), cut: bool = False, blend: float = 0.0) -> None:  # fmt: skip
        """A box of full size (w, h, d) centred at `at`, edges rounded by `round`."""
        half = tuple(s / 2 for s in size)
        params = (*half, min(round, *half))
        self._add("box", name, material, params, at, turn, cut=cut, blend=blend)

    def ball(self, name: str, material: Material, size: Point, at: Point, *, turn: Point = (0, 0, 0),
             cut: bool = False, blend: float = 0.0) -> None:  # fmt: skip
        """An ellipsoid of full size (w, h, d) centred at `at`."""
        self._add("ellipsoid", name, material, tuple(s / 2 for s in size), at, turn, cut=cut, blend=blend)

    def cone(self, name: str, material: Material, bottom: float, top: float, height: float, at: Point, *,
             axis: str = "y", round: float = 0.005, turn: Point = (0, 0, 0), cut: bool = False,
             blend: float = 0.0) -> None:  # fmt: skip
        """A cone frustum with radii `bottom` and `top` along +axis, centred at `at`."""
        params = (bottom, top, height / 2, round)
        self._add("cone", name, material, params, at, turn, axis=axis, cut=cut, blend=blend)

    def cylinder(self, name: str, material: Material, radius: float, height: float, at: Point, *,
                 axis: str = "y", round: float = 0.005, turn: Point = (0, 0, 0), cut: bool = False,
                 blend: float = 0.0) -> None:  # fmt: skip
        """A cylinder of the given length along `axis`, centred at `at`."""
        joint = {"round": round, "turn": turn, "cut": cut, "blend": blend}
        self.cone(name, material, radius, radius, height, at, axis=axis, **joint)

    def ring(self, name: str, material: Material, radius: float, thickness: float, at: Point, *,
             axis: str = "y", turn: Point = (0, 0, 0), cut: bool = False) -> None:  # fmt: skip
        """A torus around `axis`: centre-line radius and full thickness of the tube."""
        self._add("torus", name, material, (radius, thickness / 2), at, turn, axis=axis, cut=cut)

    def arc(self, name: str, material: Material, radius: float, thickness: float, half_angle: float,
            at: Point, *, turn: Point = (0, 0, 0)) -> None:  # fmt: skip
        """A piece of a torus in the local xy plane, symmetric about +y, opening `half_angle` degrees to
        each side: 90 is a half ring (an arch), 130 a handle. Turn it by `turn`."""
        angle = np.radians(half_angle)
        params = (radius, thickness / 2, float(np.sin(angle)), float(np.cos(angle)))
        self._add("arc", name, material, params, at, turn)

    def prism(self, name: str, material: Material, outline: Sequence[tuple[float, float]], depth: float,
              at: Point, *, axis: str = "z", round: float = 0.004, turn: Point = (0, 0, 0),
              cut: bool = False, blend: float = 0.0) -> None:  # fmt: skip
        """A polygon of (x, y) corners drawn out by `depth` along z. axis "x": the outline is drawn in
        (z, y) and drawn out along x (side views of cars, seats); axis "y": in (x, z), drawn out along y."""
        params = (depth / 2, round)
        joint = {"outline": outline, "cut": cut, "blend": blend}
        self._add("prism", name, material, params, at, turn, base=_DRAWN[axis], **joint)

    def lathe(self, name: str, material: Material, profile: Sequence[tuple[float, float]], at: Point, *,
              axis: str = "y", turn: Point = (0, 0, 0), cut: bool = False,
              blend: float = 0.0) -> None:  # fmt: skip
        """A solid of revolution: (radius, height) points from the bottom up, closed to the axis."""
        closed = [(0.0, profile[0][1]), *profile, (0.0, profile[-1][1])]
        self._add("lathe", name, material, (), at, turn, axis=axis, outline=closed, cut=cut, blend=blend)

    def rod(self, name: str, material: Material, start: Point, end: Point, radius: float, *,
            end_radius: float | None = None, blend: float = 0.0) -> None:  # fmt: skip
        """A round-ended bar between two points, tapering to `end_radius`."""
        a, b = np.array(start, float), np.array(end, float)
        length = float(np.linalg.norm(b - a))
        axis_y = (b - a) / max(length, 1e-9)
        helper = np.array([1.0, 0, 0]) if abs(axis_y[0]) < 0.9 else np.array([0, 0, 1.0])
        axis_z = np.cross(helper, axis_y)
        axis_z /= np.linalg.norm(axis_z)
        rotation = np.stack([np.cross(axis_y, axis_z), axis_y, axis_z], axis=1)
        params = (radius, radius if end_radius is None else end_radius, length)
        self.parts.append(Part("capsule", name, material, a, rotation, params, blend=blend))

    def bar(self, name: str, material: Material, start: Point, end: Point, width: float) -> None:
        """A square bar between two points (legs, rails, frames)."""
        self.rod(name, material, start, end, width / 2)
        rod = self.parts.pop()
        half = rod.params[2] / 2
        center = rod.center + rod.rotation[:, 1] * half
        params = (width / 2, half + width / 4, width / 2, 0.006)
        self.parts.append(replace(rod, kind="box", center=center, params=params))

    def mirror(self, build: Callable[[], None], axis: str = "x") -> None:
        """Build once, and once more mirrored in the plane where `axis` is 0."""
        first = len(self.parts)
        build()
        index = "xyz".index(axis)
        flip = np.eye(3)
        flip[index, index] = -1
        for part in self.parts[first:]:
            rotation = flip @ part.rotation @ np.diag([-1.0, 1.0, 1.0])
            outline = tuple((-x, y) for x, y in part.outline) if part.kind == "prism" else part.outline
            self.parts.append(replace(part, center=flip @ part.center, rotation=rotation, outline=outline))

    def around(self, count: int, build: Callable[[], None], start_deg: float = 0.0) -> None:
        """Build once, repeated `count` times around the y axis."""
        first = len(self.parts)
        build()
        made = self.parts[first:]
        del self.parts[first:]
        for i in range(count):
            spin = _turn((0, start_deg + 360 * i / count, 0))
            self.parts += [replace(p, center=spin @ p.center, rotation=spin @ p.rotation) for p in made]

    def move(self, build: Callable[[], None], by: Point, turn: Point = (0, 0, 0), scale: float = 1.0) -> None:
        """Build, then turn about the origin, scale and shift what was built."""
        first = len(self.parts)
        build()
        spin, offset = _turn(turn), np.array(by, float)
        self.parts[first:] = [
            replace(_scaled(p, scale), center=spin @ p.center * scale + offset, rotation=spin @ p.rotation)
            for p in self.parts[first:]
        ]

    def _add(self, kind: str, name: str, material: Material, params: tuple[float, ...], at: Point,
             turn: Point, *, axis: str = "y", base: np.ndarray | None = None,
             outline: Sequence[tuple[float, float]] = (), cut: bool = False,
             blend: float = 0.0) -> None:  # fmt: skip
        frame = base if base is not None else _AXES[axis]
        corners = tuple((float(x), float(y)) for x, y in outline)
        self.parts.append(
            Part(kind, name, material, np.array(at, float), _turn(turn) @ frame, params, corners, cut, blend)
        )

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest corner of the parts' boxes, cuts left out."""
        lows, highs = [], []
        for part in self.parts:
            if part.cut:
                continue
            low, high = _local_box(part)
            corners = np.array([[(low, high)[(i >> k) & 1][k] for k in range(3)] for i in range(8)])
            world = corners @ part.rotation.T + part.center
            lows.append(world.min(0))
            highs.append(world.max(0))
        return np.min(lows, 0), np.max(highs, 0)

    def pack(self) -> "PackedShape":
        """The shape centred and scaled to FIT, as flat arrays for the compiled kernels."""
        low, high = self.bounds()
        scale = FIT / float((high - low).max())
        center = (low + high) / 2
        parts = [replace(_scaled(p, scale), center=(p.center - center) * scale) for p in self.parts]
        half = (high - low) / 2 * scale + 0.004
        return PackedShape.from_parts(parts, np.stack([-half, half]))


def smooth_profile(profile: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Round the corners of a lathe's outline, its ends kept (one pass of corner cutting)."""
    points = [profile[0]]
    for (r0, y0), (r1, y1) in pairwise(profile):
        for t in (0.25, 0.75):
            points.append(((1 - t) * r0 + t * r1, (1 - t) * y0 + t * y1))
    return [*points, profile[-1]]


@dataclass(frozen=True)
class PackedShape:
    """Flat arrays of K parts (float32 unless said): what the kernels read."""

    kinds: np.ndarray
    """int32 [K, 4]: kind, cut, first outline corner, corner count."""
    frames: np.ndarray
    """[K, 13]: rotation row by row (9), centre (3), bounding radius about the centre (1)."""
    params: np.ndarray
    """[K, 5]: the primitive's numbers, then blend in the last place."""
    outlines: np.ndarray
    """[N, 2]: corners of all prisms and lathes."""
    materials: np.ndarray
    """[K, 11]: pattern index, colour a, colour b, scale, phase."""
    names: tuple[str, ...]
    """Part names."""
    box: np.ndarray
    """[2, 3]: lowest and highest corner of the shape."""

    @classmethod
    def from_parts(cls, parts: list[Part], box: np.ndarray) -> "PackedShape":
        """Pack parts that already lie in the unit cube."""
        kinds, frames, params, outlines, materials = [], [], [], [], []
        for part in parts:
            low, high = _local_box(part)
            radius = float(np.linalg.norm(np.maximum(np.abs(low), np.abs(high))))
            kinds.append([KINDS.index(part.kind), int(part.cut), len(outlines), len(part.outline)])
            frames.append([*part.rotation.reshape(-1), *part.center, radius])
            params.append([*part.params, *([0.0] * (4 - len(part.params))), part.blend])
            outlines += part.outline
            m = part.material
            materials.append([PATTERNS.index(m.pattern), *m.color_a, *m.color_b, m.scale, *m.phase])
        return cls(
            np.array(kinds, np.int32),
            np.array(frames, np.float32),
            np.array(params, np.float32),
            np.array(outlines, np.float32).reshape(-1, 2),
            np.array(materials, np.float32),
            tuple(p.name for p in parts),
            box.astype(np.float32),
        )


def _columns(*vectors: Sequence[float]) -> np.ndarray:
    return np.array(vectors, float).T


_AXES = {
    "y": np.eye(3),
    "x": _columns((0, -1, 0), (1, 0, 0), (0, 0, 1)),
    "z": _columns((1, 0, 0), (0, 0, 1), (0, -1, 0)),
}
"""Frames whose local +y points along the named axis."""

_DRAWN = {
    "z": np.eye(3),
    "x": _columns((0, 0, 1), (0, 1, 0), (-1, 0, 0)),
    "y": _columns((1, 0, 0), (0, 0, 1), (0, -1, 0)),
}
"""Frames of prisms: local +z lies along (or against) the named axis."""


_LENGTHS = {"box": 4, "ellipsoid": 3, "cone": 4, "torus": 2, "prism": 2, "lathe": 0, "capsule": 3, "arc": 2}
"""How many of a primitive's first numbers are lengths, which scale with it."""


def _turn(degrees: Point) -> np.ndarray:
    ax, ay, az = np.radians(degrees)
    cx, sx, cy, sy, cz, sz = np.cos(ax), np.sin(ax), np.cos(ay), np.sin(ay), np.cos(az), np.sin(az)
    rx = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rz = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return ry @ rx @ rz


def _scaled(part: Part, scale: float) -> Part:
    n = _LENGTHS[part.kind]
    params = tuple(v * scale if i < n else v for i, v in enumerate(part.params))
    outline = tuple((x * scale, y * scale) for x, y in part.outline)
    return replace(part, params=params, outline=outline, blend=part.blend * scale)


def _local_box(part: Part) -> tuple[np.ndarray, np.ndarray]:
    p = part.params
    if part.kind in ("box", "ellipsoid"):
        high = np.array(p[:3])
        return -high, high
    if part.kind == "cone":
        r = max(p[0], p[1])
        high = np.array([r, p[2], r])
        return -high, high
    if part.kind == "torus":
        high = np.array([p[0] + p[1], p[1], p[0] + p[1]])
        return -high, high
    if part.kind == "arc":
        high = np.array([p[0] + p[1], p[0] + p[1], p[1]])
        low = -high
        low[1] = min(p[0] * p[3], 0.0) - p[1] if p[3] < 0 else p[0] * p[3] - p[1]
        if abs(p[3]) < 1:
            high[0] = (p[0] if p[3] < 0 else p[0] * p[2]) + p[1]
            low[0] = -high[0]
        return low, high
    if part.kind == "capsule":
        r = max(p[0], p[1])
        return np.array([-r, -p[0], -r]), np.array([r, p[2] + p[1], r])
    corners = np.array(part.outline)
    if part.kind == "prism":
        low, high = corners.min(0), corners.max(0)
        return np.array([*low, -p[0]]), np.array([*high, p[0]])
    r = float(corners[:, 0].max())
    return np.array([-r, corners[:, 1].min(), -r]), np.array([r, corners[:, 1].max(), r])
