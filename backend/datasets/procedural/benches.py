"""Seating for a row: bench."""

import math

from backend.datasets.procedural.draw import Category, Draw, Kind
from backend.datasets.procedural.legs import LEG_PHRASES, accent, armrests, four_legs, leg_form
from backend.datasets.procedural.shape import Shape


def build_bench(s: Shape, d: Draw) -> None:
    """A long seat. Lengths are about 1, so a board of 0.06 stays thick enough."""
    paint = d.main("seat")
    length, depth, seat = d.between(0.85, 1.05), d.between(0.28, 0.38), d.between(0.28, 0.38)
    d.note("length", "long" if length / seat > 3.0 else "short")
    if d.kind == "stone bench":
        d.note("has back", False)
        form = d.pick("support", blocks=1, columns=0.7, arch=0.6)
        if form == "arch":
            s.box("seat", paint, (length, seat, depth), (0, seat / 2, 0), round=0.015)
            inner = length * d.between(0.62, 0.74)
            s.box(
                "seat",
                paint,
                (inner, seat * 1.2, depth * 2),
                (0, seat * 0.03, 0),
                round=d.between(0.02, 0.12),
                cut=True,
            )
            return
        s.box("seat", paint, (length, 0.09, depth), (0, seat - 0.045, 0), round=0.015)
        legs, x = d.other("legs", same=0.7, patterns=("concrete", "marble")), length * d.between(0.3, 0.4)
        if form == "blocks":
            s.mirror(
                lambda: s.box(
                    "legs", legs, (d.between(0.09, 0.16), seat - 0.05, depth * 0.8), (x, seat / 2 - 0.025, 0)
                )
            )
        else:
            profile = [(0.11, 0), (0.11, 0.05), (0.075, 0.08), (0.065, seat * 0.5), (0.09, seat - 0.05)]
            s.mirror(lambda: s.lathe("legs", legs, profile, (x, 0, 0)))
        return
    if d.kind == "storage bench":
        top = d.other("cushion", same=0.3)
        s.box("seat", paint, (length, seat - 0.05, depth), (0, seat / 2 - 0.025, 0), round=0.015)
        s.box("cushion", top, (length + 0.02, 0.08, depth + 0.02), (0, seat - 0.02, 0), round=0.035)
        d.note("cushion", True)
        d.note("legs", False)
        if d.flag("has back", 0.4):
            s.box(
                "back",
                paint,
                (length, seat + 0.3, 0.07),
                (0, seat / 2 + 0.15, -depth / 2 + 0.035),
                round=0.015,
            )
        return
    if d.kind == "curved bench":
        d.note("has back", False)
        radius, wide = d.between(0.62, 0.8), d.between(0.18, 0.26)
        legs = accent(d, same=0.4)
        s.cylinder("seat", paint, radius, 0.085, (0, seat, 0), round=0.015)
        s.cylinder("seat", paint, radius - wide, 0.2, (0, seat, 0), cut=True)
        s.box("seat", paint, (3, 1, 2), (0, seat, 1 - radius * 0.42), cut=True)
        middle = radius - wide / 2
        for angle in (-0.72, 0.0, 0.72):
            x, z = middle * math.sin(angle), -middle * math.cos(angle)
            s.cylinder("legs", legs, wide * 0.3, seat, (x, seat / 2, z))
        return
    legs = accent(d, same=0.4)
    form = leg_form(d)
    four_legs(s, legs, form, length / 2 - 0.08, depth / 2 - 0.05, seat - 0.03, d.between(0.062, 0.08))
    if d.kind == "upholstered bench":
        d.note("has back", False)
        d.note("cushion", True)
        s.box("seat", paint, (length, 0.13, depth), (0, seat, 0), round=0.05)
        if d.flag("armrests", 0.3):
            s.mirror(
                lambda: s.box(
                    "armrests", paint, (0.1, 0.24, depth), (length / 2 - 0.03, seat + 0.06, 0), round=0.045
                )
            )
        return
    if d.kind == "simple bench":
        d.note("has back", False)
        s.box("seat", paint, (length, d.between(0.065, 0.1), depth * 0.9), (0, seat, 0), round=0.012)
        return
    for z in (-0.33, 0.0, 0.33):
        s.box("seat", paint, (length, 0.06, depth * 0.27), (0, seat, z * depth), round=0.012)
    s.mirror(lambda: s.box("legs", legs, (0.06, 0.06, depth - 0.04), (length / 2 - 0.1, seat - 0.05, 0)))
    d.note("has back", True)
    d.pick("back", slatted=1, vertical=0.7, solid=0.4)
    height, back = d.between(0.3, 0.4), d.other("back", same=0.9)

    def rest() -> None:
        if d.facts["back"] == "solid":
            s.box("back", back, (length, height - 0.08, 0.06), (0, height / 2 + 0.04, 0))
        elif d.facts["back"] == "slatted":
            for y in (0.4, 0.85):
                s.box("back", back, (length, height * 0.3, 0.055), (0, y * height, 0))
        else:
            s.box("back", back, (length, 0.075, 0.06), (0, height - 0.04, 0))
            for i in range(7):
                s.box("back", back, (0.06, height, 0.05), ((i - 3) * (length - 0.1) / 6, height / 2, 0))
        s.mirror(lambda: s.box("legs", legs, (0.06, height, 0.06), (length / 2 - 0.1, height / 2, -0.02)))

    s.move(rest, (0, seat - 0.03, -depth / 2 + 0.02), turn=(-d.between(4, 12), 0, 0))
    if d.flag("armrests", 0.6):
        armrests(s, legs, length / 2 - 0.02, seat, depth / 2 - 0.01, -depth / 2 - 0.02, 0.18)


CATEGORIES = {
    "bench": Category(
        name="bench",
        nouns=("bench",),
        kinds={
            "park bench": Kind(("park bench", "garden bench", "bench"), 2.5),
            "simple bench": Kind(("simple bench", "plank bench", "bench"), 1.5),
            "stone bench": Kind(("slab bench", "block bench", "bench"), 1.4),
            "upholstered bench": Kind(("upholstered bench", "padded bench", "piano bench"), 1),
            "storage bench": Kind(("storage bench", "box bench", "chest bench"), 0.8),
            "curved bench": Kind(("curved bench", "round bench", "crescent bench"), 0.7),
        },
        build=build_bench,
        phrases={
            **LEG_PHRASES,
            ("has back", True): ("with a back", "with a backrest"),
            ("has back", False): ("without a back", "backless", "without a backrest"),
            ("armrests", True): ("with armrests", "with arms"),
            ("armrests", False): ("without armrests", "armless"),
            ("back", "slatted"): ("with a slatted back", "with horizontal slats"),
            ("back", "vertical"): ("with vertical slats", "with vertical bars in the back"),
            ("back", "solid"): ("with a solid back",),
            ("cushion", True): ("with a cushion", "cushioned", "padded"),
            ("length", "long"): ("long",),
            ("length", "short"): ("short", "compact"),
            ("support", "blocks"): ("on two blocks", "with block legs"),
            ("support", "columns"): ("on two columns", "with column legs"),
            ("support", "arch"): ("in one piece", "with solid sides"),
        },
        materials={"wood": 2.5, "metal": 1, "marble": 1, "concrete": 1},
        size=0.8,
    ),
}
