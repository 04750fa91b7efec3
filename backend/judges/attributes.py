"""Attributes named in a prompt, measured on the voxels: armrests, legs, tops, wings, handles, shelves.

A judge looks at a solid and answers with the value of a fact as the shape programs name it; a claim is right
where the answer is the claimed value. Thresholds lie between the ranges that the programs draw from; the
suite measures every judge on fresh true shapes as well, so that its own errors are known.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.judges.solid import Grid, Solid

RESOLUTION = 48
"""Voxels along the longest side that these judges need: thin parts are 2 to 3 voxels thick."""


@dataclass(frozen=True)
class Attribute:
    """One judged attribute."""

    name: str
    category: str
    fact: str
    """Fact of the shape program, or "kind"."""
    values: tuple[Any, ...]
    """Values of the fact that are judged."""
    judge: Callable[[Solid], Any]
    """The value that is seen."""
    kinds: tuple[str, ...] = ()
    """Kinds to which it applies; empty for all."""
    same: tuple[tuple[Any, ...], ...] = ()
    """Values that the judge does not tell apart; it answers with the first of a group."""

    def applies(self, category: str, kind: str, facts: dict[str, Any]) -> bool:
        """Whether the facts of a shape of this category and kind hold a value that is judged."""
        known = {**facts, "kind": kind}
        return (
            category == self.category
            and self.fact in known
            and known[self.fact] in self.values
            and (not self.kinds or kind in self.kinds)
        )

    def right(self, solid: Solid, value: Any) -> bool:
        """Whether a solid shows the value."""
        for group in self.same:
            value = group[0] if value in group else value
        return bool(self.judge(solid) == value)


def armrests_seen(solid: Solid) -> bool:
    """Something on both sides above the seat, in front of the back."""
    grid = solid.cropped
    above = int(_seat_level(grid) + 0.07 * grid.shape[1]) + 1
    front = grid[:, above:, _span(grid.shape[2], 0.5, 0.8)].any(axis=(1, 2))
    edge = max(grid.shape[0] // 4, 1)
    return bool(front[:edge].any() and front[-edge:].any())


def back_height(solid: Solid) -> str:
    """High where the back takes more than 48 % of the height."""
    grid = solid.cropped
    return "high" if 1 - (_seat_level(grid) + 1) / grid.shape[1] > 0.483 else "low"


def back_seen(solid: Solid) -> bool:
    """Whether something stands higher than the seat."""
    grid = solid.cropped
    return 1 - (_seat_level(grid) + 1) / grid.shape[1] > 0.1


def rear_rises(solid: Solid, share: float = 1.25) -> bool:
    """Whether the rear edge stands `share` times as high as the middle: a bench's back, a bed's headboard."""
    grid = solid.cropped
    rear = _tops(grid[:, :, : max(grid.shape[2] // 7, 2)]).max()
    middle = np.median(_tops(grid[:, :, _span(grid.shape[2], 0.45, 0.65)]))
    return bool(rear > share * middle)


def leg_count(solid: Solid) -> int:
    """Legs cut by the layers a quarter up: 1, 3 or 4."""
    grid = solid.cropped
    counts = [_pieces(grid[:, y]) for y in _layers(grid, 0.2, 0.32)]
    return min(max(counts), 4)


def wheels_seen(solid: Solid) -> bool:
    """The five wheels of a swivel chair."""
    grid = solid.cropped
    return max(_pieces(grid[:, y]) for y in _layers(grid, 0.01, 0.07)) >= 5


def tripod_seen(solid: Solid) -> bool:
    """Three separate feet."""
    grid = solid.cropped
    return max(_pieces(grid[:, y]) for y in _layers(grid, 0.02, 0.12)) == 3


def top_outline(solid: Solid) -> str:
    """Outline of the uppermost layers of a table."""
    layer = solid.cropped[:, -2:].any(axis=1)
    places = np.argwhere(layer)
    sides = places.max(axis=0) - places.min(axis=0) + 1
    filled, longer = len(places) / sides.prod(), sides.max() / sides.min()
    if longer < 1.15:
        return "round" if filled < 0.9 else "square"
    return "oval" if filled < 0.945 else "rectangular"


def layers_seen(solid: Solid) -> bool:
    """A second board under a table's top."""
    grid = solid.cropped
    top = grid[:, -2:].any(axis=1).sum()
    return bool(max(grid[:, y].sum() for y in _layers(grid, 0.15, 0.66)) > 0.42 * top)


def has_feet(solid: Solid) -> bool:
    """Whether the lowest layers are far smaller than the body: it stands on legs."""
    grid = solid.cropped
    low = grid[:, :2].any(axis=1).sum()
    return bool(low < 0.5 * np.median([grid[:, y].sum() for y in _layers(grid, 0.25, 0.5)]))


def sofa_plan(solid: Solid) -> str:
    """The word "corner sofa" where the plan leaves a corner open."""
    plan = solid.cropped.any(axis=1)
    return "corner sofa" if plan.mean() < 0.86 else "three seater"


def sofa_arms_seen(solid: Solid) -> bool:
    """Both ends of the front rise above the seat."""
    grid = solid.cropped
    tops = _tops(grid[:, :, _span(grid.shape[2], 0.7, 0.92)]).max(axis=1)
    edge, seat = max(grid.shape[0] // 20, 1), np.median(tops)
    return bool(min(tops[:edge].max(), tops[-edge:].max()) > seat + 1.5)


def wing_span(solid: Solid) -> str:
    """Span over length: long above 1.12, short below 0.8."""
    share = solid.extent[0] / solid.extent[2]
    return "long" if share > 1.12 else "short" if share < 0.82 else "medium"


def wing_pairs(solid: Solid) -> int:
    """Wings one above the other, halfway out on both sides."""
    grid = solid.cropped
    width = grid.shape[0]
    sides = [grid[int(width * share)].any(axis=1) for share in (0.24, 0.76)]
    return min(_runs(side) for side in sides)


def side_handle_seen(solid: Solid) -> bool:
    """Whether a mug reaches further sideways than forwards at half its height."""
    grid = solid.cropped
    return any(_wider(grid[:, y], 1.12) for y in _layers(grid, 0.4, 0.65))


def vase_handles_seen(solid: Solid) -> bool:
    """The same in the upper half of a vase."""
    grid = solid.cropped
    return sum(_wider(grid[:, y], 1.12) for y in _layers(grid, 0.5, 0.9)) >= 2


def back_panel_seen(solid: Solid) -> bool:
    """Whether the rear of a shelf is closed."""
    return bool(solid.cropped[:, :, :2].any(axis=2).mean() > 0.75)


def shelf_count(solid: Solid) -> int:
    """Levels between the boards, in front of the books."""
    grid = solid.cropped
    front = grid[_span(grid.shape[0], 0.12, 0.88), :, _span(grid.shape[2], 0.9, 1.0)].any(axis=2)
    return int(np.median([_runs(column) for column in front])) - 1


def bipod_seen(solid: Solid) -> bool:
    """Legs that spread sideways from a rifle."""
    return bool(solid.extent[0] / solid.extent[2] > 0.17)


def roof_form(solid: Solid) -> str:
    """The word "flat" where the house is still wide near its top."""
    grid = solid.cropped
    areas = grid.sum(axis=(0, 2))
    return "flat" if areas[int(0.9 * len(areas))] > 0.5 * np.median(areas) else "gabled"


def sail_form(solid: Solid) -> str:
    """Square sails are wider than the hull, triangular ones are thin."""
    grid = solid.cropped
    upper = grid[:, grid.shape[1] // 2 :].any(axis=(1, 2)).sum()
    return "square" if upper > 0.75 * grid.shape[0] else "triangular"


def blade_form(solid: Solid) -> str:
    """Curved where the blade's middle line leaves the straight line between its ends."""
    grid = solid.cropped
    x = np.arange(grid.shape[0])
    layers = [grid[:, y].any(axis=1) for y in _layers(grid, 0.38, 0.97)]
    middle = np.array([float(x[layer].mean()) for layer in layers if layer.any()])
    straight = np.linspace(middle[0], middle[-1], len(middle))
    bend = max(float(np.abs(middle - straight).max()), abs(middle[-1] - middle[0]))
    return "curved" if bend > 0.022 * solid.grid.shape[0] else "straight"


_PITCHED = ("gabled", "front gable", "hipped", "pointed")
_SEATS = ("dining chair", "office chair", "rocking chair", "children chair")
_SOFAS = ("three seater", "loveseat", "chesterfield")
_BENCHES = ("park bench", "storage bench", "stone bench", "simple bench")
_CABINETS = ("cupboard", "wardrobe", "chest of drawers", "sideboard", "nightstand", "display cabinet")
_TABLES = ("dining table", "pedestal table", "side table", "console table")

ATTRIBUTES = (
    Attribute("chair armrests", "chair", "armrests", (True, False), armrests_seen, _SEATS),
    Attribute("chair back height", "chair", "back height", ("high", "low"), back_height, _SEATS[:2]),
    Attribute("stool with or without back", "chair", "has back", (True, False), back_seen),
    Attribute("chair leg count", "chair", "leg count", (1, 3, 4), leg_count),
    Attribute("chair wheels", "chair", "wheels", (True,), wheels_seen),
    Attribute("bench back", "bench", "has back", (True, False), rear_rises, _BENCHES),
    Attribute("table leg count", "table", "leg count", (1, 3, 4), leg_count, _TABLES),
    Attribute(
        "table top outline",
        "table",
        "top",
        ("round", "square", "oval", "rectangular"),
        top_outline,
        ("dining table", "coffee table", "pedestal table", "side table", "trestle table", "console table"),
    ),
    Attribute("table layers", "table", "double layers", (True, False), layers_seen),
    Attribute(
        "sofa corner",
        "sofa",
        "kind",
        ("corner sofa", "three seater", "loveseat"),
        sofa_plan,
        same=(("three seater", "loveseat"),),
    ),
    Attribute("sofa armrests", "sofa", "armrests", (True, False), sofa_arms_seen, _SOFAS),
    Attribute(
        "cabinet legs",
        "cabinet",
        "legs",
        (True, "little", "long", False),
        has_feet,
        _CABINETS,
        same=((True, "little", "long"),),
    ),
    Attribute(
        "bed headboard",
        "bed",
        "headboard",
        (True, False),
        rear_rises,
        ("double bed", "single bed", "platform bed"),
    ),
    Attribute(
        "shelf back panel",
        "bookshelf",
        "back panel",
        (True, False),
        back_panel_seen,
        ("bookcase", "low bookshelf", "cube shelf", "wide bookshelf", "narrow bookshelf"),
    ),
    Attribute(
        "shelf count",
        "bookshelf",
        "shelf count",
        (2, 3, 4, 5),
        shelf_count,
        ("bookcase", "low bookshelf", "cube shelf", "wide bookshelf", "narrow bookshelf"),
    ),
    Attribute("airplane wings", "airplane", "wings", ("long", "short"), wing_span),
    Attribute("biplane wings", "airplane", "pairs of wings", (2,), wing_pairs),
    Attribute("mug handle", "mug", "handle", (True, False), side_handle_seen),
    Attribute("vase handles", "vase", "handles", (True, False), vase_handles_seen),
    Attribute("lamp tripod", "lamp", "tripod", (True, False), tripod_seen),
    Attribute("rifle bipod", "rifle", "bipod", (True, False), bipod_seen),
    Attribute("house roof", "house", "roof", ("flat", *_PITCHED), roof_form, same=(_PITCHED,)),
    Attribute("boat sails", "watercraft", "sails", ("square", "triangular"), sail_form, ("sail boat",)),
    Attribute("sword blade", "sword", "blade", ("curved", "straight"), blade_form),
)
"""All judged attributes."""


def _span(size: int, low: float, high: float) -> slice:
    return slice(int(low * size), max(int(np.ceil(high * size)), int(low * size) + 1))


def _layers(grid: Grid, low: float, high: float) -> range:
    """Heights of the layers between two shares of the height."""
    span = _span(grid.shape[1], low, high)
    return range(span.start, min(span.stop, grid.shape[1]))


def _tops(grid: Grid) -> NDArray[np.int64]:
    """Height [X, Z] of the uppermost voxel, counted from 1; 0 where there is none."""
    height = np.arange(1, grid.shape[1] + 1)
    return (grid * height[None, :, None]).max(axis=1)


def _seat_level(grid: Grid) -> float:
    """Index of the seat's uppermost layer, in front of the middle."""
    tops = _tops(grid[_span(grid.shape[0], 0.4, 0.6), :, _span(grid.shape[2], 0.55, 0.75)])
    return float(np.median(tops)) - 1


def _pieces(layer: Grid) -> int:
    from scipy import ndimage

    return int(ndimage.label(layer, structure=np.ones((3, 3)))[1])


def _runs(line: Grid) -> int:
    """Separate runs of solid voxels along a line."""
    return int(np.count_nonzero(np.diff(np.concatenate([[False], line]).astype(int)) == 1))


def _wider(layer: Grid, share: float) -> bool:
    """Whether a layer reaches further along x than along z."""
    if not layer.any():
        return False
    places = np.argwhere(layer)
    sides = places.max(axis=0) - places.min(axis=0) + 1
    return bool(sides[0] > share * sides[1])
