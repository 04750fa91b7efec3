"""Lounging furniture: sofa. Built with the longest side about 1, so that nothing is too thin."""

from backend.datasets.procedural.draw import Category, Draw, Kind
from backend.datasets.procedural.legs import LEG_PHRASES, accent, four_legs, leg_form
from backend.datasets.procedural.materials import Material
from backend.datasets.procedural.shape import Shape


def _arm(
    s: Shape, d: Draw, paint: Material, x: float, low: float, high: float, depth: float, width: float
) -> None:
    """One armrest at x, its outline by the fact "arm form"."""
    s.box("armrests", paint, (width, high - low, depth), (x, (high + low) / 2, 0), round=0.02)
    if d.facts["arm form"] == "round":
        s.cylinder(
            "armrests", paint, width * 0.62, depth + 0.01, (x, high - width * 0.1, 0), axis="z", round=0.02
        )


def _foot(s: Shape, d: Draw, length: float, depth: float) -> float:
    """Legs of a sofa, or none; returns the height of its underside."""
    if not d.flag("legs", 0.7):
        return 0.0
    high = d.pick("legs", little=1.5, long=0.7) == "long"
    foot = d.between(0.11, 0.15) if high else d.between(0.06, 0.09)
    four_legs(s, accent(d, same=0.1), leg_form(d), length / 2 - 0.06, depth / 2 - 0.05, foot + 0.02, 0.062)
    return foot


def _row(
    s: Shape,
    paint: Material,
    name: str,
    count: int,
    length: float,
    size: tuple[float, float],
    at: tuple[float, float],
    round: float,
    lean: float = 0.0,
) -> None:
    """`count` cushions of (height, depth) side by side at (y, z) over `length`."""
    step = length / count
    for i in range(count):
        x = (i + 0.5) * step - length / 2
        s.box(name, paint, (step - 0.008, *size), (x, *at), round=round, turn=(-lean, 0, 0))


def build_sofa(s: Shape, d: Draw) -> None:
    """A seat for several: sofa, loveseat, corner, chaise longue, chesterfield, daybed."""
    paint = d.main("seat")
    length = d.between(0.68, 0.8) if d.kind == "loveseat" else d.between(0.96, 1.15)
    depth = d.between(0.4, 0.5)
    foot = _foot(s, d, length, depth)
    if d.kind == "chaise longue":
        _chaise(s, d, paint, length, foot)
        return
    seat, arm = foot + d.between(0.17, 0.22), d.between(0.075, 0.13)
    cushions, back_paint = d.other("cushions", same=0.7), d.other("back", same=0.8)
    high = d.pick("back height", high=1, low=1) == "high"
    top = seat + (d.between(0.25, 0.34) if high else d.between(0.14, 0.19))
    chesterfield = d.kind == "chesterfield"
    if chesterfield:
        arms = True
        d.note("armrests", True)
        d.note("arm form", "round")
        top = seat + d.between(0.15, 0.19)
        d.note("back height", "low")
    elif d.kind == "daybed":
        arms = d.flag("armrests", 0.5)
        if arms:
            d.note("arm form", "square")
    else:
        arms = d.flag("armrests", 0.78)
        if arms:
            d.pick("arm form", square=1, round=0.8)
    inner = length - 2 * arm if arms else length
    if d.kind == "corner sofa":
        count = 2 + int(length > 1.05)
    else:
        count = d.count("cushion count", 1, 2 if d.kind == "loveseat" else 3)
    s.box("seat", paint, (length, seat - foot - 0.06, depth), (0, (seat + foot - 0.06) / 2, 0), round=0.02)
    _row(s, cushions, "cushions", count, inner, (0.1, depth - 0.06), (seat - 0.045, 0.03), 0.03)
    if d.kind == "daybed":
        s.box(
            "back",
            back_paint,
            (length, top - foot, 0.09),
            (0, (top + foot) / 2, -depth / 2 + 0.045),
            round=0.02,
        )
        if d.flag("pillows", 0.7):
            pillow = d.other("pillows", same=0.1)
            s.mirror(
                lambda: s.cylinder(
                    "pillows",
                    pillow,
                    0.065,
                    depth * 0.75,
                    (inner / 2 - 0.07, seat + 0.05, 0.03),
                    axis="z",
                    round=0.03,
                )
            )
    else:
        s.box(
            "back",
            back_paint,
            (length, top - foot - 0.03, 0.1),
            (0, (top + foot - 0.03) / 2, -depth / 2 + 0.05),
            round=0.03,
        )
        if chesterfield:
            s.cylinder(
                "back", back_paint, 0.075, length, (0, top - 0.02, -depth / 2 + 0.04), axis="x", round=0.02
            )
        else:
            _row(
                s,
                back_paint,
                "back",
                count,
                inner,
                (top - seat + 0.03, 0.11),
                ((top + seat) / 2, -depth / 2 + 0.12),
                0.04,
                8,
            )
    rise = top - 0.03 if chesterfield else min(top - 0.03, seat + d.between(0.08, 0.13))
    if d.kind == "corner sofa":
        side = 1 if d.pick("corner", right=1, left=1) == "right" else -1
        wide, reach = d.between(0.34, 0.4), d.between(0.42, 0.62)
        x = side * (length - wide) / 2
        z = depth / 2 + reach / 2 - 0.04
        s.box(
            "seat",
            paint,
            (wide, seat - foot - 0.06, reach + 0.08),
            (x, (seat + foot - 0.06) / 2, z),
            round=0.02,
        )
        s.box("cushions", cushions, (wide - 0.02, 0.1, reach + 0.04), (x, seat - 0.045, z + 0.01), round=0.03)
        if foot:
            ends = z + reach / 2 - 0.03
            for dx in (-1, 1):
                s.box(
                    "legs",
                    d.other("legs"),
                    (0.06, foot + 0.02, 0.06),
                    (x + dx * (wide / 2 - 0.06), foot / 2 + 0.01, ends),
                )
        if d.facts["armrests"]:
            _arm(s, d, paint, -side * (length - arm) / 2, foot, rise, depth, arm)
        if d.flag("back on the long side", 0.6):
            s.box(
                "back",
                back_paint,
                (0.1, top - foot - 0.03, reach + depth),
                (side * (length / 2 - 0.05), (top + foot - 0.03) / 2, reach / 2),
                round=0.03,
            )
    elif arms:
        s.mirror(lambda: _arm(s, d, paint, (length - arm) / 2, foot, rise, depth, arm))
    if d.kind != "daybed" and d.flag("pillows", 0.4):
        pillow = d.other("pillows", same=0.05)
        x = inner / 2 - 0.12
        s.mirror(
            lambda: s.box(
                "pillows",
                pillow,
                (0.18, 0.17, 0.07),
                (x, seat + 0.08, -depth / 2 + 0.2),
                round=0.033,
                turn=(-20, 0, 12),
            )
        )


def _chaise(s: Shape, d: Draw, paint: Material, length: float, foot: float) -> None:
    """A long seat with one raised end, and often half a back."""
    depth, seat = 0.42, foot + d.between(0.16, 0.2)
    d.note("armrests", False)
    side = 1 if d.pick("corner", right=1, left=1) == "right" else -1
    s.box("seat", paint, (length, seat - foot - 0.05, depth), (0, (seat + foot - 0.05) / 2, 0), round=0.025)
    s.box(
        "cushions",
        d.other("cushions", same=0.7),
        (length - 0.02, 0.1, depth - 0.01),
        (0, seat - 0.045, 0),
        round=0.04,
    )
    tall = d.between(0.26, 0.36)
    s.box(
        "back",
        paint,
        (0.12, tall + 0.1, depth),
        (side * (length / 2 - 0.03), seat + tall / 2 - 0.05, 0),
        round=0.05,
        turn=(0, 0, -side * d.between(8, 24)),
    )
    if d.flag("side back", 0.6):
        part = length * d.between(0.45, 0.75)
        outline = [
            (-part / 2, 0.0),
            (part / 2, 0.0),
            (part / 2, tall * 0.85),
            (part * 0.1, tall * 0.75),
            (-part / 2, 0.08),
        ]
        outline = outline if side > 0 else [(-x, y) for x, y in reversed(outline)]
        s.prism(
            "back",
            paint,
            outline,
            0.09,
            (side * (length - part) / 2, seat - 0.06, -depth / 2 + 0.045),
            round=0.03,
        )
    if d.flag("pillows", 0.6):
        s.cylinder(
            "pillows",
            d.other("pillows", same=0.1),
            0.065,
            depth * 0.85,
            (side * (length / 2 - 0.17), seat + 0.06, 0),
            axis="z",
            round=0.03,
        )


CATEGORIES = {
    "sofa": Category(
        name="sofa",
        nouns=("sofa", "couch", "settee"),
        kinds={
            "three seater": Kind(("sofa", "couch", "three seat sofa", "settee"), 3),
            "loveseat": Kind(("loveseat", "two seat sofa", "small sofa", "love seat"), 1.6),
            "corner sofa": Kind(("corner sofa", "l-shaped sofa", "sectional sofa", "sectional couch"), 1.5),
            "chaise longue": Kind(("chaise longue", "chaise lounge", "chaise"), 1),
            "chesterfield": Kind(("chesterfield", "chesterfield sofa"), 0.9),
            "daybed": Kind(("daybed", "day bed sofa"), 0.8),
        },
        build=build_sofa,
        phrases={
            **LEG_PHRASES,
            ("armrests", True): ("with armrests", "with arms"),
            ("armrests", False): ("without armrests", "armless", "without arms"),
            ("arm form", "round"): ("with round armrests", "with rolled arms"),
            ("arm form", "square"): ("with square armrests", "with boxy arms"),
            ("back height", "high"): ("with a high back", "high backed"),
            ("back height", "low"): ("with a low back", "low backed"),
            ("cushion count", 1): ("with one cushion", "with a single cushion"),
            ("cushion count", 2): ("with two cushions",),
            ("cushion count", 3): ("with three cushions",),
            ("pillows", True): ("with pillows", "with throw pillows"),
            ("pillows", False): ("without pillows",),
            ("side back", True): ("with half a back",),
            ("side back", False): ("without a back on the side",),
        },
        materials={"leather": 1.6, "fabric": 1.2},
        size=0.8,
    ),
}
