"""Tables of parts: every column is what the program said, and what does not fit is left out or refused."""

import numpy as np
import pytest

from backend.datasets.procedural.categories import CATEGORIES, make
from backend.datasets.procedural.materials import patterned, plain
from backend.datasets.procedural.part_tables import part_table
from backend.datasets.procedural.shape import PackedShape, Shape
from backend.svr import parts_layout as layout


def _ring_of_corners(count: int) -> list[tuple[float, float]]:
    angles = 2 * np.pi * np.arange(count) / count
    return [(float(np.cos(a)), float(np.sin(a))) for a in angles]


def test_the_columns_follow_each_other_without_a_gap() -> None:
    columns = [layout.KIND, layout.CENTER, layout.AXIS_Y, layout.AXIS_X, layout.PARAMS, layout.OUTLINE,
               layout.PATTERN, layout.COLOR_A, layout.COLOR_B]  # fmt: skip
    singles = [layout.EXISTS, layout.CUT, layout.BLEND, layout.SCALE]
    covered = sorted([*singles, *(i for column in columns for i in range(column.start, column.stop))])
    assert covered == list(range(layout.COLUMNS))
    assert set(layout.PARAM_COUNTS) == set(layout.KINDS) > set(layout.ROUND_KINDS)


def test_a_row_says_what_the_program_said() -> None:
    rng = np.random.default_rng(1)
    wood, red = patterned("wood", rng), plain("red", rng)
    shape = Shape()
    shape.box("body", wood, (1.0, 0.6, 0.4), (0, 0, 0), round=0.02, turn=(0, 90, 0))
    shape.cylinder("hole", red, 0.1, 2.0, (0, 0, 0), axis="x", cut=True)
    shape.prism("lid", red, [(-0.2, 0.3), (0.2, 0.3), (0.0, 0.4)], 0.3, (0, 0, 0), blend=0.05)
    table = part_table(shape.pack())
    assert table.shape == (layout.SLOTS, layout.COLUMNS) and table.dtype == np.float32
    assert table[:, layout.EXISTS].tolist() == [1] * 3 + [0] * (layout.SLOTS - 3)
    assert not table[3:].any()
    rows = table[:3]
    assert [layout.KINDS[i] for i in rows[:, layout.KIND].argmax(-1)] == ["box", "cone", "prism"]
    assert (rows[:, layout.KIND].sum(-1) == 1).all() and (rows[:, layout.PATTERN].sum(-1) == 1).all()
    assert rows[:, layout.CUT].tolist() == [0, 1, 0]
    # It is 1 long and 0.7 high, from -0.3 to 0.4: the scale is 0.9, and 0.05 goes to the middle.
    assert np.allclose(rows[:, layout.BLEND], [0, 0, 0.045])
    assert np.allclose(rows[:, layout.CENTER], [(0, -0.045, 0)] * 3)
    assert np.allclose(rows[0, layout.PARAMS], [0.45, 0.27, 0.18, 0.018])
    assert np.allclose(rows[1, layout.PARAMS], [0.09, 0.09, 0.9, 0.0045])
    # Turned by 90 degrees about y, x goes to -z; the hole runs along x.
    assert np.allclose(rows[0, layout.AXIS_X], (0, 0, -1), atol=1e-6)
    assert np.allclose(rows[0, layout.AXIS_Y], (0, 1, 0), atol=1e-6)
    assert np.allclose(rows[1, layout.AXIS_Y], (1, 0, 0), atol=1e-6)
    outline = rows[2, layout.OUTLINE].reshape(layout.CORNERS, 2)
    assert np.allclose(outline[:3], 0.9 * np.array([(-0.2, 0.3), (0.2, 0.3), (0.0, 0.4)]))
    assert (outline[3:] == outline[2]).all(), "the last corner is repeated"
    assert not rows[:2, layout.OUTLINE].any()
    assert [layout.PATTERNS[i] for i in rows[:, layout.PATTERN].argmax(-1)] == ["wood", "plain", "plain"]
    for row, material in zip(rows, (wood, red, red)):
        assert np.allclose(row[layout.COLOR_A], material.color_a)
        assert np.allclose(row[layout.COLOR_B], material.color_b)
        assert np.isclose(row[layout.SCALE], material.scale)


@pytest.mark.parametrize("name", list(CATEGORIES))
def test_every_program_fits_into_a_table(name: str) -> None:
    """Also as float16, as a corpus keeps it."""
    for number, kind in enumerate(CATEGORIES[name].kinds):
        shape = make(name, np.random.default_rng([31, number]), kind=kind).shape
        table = part_table(shape)
        count = int(table[:, layout.EXISTS].sum())
        assert count == min(len(shape.kinds), layout.SLOTS)
        again = table.astype(np.float16).astype(np.float32)
        assert np.abs(again - table).max() < 1e-3
        rows = table[:count]
        axes = rows[:, layout.AXIS_Y], rows[:, layout.AXIS_X]
        assert all(np.allclose(np.linalg.norm(axis, axis=-1), 1, atol=1e-5) for axis in axes)
        assert np.allclose((axes[0] * axes[1]).sum(-1), 0, atol=1e-5)


def _balls(count: int) -> PackedShape:
    shape = Shape()
    for i in range(count):
        shape.ball(f"ball {i}", plain("red", np.random.default_rng(0)), (0.1, 0.1, 0.1), (0.2 * i, 0, 0))
    return shape.pack()


def test_parts_beyond_the_slots_are_left_out() -> None:
    shape = _balls(layout.SLOTS + 3)
    table = part_table(shape)
    assert (table[:, layout.EXISTS] == 1).all()
    assert np.array_equal(table[:, layout.CENTER], shape.frames[: layout.SLOTS, 9:12])
    full = _balls(layout.SLOTS)
    assert np.array_equal(part_table(full)[-1, layout.CENTER], full.frames[-1, 9:12])


def test_an_outline_of_too_many_corners_is_refused() -> None:
    paint = plain("red", np.random.default_rng(0))
    most, beyond = Shape(), Shape()
    most.prism("disc", paint, _ring_of_corners(layout.CORNERS), 0.2, (0, 0, 0))
    beyond.prism("disc", paint, _ring_of_corners(layout.CORNERS + 1), 0.2, (0, 0, 0))
    packed = most.pack()
    outline = part_table(packed)[0, layout.OUTLINE].reshape(layout.CORNERS, 2)
    assert np.array_equal(outline, packed.outlines)
    with pytest.raises(ValueError, match="21 corners; at most 20"):
        part_table(beyond.pack())
