"""A table of parts made longer or shorter along the axes of the cube."""

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.svr import parts_layout as layout

_ALONG = {
    "box": "xyz ", "ellipsoid": "xyz ", "cone": "rry ", "torus": "rr  ",
    "prism": "z   ", "lathe": "    ", "capsule": "rry ", "arc": "rr  ",
}  # fmt: skip
"""Of each kind, in which direction each of its params grows: along a local axis, around the local y axis
("r"), or in none."""
_OUTLINE_ALONG = {"prism": "xy", "lathe": "ry"}
"""The same of the two coordinates of an outline's corners."""


def stretched(table: Tensor, factors: Tensor) -> Tensor:
    """A table [SLOTS, COLUMNS] whose parts stand and reach farther by factors [3] along x, y and z.

    Parts keep their kinds: of one that lies slanted the sizes grow as its axes do, and a round one stays
    round. Rounded edges stay as they are.
    """
    found = table.clone()
    y = F.normalize(table[:, layout.AXIS_Y] + 1e-6, dim=-1)
    x = table[:, layout.AXIS_X] - (table[:, layout.AXIS_X] * y).sum(-1, keepdim=True) * y
    x = F.normalize(x, dim=-1)
    axes = {"x": x, "y": y, "z": torch.linalg.cross(x, y)}
    growth = {name: (axis * factors).norm(dim=-1) for name, axis in axes.items()}
    growth["r"] = (factors.prod() / growth["y"]).sqrt()  # so that the volume grows as it shall
    growth[" "] = torch.ones_like(growth["y"])
    found[:, layout.CENTER] *= factors
    found[:, layout.AXIS_Y] = F.normalize(y * factors, dim=-1)
    for index, kind in enumerate(layout.KINDS):
        rows = table[:, layout.KIND].argmax(-1) == index
        found[rows, layout.PARAMS] *= torch.stack([growth[along] for along in _ALONG[kind]], -1)[rows]
        if kind in _OUTLINE_ALONG:
            plane = torch.stack([growth[along] for along in _OUTLINE_ALONG[kind]], -1)[rows]
            found[rows, layout.OUTLINE] *= plane.repeat(1, layout.CORNERS)
        if kind not in layout.ROUND_KINDS:
            found[rows, layout.AXIS_X] = F.normalize(x * factors, dim=-1)[rows]
    return found * table[:, [layout.EXISTS]]
