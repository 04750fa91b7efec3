"""Shapes of the procedural programs as tables of parts: what the parts model learns to say."""

import numpy as np

from backend.datasets.procedural.shape import PackedShape
from backend.svr import parts_layout as layout

_KIND, _CUT, _FIRST, _COUNT = range(4)
"""Columns of PackedShape.kinds."""


def part_table(shape: PackedShape) -> np.ndarray:
    """float32 [SLOTS, COLUMNS] of a shape; rows without a part are zeros. Parts beyond the slots are left out
    (books of a full shelf). ValueError where an outline has too many corners."""
    count = min(len(shape.kinds), layout.SLOTS)
    table = np.zeros((layout.SLOTS, layout.COLUMNS), np.float32)
    rows = table[:count]
    rows[:, layout.EXISTS] = 1
    rows[np.arange(count), layout.KIND.start + shape.kinds[:count, _KIND]] = 1
    rows[:, layout.CUT] = shape.kinds[:count, _CUT]
    rows[:, layout.BLEND] = shape.params[:count, 4]
    rotation = shape.frames[:count, :9].reshape(count, 3, 3)
    rows[:, layout.CENTER] = shape.frames[:count, 9:12]
    rows[:, layout.AXIS_Y] = rotation[:, :, 1]
    rows[:, layout.AXIS_X] = rotation[:, :, 0]
    rows[:, layout.PARAMS] = shape.params[:count, :4]
    for row, (_, _, first, corners) in zip(rows, shape.kinds, strict=False):
        if corners > layout.CORNERS:
            raise ValueError(f"An outline of {corners} corners; at most {layout.CORNERS} are known.")
        if corners:
            outline = shape.outlines[first : first + corners]
            row[layout.OUTLINE] = outline[np.minimum(np.arange(layout.CORNERS), corners - 1)].reshape(-1)
    materials = shape.materials[:count]
    rows[np.arange(count), layout.PATTERN.start + materials[:, 0].astype(int)] = 1
    rows[:, layout.COLOR_A] = materials[:, 1:4]
    rows[:, layout.COLOR_B] = materials[:, 4:7]
    rows[:, layout.SCALE] = materials[:, 7]
    return table
