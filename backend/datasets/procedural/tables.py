"""Tables: tops of four outlines on legs, pedestals, trestles and panels. Longest side about 1."""

from backend.datasets.procedural.draw import Category, Draw, Kind
from backend.datasets.procedural.legs import LEG_PHRASES, accent, four_legs, leg, leg_form, pedestal
from backend.datasets.procedural.materials import Material
from backend.datasets.procedural.shape import Shape


def _top(
    s: Shape,
    paint: Material,
    outline: str,
    width: float,
    depth: float,
    thick: float,
    y: float,
    name: str = "top",
) -> None:
    """A table top whose upper face is at y."""
    middle = y - thick / 2
    if outline == "round":
        s.cylinder(name, paint, width / 2, thick, (0, middle, 0), round=0.012)
    elif outline == "oval":
        flat = (width - depth) / 2
        s.box(name, paint, (flat * 2, thick, depth), (0, middle, 0), round=0.012)
        s.mirror(lambda: s.cylinder(name, paint, depth / 2, thick, (flat, middle, 0), round=0.012))
    else:
        s.box(name, paint, (width, thick, depth), (0, middle, 0), round=0.012)


def _outline(d: Draw, **options: float) -> tuple[str, float, float]:
    """Draws the top's outline; returns it with width and depth."""
    outline = d.pick("top", **options)
    if outline in ("round", "square"):
        width = d.between(0.7, 0.95)
        return outline, width, width
    width = d.between(0.9, 1.1)
    return outline, width, width * (d.between(0.5, 0.62) if outline == "oval" else d.between(0.42, 0.62))


def _shelf_under(
    s: Shape,
    d: Draw,
    outline: str,
    width: float,
    depth: float,
    height: float,
    probability: float,
    material: Material,
) -> None:
    """Now and then a second board between the legs: the "double layers" of the captions."""
    if d.flag("double layers", probability):
        paint = d.other("shelf", same=0.75, patterns=("wood", "glass", "metal"), colors=("white", "black"))
        _top(
            s, paint, outline, width * 0.84, depth * 0.84, 0.055, height * d.between(0.3, 0.42), name="shelf"
        )


def _on_legs(s: Shape, d: Draw, height: float, layers: float, **options: float) -> None:
    """A top on four (or three) legs, with or without a second layer."""
    top = d.main("top")
    legs = accent(d, same=0.4)
    outline, width, depth = _outline(d, **options)
    thick = d.between(0.055, 0.085)
    _top(s, top, outline, width, depth, thick, height)
    form = leg_form(d)
    size = d.between(0.062, 0.09)
    if outline == "round":
        x = z = width / 2 * 0.58
    elif outline == "oval":
        x, z = width / 2 - depth * 0.3, depth / 2 * 0.62
    else:
        x, z = width / 2 - size / 2 - 0.015, depth / 2 - size / 2 - 0.015
    if outline == "round" and d.rng.random() < 0.3:
        d.note("leg count", 3)
        s.around(3, lambda: leg(s, legs, form, 0, width * 0.38, height - 0.03, size), start_deg=180)
    else:
        d.note("leg count", 4)
        four_legs(s, legs, form, x, z, height - 0.03, size)
        if outline in ("square", "rectangular") and form != "splayed" and d.flag("apron", 0.4):
            s.box("apron", legs, (2 * x, 0.09, 2 * z), (0, height - thick - 0.03, 0))
            s.box("apron", legs, (2 * x - 0.12, 0.4, 2 * z - 0.12), (0, height - thick - 0.21, 0), cut=True)
            _top(s, top, outline, width, depth, thick, height)
            four_legs(s, legs, form, x, z, height - 0.03, size)
    _shelf_under(s, d, outline, width, depth, height, layers, legs)


def _pedestal_table(s: Shape, d: Draw) -> None:
    top = d.main("top")
    outline, width, depth = _outline(d, round=2, square=1, oval=0.6)
    height = d.between(0.58, 0.78) * (1.25 if d.flag("high", 0.2) else 1)
    _top(s, top, outline, width, depth, d.between(0.055, 0.08), height)
    legs = accent(d, same=0.4)
    if d.rng.random() < 0.35:
        d.note("leg count", 1)
        d.note("base", "feet")
        s.cylinder("legs", legs, d.between(0.04, 0.06), height - 0.03, (0, height / 2, 0))
        feet, reach = (3 if outline == "round" and d.rng.random() < 0.4 else 4), depth * 0.4
        s.around(
            feet,
            lambda: s.rod("base", legs, (0, 0.14, 0), (0, 0.035, reach), 0.04, end_radius=0.035),
            start_deg=45,
        )
    else:
        pedestal(s, d, height - 0.03, depth * d.between(0.28, 0.36), material=legs)


def _trestle_table(s: Shape, d: Draw) -> None:
    top, legs = d.main("top"), accent(d, same=0.5)
    width, depth, height = d.between(0.95, 1.1), d.between(0.4, 0.5), d.between(0.46, 0.58)
    d.note("top", "rectangular")
    s.box("top", top, (width, 0.065, depth), (0, height - 0.033, 0), round=0.01)
    x = width / 2 - d.between(0.12, 0.2)
    form = d.pick("trestle form", a=1, x=0.8, h=0.8)

    def end() -> None:
        if form == "h":
            s.box("legs", legs, (0.07, 0.06, depth * 0.85), (x, 0.03, 0))
            s.box("legs", legs, (0.07, height, 0.12), (x, height / 2 - 0.02, 0))
            return
        low, high = (depth / 2 - 0.04), (0.05 if form == "a" else -depth / 2 + 0.06)
        for side in (1, -1):
            s.bar("legs", legs, (x, 0.03, side * low), (x, height - 0.05, side * high), 0.065)
        if form == "a":
            s.box("legs", legs, (0.055, 0.055, depth * 0.6), (x, height * 0.35, 0))

    s.mirror(end)
    if d.flag("cross bar", 0.7):
        s.box("legs", legs, (2 * x, 0.06, 0.055), (0, height * (0.35 if form != "x" else 0.5), 0))


def _desk(s: Shape, d: Draw) -> None:
    top = d.main("top")
    body = d.other("drawers", same=0.75, patterns=("wood",), colors=("white", "black", "gray"))
    width, depth, height = d.between(0.95, 1.1), d.between(0.44, 0.54), d.between(0.56, 0.66)
    d.note("top", "rectangular")
    s.box("top", top, (width, 0.06, depth), (0, height - 0.03, 0), round=0.01)
    block = d.between(0.26, 0.32)
    both = d.rng.random() < 0.35
    count = d.count("drawer count", 2, 3)
    d.note("drawers", True)
    knob = d.other("handles", same=0.1, colors=("black", "white"), patterns=("metal", "gold"))

    def drawers() -> None:
        x, step = width / 2 - block / 2 - 0.02, (height - 0.08) / count
        s.box("drawers", body, (block, height - 0.05, depth - 0.06), (x, (height - 0.05) / 2, 0), round=0.01)
        for i in range(count):
            y = 0.03 + (i + 0.5) * step
            s.box(
                "seams",
                d.fixed("seams", "black"),
                (block - 0.01, 0.022, 0.03),
                (x, y + step / 2, depth / 2 - 0.03),
            )
            s.box("handles", knob, (0.11, 0.045, 0.05), (x, y, depth / 2 - 0.02), round=0.015)

    if both:
        d.note("support", "two blocks of drawers")
        s.mirror(drawers)
        s.box("panel", body, (width - block, height * 0.6, 0.05), (0, height * 0.66, -depth / 2 + 0.08))
    else:
        drawers()
        legs = accent(d, same=0.4)
        form = d.pick("leg form", square=1, cylindrical=1, tapered=0.7)
        for z in (depth / 2 - 0.06, -depth / 2 + 0.06):
            leg(s, legs, form, -width / 2 + 0.06, z, height - 0.03, 0.07)
        s.box(
            "panel", body, (width - block - 0.1, 0.13, 0.05), (-block / 2, height - 0.11, -depth / 2 + 0.08)
        )
    if d.flag("shelf on top", 0.25):
        s.box("shelf", top, (width, 0.055, 0.2), (0, height + 0.2, -depth / 2 + 0.1))
        s.mirror(
            lambda: s.box(
                "shelf", top, (0.055, 0.22, 0.2), (width / 2 - 0.028, height + 0.09, -depth / 2 + 0.1)
            )
        )


def _coffee_table(s: Shape, d: Draw) -> None:
    height = d.between(0.32, 0.44)
    d.note("height", "low")
    form = d.pick("support", four_legs=2, panels=1, drum=0.6)
    if form == "four legs":
        _on_legs(s, d, height, 0.4, round=1, rectangular=1.3, oval=0.8, square=0.8)
        return
    top, legs = d.main("top"), accent(d, same=0.6)
    if form == "drum":
        outline, width, depth = _outline(d, round=2, square=1)
        _top(s, top, outline, width, depth, 0.075, height)
        _top(s, legs, outline, width * 0.62, depth * 0.62, height - 0.03, height - 0.04, name="base")
        return
    outline, width, depth = _outline(d, rectangular=1, square=0.6)
    s.box("top", top, (width, 0.075, depth), (0, height - 0.038, 0), round=0.012)
    s.mirror(
        lambda: s.box(
            "legs", legs, (0.075, height, depth), (width / 2 - 0.04, height / 2 - 0.01, 0), round=0.012
        )
    )
    if d.flag("double layers", 0.5):
        s.box("shelf", legs, (width - 0.05, 0.06, depth - 0.03), (0, height * 0.38, 0))


def _picnic_table(s: Shape, d: Draw) -> None:
    top, legs = d.main("top"), accent(d, same=0.7)
    width, height, reach = d.between(0.85, 1.0), d.between(0.45, 0.52), d.between(0.36, 0.42)
    d.note("top", "rectangular")
    d.note("benches", True)
    s.box("top", top, (width, 0.065, 0.36), (0, height, 0), round=0.01)
    for side in (1, -1):
        s.box("benches", top, (width, 0.06, 0.14), (0, height * 0.58, side * reach), round=0.01)

    def end() -> None:
        x = width / 2 - 0.14
        s.box("legs", legs, (0.06, 0.065, reach * 2), (x, height * 0.5, 0))
        for side in (1, -1):
            s.bar("legs", legs, (x, 0.03, side * reach * 0.85), (x, height - 0.03, side * 0.09), 0.07)

    s.mirror(end)


def _console_table(s: Shape, d: Draw) -> None:
    top, legs = d.main("top"), accent(d, same=0.5)
    width, depth, height = d.between(0.85, 1.0), d.between(0.24, 0.32), d.between(0.62, 0.78)
    d.note("top", "rectangular")
    d.note("leg count", 4)
    s.box("top", top, (width, 0.065, depth), (0, height - 0.03, 0), round=0.01)
    four_legs(
        s,
        legs,
        d.pick("leg form", square=1, cylindrical=1, tapered=0.7),
        width / 2 - 0.05,
        depth / 2 - 0.045,
        height - 0.03,
        0.065,
    )
    if d.flag("drawers", 0.5):
        front = d.other("drawers", same=0.5)
        s.box("drawers", top, (width - 0.06, 0.15, depth - 0.04), (0, height - 0.12, 0))
        s.mirror(
            lambda: s.box(
                "drawers",
                front,
                (width / 2 - 0.07, 0.11, 0.05),
                (width / 4 - 0.01, height - 0.125, depth / 2 - 0.03),
            )
        )
    if d.flag("double layers", 0.5):
        s.box("shelf", top, (width - 0.06, 0.055, depth - 0.04), (0, height * 0.22, 0))


def build_table(s: Shape, d: Draw) -> None:
    """A table; each kind is a program of its own."""
    if d.kind == "dining table":
        _on_legs(s, d, d.between(0.56, 0.74), 0.12, rectangular=2, square=1.2, round=1, oval=0.8)
    elif d.kind == "side table":
        _on_legs(s, d, d.between(0.85, 1.0), 0.55, round=1, square=1)
    else:
        _TABLES[d.kind](s, d)


_TABLES = {
    "coffee table": _coffee_table,
    "desk": _desk,
    "pedestal table": _pedestal_table,
    "trestle table": _trestle_table,
    "picnic table": _picnic_table,
    "console table": _console_table,
}

CATEGORIES = {
    "table": Category(
        name="table",
        nouns=("table",),
        kinds={
            "dining table": Kind(("dining table", "kitchen table", "table"), 3),
            "coffee table": Kind(("coffee table", "low table", "tea table"), 2),
            "desk": Kind(("desk", "writing desk", "office desk", "work desk"), 1.5),
            "pedestal table": Kind(
                ("pedestal table", "bistro table", "single leg table", "single legged table"), 1.8
            ),
            "side table": Kind(("side table", "end table", "small table"), 1.1),
            "trestle table": Kind(("trestle table", "work table"), 0.9),
            "picnic table": Kind(("picnic table", "beer garden table"), 0.6),
            "console table": Kind(("console table", "hall table", "sideboard table"), 0.8),
        },
        build=build_table,
        phrases={
            **LEG_PHRASES,
            ("top", "round"): (
                "round",
                "circular",
                "round shaped",
                "with a round top",
                "with a circular top",
            ),
            ("top", "square"): ("square", "square shaped", "with a square top"),
            ("top", "oval"): ("oval", "with an oval top", "oval shaped"),
            ("top", "rectangular"): ("rectangular", "with a rectangular top"),
            ("double layers", True): (
                "double layers",
                "double layer",
                "two tier",
                "with two layers",
                "with a shelf underneath",
            ),
            ("double layers", False): ("single layer", "without a shelf"),
            ("base", "round"): ("with a round base", "with a circular base"),
            ("base", "square"): ("with a square base",),
            ("base", "cone"): ("with a cone shaped base", "with a trumpet base"),
            ("base", "feet"): ("with a star base", "with a base of feet"),
            ("drawers", True): ("with drawers",),
            ("drawers", False): ("without drawers",),
            ("drawer count", 2): ("with two drawers",),
            ("drawer count", 3): ("with three drawers",),
            ("support", "panels"): ("with panel legs", "with solid sides"),
            ("support", "drum"): ("with a block base", "with a drum base"),
            ("support", "two blocks of drawers"): ("with drawers on both sides",),
            ("trestle form", "a"): ("with a-shaped legs", "with trestles"),
            ("trestle form", "x"): ("with crossed legs", "with x-shaped legs"),
            ("trestle form", "h"): ("with t-shaped legs",),
            ("high", True): ("high", "tall", "bar height"),
            ("height", "low"): ("low",),
            ("shelf on top", True): ("with a shelf on top", "with a raised shelf"),
            ("benches", True): ("with benches",),
        },
        materials={"wood": 2.5, "glass": 1.2, "marble": 0.8, "metal": 1.0},
        size=0.75,
    ),
}
