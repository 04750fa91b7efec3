"""Seating for one: chair."""

from backend.datasets.procedural.draw import Category, Draw, Kind
from backend.datasets.procedural.legs import (
    LEG_PHRASES,
    accent,
    armrests,
    four_legs,
    leg,
    leg_form,
    pedestal,
    star_base,
)
from backend.datasets.procedural.materials import Material
from backend.datasets.procedural.shape import Shape


def _back(
    s: Shape,
    m: Material,
    style: str,
    width: float,
    height: float,
    at: tuple[float, float, float],
    lean: float,
) -> None:
    """A back standing on `at` (middle of its lower edge), leaning backwards by `lean` degrees."""
    half = width / 2

    def posts(top: float, x: float = half - 0.03) -> None:
        s.mirror(lambda: s.box("back", m, (0.06, top, 0.06), (x, top / 2, 0)))

    def build() -> None:
        if style == "solid":
            s.box("back", m, (width, height, 0.07), (0, height / 2, 0), round=0.025)
        elif style == "arched":
            rise = min(half, height * 0.5)
            edge = [
                (half, 0.0),
                (half, height - rise),
                (half * 0.87, height - rise * 0.5),
                (half * 0.5, height - rise * 0.13),
            ]
            outline = [*edge, (0.0, height), *[(-x, y) for x, y in reversed(edge)]]
            s.prism("back", m, outline, 0.07, (0, 0, 0), round=0.02)
        elif style == "round":
            radius = min(half, height * 0.46)
            posts(height - radius, half * 0.5)
            s.cylinder("back", m, radius, 0.07, (0, height - radius, 0), axis="z", round=0.02)
        elif style == "spindles":
            count = 4 if width < 0.46 else 5
            for i in range(count):
                x = (i / (count - 1) - 0.5) * (width - 0.06)
                s.rod("back", m, (x, -0.02, 0), (x, height - 0.04, 0), 0.029)
            s.box("back", m, (width + 0.03, 0.09, 0.07), (0, height - 0.045, 0), round=0.03)
        elif style == "slatted":
            posts(height)
            count = 3 if height > 0.38 else 2
            for i in range(count):
                y = height - 0.05 - i * (height - 0.08) / count
                s.box("back", m, (width - 0.02, 0.075, 0.06), (0, y, 0))
        else:
            posts(height)
            s.box("back", m, (width, 0.16, 0.06), (0, height - 0.08, 0), round=0.02)

    s.move(build, at, turn=(-lean, 0, 0))


def _dining_chair(s: Shape, d: Draw) -> None:
    seat_paint = d.main("seat")
    back_paint, legs = d.other("back", same=0.85), accent(d)
    width, depth, seat = d.between(0.4, 0.54), d.between(0.4, 0.5), d.between(0.42, 0.5)
    height = d.between(0.5, 0.64) if d.pick("back height", high=1, low=1) == "high" else d.between(0.32, 0.42)
    style = d.pick("back", solid=1, slatted=1, spindles=0.9, round=0.7, arched=0.8, open=0.6)
    form = leg_form(d)
    four_legs(s, legs, form, width / 2 - 0.04, depth / 2 - 0.04, seat - 0.05, d.between(0.058, 0.07))
    if d.pick("seat", square=2, round=0.8) == "round":
        s.cylinder("seat", seat_paint, width / 2 + 0.02, 0.07, (0, seat - 0.035, 0), round=0.02)
        width *= 0.85
    else:
        s.box("seat", seat_paint, (width, 0.07, depth), (0, seat - 0.035, 0), round=0.02)
    if d.flag("cushion", 0.25):
        s.box(
            "cushion",
            d.other("cushion", same=0.2),
            (width * 0.85, 0.06, depth * 0.8),
            (0, seat + 0.02, 0.03),
            round=0.028,
        )
    _back(s, back_paint, style, width, height, (0, seat - 0.03, 0.035 - depth / 2), d.between(2, 12))
    if d.flag("armrests", 0.25):
        armrests(
            s, d.other("armrests", same=0.8), width / 2 + 0.01, seat, depth / 2 - 0.03, -depth / 2 - 0.02, 0.2
        )


def _office_chair(s: Shape, d: Draw) -> None:
    paint = d.main("seat")
    back_paint = d.other("back", same=0.85)
    width, seat = d.between(0.46, 0.56), d.between(0.44, 0.52)
    star_base(s, d, 5, d.between(0.27, 0.33), seat - 0.04)
    s.box("seat", paint, (width, 0.1, width), (0, seat - 0.03, 0), round=0.045)
    high = d.pick("back height", high=1.3, low=1) == "high"
    height = d.between(0.58, 0.7) if high else d.between(0.36, 0.44)
    gap = d.between(0.0, 0.1)
    style = d.pick("back", solid=2, arched=1)
    if gap > 0.03:
        s.box("back", back_paint, (0.12, gap + 0.2, 0.06), (0, seat + gap / 2 + 0.02, -width / 2 + 0.02))
    _back(
        s,
        back_paint,
        style,
        width * d.between(0.8, 1.0),
        height - gap,
        (0, seat + gap - 0.02, -width / 2 + 0.03),
        d.between(3, 10),
    )
    if d.flag("armrests", 0.55):
        arms = d.other("armrests", same=0.3, colors=("black", "gray"))
        armrests(s, arms, width / 2 + 0.02, seat, width * 0.35, -width * 0.3, 0.2)
        s.mirror(
            lambda: s.box(
                "armrests", arms, (0.12, 0.05, 0.06), (width / 2 - 0.02, seat - 0.05, width * 0.35 - 0.06)
            )
        )


def _armchair(s: Shape, d: Draw) -> None:
    paint = d.main("seat")
    width, depth = d.between(0.72, 0.92), d.between(0.68, 0.82)
    foot = d.between(0.1, 0.2) if d.flag("legs", 0.75) else 0.0
    if foot:
        d.note("legs", "little")
        four_legs(s, accent(d, same=0.1), leg_form(d), width / 2 - 0.08, depth / 2 - 0.08, foot + 0.02, 0.075)
    arm, seat = d.between(0.13, 0.19), foot + d.between(0.26, 0.32)
    tall = d.pick("back height", high=1, low=1) == "high"
    height = seat + (d.between(0.5, 0.62) if tall else d.between(0.28, 0.36))
    inner = width - 2 * arm
    s.box(
        "seat",
        paint,
        (width - 0.04, seat - foot - 0.1, depth - 0.04),
        (0, (seat + foot - 0.1) / 2, 0),
        round=0.02,
    )
    cushion = d.other("cushions", same=0.75)
    s.box("cushions", cushion, (inner + 0.02, 0.15, depth - 0.12), (0, seat - 0.055, 0.06), round=0.05)
    s.box(
        "back",
        paint,
        (width - 0.02, height - foot, 0.18),
        (0, (height + foot) / 2, -depth / 2 + 0.09),
        round=0.06,
        turn=(-d.between(0, 7), 0, 0),
    )
    rise = seat + d.between(0.13, 0.2)
    shape = d.pick("arm form", round=1, square=1)

    def side() -> None:
        x = width / 2 - arm / 2
        s.box("armrests", paint, (arm, rise - foot, depth - 0.03), (x, (rise + foot) / 2, 0.01), round=0.03)
        if shape == "round":
            s.cylinder(
                "armrests", paint, arm * 0.62, depth, (x, rise - arm * 0.2, 0.02), axis="z", round=0.03
            )
        if tall and d.facts["wings"]:
            s.box(
                "back",
                paint,
                (0.08, height - rise + 0.04, 0.26),
                (x + 0.02, (height + rise) / 2 - 0.04, -depth / 2 + 0.24),
                round=0.035,
            )

    d.note("armrests", True)
    if tall:
        d.flag("wings", 0.5)
    s.mirror(side)


def _stool(s: Shape, d: Draw) -> None:
    paint, legs = d.main("seat"), accent(d)
    width, seat = d.between(0.4, 0.62), d.between(0.42, 0.72)
    d.note("armrests", False)
    d.note("has back", False)
    thick = d.between(0.07, 0.13)
    round_seat = d.pick("seat", round=2, square=1) == "round"
    if round_seat:
        s.cylinder(
            "seat", paint, width / 2, thick, (0, seat, 0), round=min(0.05, thick * d.between(0.2, 0.5))
        )
    else:
        s.box("seat", paint, (width, thick, width * d.between(0.75, 1.0)), (0, seat, 0), round=0.03)
    form = leg_form(d)
    reach = width / 2 * (0.62 if form == "splayed" else 0.66 if round_seat else 0.72)
    three = round_seat and d.rng.random() < 0.5
    d.note("leg count", 3 if three else 4)
    if three:
        s.around(3, lambda: leg(s, legs, form, 0, reach * 1.1, seat, 0.075), start_deg=30)
    else:
        four_legs(s, legs, form, reach, reach, seat, 0.075)
    if seat > 0.55 and not three and form in ("square", "cylindrical"):
        s.mirror(lambda: s.box("legs", legs, (0.05, 0.05, reach * 2), (reach, seat * 0.35, 0)))


def _bar_stool(s: Shape, d: Draw) -> None:
    paint, legs = d.main("seat"), accent(d, same=0.2)
    width, seat = d.between(0.34, 0.44), d.between(0.78, 0.9)
    d.note("legs", "long")
    support = d.pick("support", pedestal=1, four_legs=1, arches=0.6)
    round_seat = d.pick("seat", round=1.3, square=1) == "round"
    if round_seat:
        s.cylinder("seat", paint, width / 2, 0.1, (0, seat, 0), round=0.035)
    else:
        s.box("seat", paint, (width, 0.09, width), (0, seat, 0), round=0.03)
    if d.flag("has back", 0.5):
        back_height = d.between(0.2, 0.34)
        style = d.pick("back", solid=1, slatted=0.7, open=0.6, arched=0.6)
        d.note("back height", "low")
        _back(
            s,
            d.other("back", same=0.85),
            style,
            width * (0.8 if round_seat else 1),
            back_height,
            (0, seat - 0.02, -width * (0.38 if round_seat else 0.44)),
            5,
        )
    if support == "pedestal":
        pedestal(s, d, seat, d.between(0.19, 0.24), material=legs)
        s.ring("footrest", legs, 0.13, 0.065, (0, seat * 0.36, 0))
        s.box("footrest", legs, (0.26, 0.06, 0.06), (0, seat * 0.36, 0))
        d.note("legs", "single")
        return
    reach = width / 2 - 0.03
    d.note("leg count", 4)
    spread = 0.07 if support == "arches" else d.between(0.0, 0.08)
    for side in (1, -1):
        s.mirror(
            lambda side=side: s.rod(
                "legs",
                legs,
                (reach + spread, 0.03, side * (reach + spread)),
                (reach * 0.85, seat - 0.02, side * reach * 0.85),
                0.033,
            )
        )
    low = reach + spread * 0.65
    if support == "arches":
        for turn in (0, 90):
            offset = reach + spread * 0.35
            for side in (1, -1):
                at = (0, seat * 0.42, side * offset) if turn == 0 else (side * offset, seat * 0.42, 0)
                s.arc("arches", legs, offset, 0.068, 90, at, turn=(0, turn, 0))
    else:
        y = seat * 0.33
        s.mirror(lambda: s.box("footrest", legs, (0.062, 0.062, low * 2), (low, y, 0)))
        for z in (low, -low):
            s.box("footrest", legs, (low * 2, 0.062, 0.062), (0, y, z))


def _recliner(s: Shape, d: Draw) -> None:
    paint = d.main("seat")
    d.note("armrests", True)
    width, depth, arm = d.between(0.66, 0.82), d.between(0.6, 0.7), d.between(0.13, 0.17)
    lean, seat = d.between(16, 38), d.between(0.3, 0.36)
    s.box("seat", paint, (width - 0.04, seat - 0.1, depth), (0, seat / 2 - 0.02, 0), round=0.03)
    s.box(
        "seat",
        paint,
        (width - 2 * arm + 0.02, 0.14, depth),
        (0, seat - 0.03, 0.05),
        round=0.05,
        turn=(-4, 0, 0),
    )
    height = d.between(0.58, 0.72)

    def back() -> None:
        s.box("back", paint, (width - arm, height, 0.17), (0, height / 2, 0), round=0.06)
        if d.flag("headrest", 0.6):
            s.box(
                "headrest",
                d.other("headrest", same=0.8),
                (width - arm - 0.08, 0.18, 0.16),
                (0, height - 0.1, 0.06),
                round=0.06,
            )

    s.move(back, (0, seat - 0.14, -depth / 2 + 0.06), turn=(-lean, 0, 0))
    rise = seat + d.between(0.14, 0.2)
    s.mirror(
        lambda: s.box(
            "armrests", paint, (arm, rise, depth + 0.06), ((width - arm) / 2, rise / 2, 0), round=0.05
        )
    )
    if d.flag("footrest", 0.65):
        rest = width - 2 * arm + 0.02
        s.box(
            "footrest",
            paint,
            (rest, 0.11, 0.34),
            (0, seat - 0.1, depth / 2 + 0.17),
            round=0.045,
            turn=(18, 0, 0),
        )


def _rocking_chair(s: Shape, d: Draw) -> None:
    paint = d.main("seat")
    frame = accent(d, "rockers", same=0.6)
    width, depth, seat = d.between(0.46, 0.56), d.between(0.42, 0.5), d.between(0.38, 0.44)
    style = d.pick("back", slatted=1, spindles=1.2, solid=0.5, arched=0.5)
    d.note("back height", "high")
    reach, radius = depth / 2 - 0.04, d.between(0.8, 1.0)
    half = width / 2 - 0.03
    s.mirror(
        lambda: s.arc("rockers", frame, radius, 0.07, d.between(26, 30), (half, radius, 0), turn=(0, 90, 180))
    )
    foot = radius - (radius**2 - reach**2) ** 0.5 - 0.01
    for z in (reach, -reach):
        s.mirror(lambda z=z: s.rod("legs", frame, (half, foot, z), (half - 0.01, seat - 0.03, z), 0.032))
    s.box("seat", paint, (width, 0.075, depth), (0, seat, 0), round=0.02)
    _back(
        s,
        d.other("back", same=0.9),
        style,
        width,
        d.between(0.52, 0.64),
        (0, seat, -depth / 2 + 0.04),
        d.between(9, 16),
    )
    if d.flag("armrests", 0.75):
        armrests(
            s, d.other("armrests", same=0.9), half + 0.03, seat, depth / 2 - 0.02, -depth / 2 - 0.06, 0.2
        )


def _children_chair(s: Shape, d: Draw) -> None:
    paint, legs = d.main("seat"), accent(d, same=0.2)
    d.note("legs", "little")
    width, seat = d.between(0.56, 0.7), d.between(0.28, 0.36)
    four_legs(
        s,
        legs,
        d.pick("leg form", cylindrical=1, splayed=1.2, tapered=0.8),
        width / 2 - 0.08,
        width / 2 - 0.08,
        seat - 0.03,
        d.between(0.085, 0.11),
    )
    s.box("seat", paint, (width, 0.11, width * 0.92), (0, seat, 0), round=0.05)
    back, height = d.other("back", same=0.8), d.between(0.4, 0.52)
    style = d.pick("back", round=1, arched=1, solid=0.8)
    z = -width * 0.46 + 0.05
    _back(s, back, style, width * 0.92, height, (0, seat, z), 5)
    if d.flag("ears", 0.4):
        out = 0.2 if style == "round" else width * 0.3
        y = seat + height - (0.06 if style != "solid" else 0.0)
        s.mirror(lambda: s.ball("ears", back, (0.17, 0.17, 0.085), (out, y, z - 0.03)))
    if d.flag("armrests", 0.25):
        armrests(s, d.other("armrests", same=0.7), width / 2, seat, width * 0.36, z, 0.17)


def _egg_chair(s: Shape, d: Draw) -> None:
    shell = d.main("shell")
    size, lift = d.between(0.72, 0.84), d.between(0.3, 0.42)
    tall = size * d.between(0.95, 1.15)
    y = lift + tall / 2 - 0.04
    s.ball("shell", shell, (size, tall, size * 0.86), (0, y, 0))
    s.ball(
        "shell",
        shell,
        (size - 0.15, tall - 0.15, size * 0.86),
        (0, y + 0.05, size * d.between(0.2, 0.26)),
        cut=True,
    )
    s.box(
        "shell", shell, (size * 1.2, tall, size * 0.4), (0, y + 0.1, size * 0.5), cut=True, turn=(-18, 0, 0)
    )
    cushion = d.other("cushion", same=0.25)
    s.ball("cushion", cushion, (size * 0.68, 0.16, size * 0.56), (0, y - tall * 0.27, 0.03))
    legs = d.other("legs", same=0.2, colors=("black", "white"), patterns=("metal", "wood"))
    pedestal(s, d, lift + 0.06, d.between(0.2, 0.27), material=legs)


_CHAIRS = {
    "dining chair": _dining_chair,
    "office chair": _office_chair,
    "armchair": _armchair,
    "stool": _stool,
    "bar stool": _bar_stool,
    "recliner": _recliner,
    "rocking chair": _rocking_chair,
    "children chair": _children_chair,
    "egg chair": _egg_chair,
}


def build_chair(s: Shape, d: Draw) -> None:
    """A seat for one; each kind is a program of its own."""
    _CHAIRS[d.kind](s, d)


CATEGORIES = {
    "chair": Category(
        name="chair",
        nouns=("chair", "seat"),
        kinds={
            "dining chair": Kind(("dining chair", "kitchen chair", "side chair", "chair"), 4),
            "office chair": Kind(
                ("office chair", "swivel chair", "desk chair", "swivel chair with wheels"), 1.6
            ),
            "armchair": Kind(("armchair", "easy chair", "lounge chair", "club chair"), 1.6),
            "stool": Kind(("stool", "footstool", "low stool"), 1),
            "bar stool": Kind(("bar stool", "high stool", "counter stool", "barstool"), 1.2),
            "recliner": Kind(("recliner", "reclining chair", "recliner chair"), 0.9),
            "rocking chair": Kind(("rocking chair", "rocker"), 0.9),
            "children chair": Kind(("children chair", "kids chair", "child's chair", "small chair"), 0.9),
            "egg chair": Kind(("egg chair", "ball chair", "pod chair"), 0.7),
        },
        build=build_chair,
        phrases={
            **LEG_PHRASES,
            ("armrests", True): ("with armrests", "with arms"),
            ("armrests", False): ("without armrests", "armless", "without arms"),
            ("back height", "high"): ("with a high back", "high backed", "with a tall back"),
            ("back height", "low"): ("with a low back", "low backed", "with a short back"),
            ("back", "solid"): ("with a solid back", "with a flat back"),
            ("back", "slatted"): ("with a slatted back", "with horizontal slats", "with a ladder back"),
            ("back", "spindles"): ("with spindles in the back", "with a spindle back", "spindle back"),
            ("back", "round"): ("with a round back", "with a circular backrest"),
            ("back", "arched"): ("with an arched back", "with a rounded top back"),
            ("back", "open"): ("with an open back", "with a hole in the back"),
            ("has back", True): ("with a back", "with a backrest"),
            ("has back", False): ("without a back", "backless", "without a backrest"),
            ("seat", "round"): ("with a round seat", "round"),
            ("seat", "square"): ("with a square seat", "square"),
            ("cushion", True): ("with a cushion", "with a seat cushion", "cushioned"),
            ("arm form", "round"): ("with round armrests", "with rolled arms"),
            ("arm form", "square"): ("with square armrests", "with boxy arms"),
            ("wings", True): ("with wings", "wing backed", "with a wing back"),
            ("support", "pedestal"): ("on a pedestal", "with a pedestal"),
            ("support", "arches"): (
                "with metal arches as a design feature",
                "with arches",
                "with arched supports",
            ),
            ("footrest", True): ("with a footrest", "with an extended footrest"),
            ("footrest", False): ("without a footrest",),
            ("headrest", True): ("with a headrest",),
            ("ears", True): ("with ears", "with bear ears"),
            ("base", "round"): ("with a round base",),
            ("base", "square"): ("with a square base",),
        },
        materials={"wood": 2.0, "leather": 0.8, "metal": 0.7, "fabric": 0.7},
        size=0.95,
    ),
}
