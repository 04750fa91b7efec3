"""How a shape of parts is written as numbers: one row per part, the columns named here.

A shape is up to SLOTS parts in order. A part is one primitive with a frame, sizes and a material; a part that
cuts is taken away from all before it. Lengths are in units of the unit cube, colours are sRGB in [0, 1].
"""

SLOTS = 40
"""Most parts of a shape."""
KINDS = ("box", "ellipsoid", "cone", "torus", "prism", "lathe", "capsule", "arc")
"""Primitives; what their four `params` mean is said in `parts_distance.py`."""
ROUND_KINDS = ("cone", "torus", "lathe", "capsule")
"""Primitives that look the same turned about their local y axis."""
PATTERNS = (
    "plain", "wood", "metal", "gold", "marble", "glass", "leather", "fabric", "concrete", "brick",
    "rust", "leaf", "zebra", "checker", "stripes", "dots", "flame", "ice",
)  # fmt: skip
"""Patterns of a material's two colours."""
CORNERS = 20
"""Corners of an outline; one with fewer repeats its last."""

EXISTS = 0
KIND = slice(1, 1 + len(KINDS))
CUT = KIND.stop
BLEND = CUT + 1
CENTER = slice(BLEND + 1, BLEND + 4)
AXIS_Y = slice(CENTER.stop, CENTER.stop + 3)
AXIS_X = slice(AXIS_Y.stop, AXIS_Y.stop + 3)
PARAMS = slice(AXIS_X.stop, AXIS_X.stop + 4)
OUTLINE = slice(PARAMS.stop, PARAMS.stop + 2 * CORNERS)
PATTERN = slice(OUTLINE.stop, OUTLINE.stop + len(PATTERNS))
COLOR_A = slice(PATTERN.stop, PATTERN.stop + 3)
COLOR_B = slice(COLOR_A.stop, COLOR_A.stop + 3)
SCALE = COLOR_B.stop
COLUMNS = SCALE + 1
"""Numbers per part."""

PARAM_COUNTS = {
    "box": 4,
    "ellipsoid": 3,
    "cone": 4,
    "torus": 2,
    "prism": 2,
    "lathe": 0,
    "capsule": 3,
    "arc": 4,
}
"""How many of the params a primitive uses."""
