"""Aircraft: airplane."""

from backend.datasets.procedural.draw import Category, Draw, Kind
from backend.datasets.procedural.materials import Material
from backend.datasets.procedural.shape import Point, Shape

_WING_SPAN = {"long": (1.25, 1.5), "medium": (0.92, 1.08), "short": (0.6, 0.72)}
"""Span in fuselage lengths by the word of the fact "wings"."""


def _wings(
    s: Shape,
    name: str,
    material: Material,
    span: float,
    root: float,
    tip: float,
    sweep: float,
    thick: float,
    at: Point,
    *,
    raised: float = 0.0,
) -> None:
    """A pair of wings: the tip's front edge lies `sweep` behind the root's; `raised` in degrees."""
    half, thick = span / 2, max(thick, 0.053 * span)
    outline = [
        (-0.02, root / 2),
        (half, root / 2 - sweep),
        (half, root / 2 - sweep - tip),
        (-0.02, -root / 2),
    ]
    s.mirror(lambda: s.prism(name, material, outline, thick, at, axis="y", round=0.012, turn=(0, 0, raised)))


def _fin(
    s: Shape,
    name: str,
    material: Material,
    at: Point,
    height: float,
    root: float,
    tip: float,
    *,
    lean: float = 0.0,
    thick: float = 0.062,
) -> None:
    """An upright tail fin whose foot is centred at `at`, swept back."""
    back = -root / 2 - 0.04
    outline = [(root / 2, -0.03), (back + tip, height), (back, height), (-root / 2, -0.03)]
    s.prism(name, material, outline, thick, at, axis="x", round=0.01, turn=(0, 0, lean))


def _propeller(s: Shape, d: Draw, at: Point, radius: float, blades: int) -> None:
    paint = d.other("propeller", same=0.2, colors=("black", "gray", "red", "yellow"))
    x, y, z = at
    s.ball("propeller", paint, (0.1, 0.1, 0.13), (x, y, z + 0.02))
    for i in range(blades if blades > 2 else 1):
        angle = 180 * i / blades if blades % 2 == 0 else 360 * i / blades
        if blades % 2 == 0:
            s.box("propeller", paint, (0.065, 2 * radius, 0.05), at, round=0.02, turn=(0, 0, angle + 25))
        else:
            s.move(
                lambda: s.box("propeller", paint, (0.065, radius, 0.05), (0, radius / 2, 0), round=0.02),
                at,
                turn=(0, 0, angle),
            )


def _gear(s: Shape, d: Draw, width: float, front: float, back: float, top: float, drop: float) -> None:
    """Two main wheels at z=`back` and one at z=`front`, hanging `drop` below y=`top`."""
    paint = d.other("wheels", same=0.0, colors=("black", "black", "gray"))
    metal = d.fixed("gear", "gray")

    def leg(x: float, z: float) -> None:
        s.rod("gear", metal, (x, top, z), (x, top - drop, z), 0.028)
        s.cylinder("wheels", paint, 0.05, 0.06, (x, top - drop, z), axis="x", round=0.015)

    s.mirror(lambda: leg(width, back))
    leg(0.0, front)


def _airliner(s: Shape, d: Draw, body: Material) -> None:
    """Airliner, jumbo jet and private jet: a tube with swept wings and jet engines."""
    jumbo, private = d.kind == "jumbo jet", d.kind == "private jet"
    r = d.between(0.085, 0.1) if jumbo else d.between(0.065, 0.08) if private else d.between(0.06, 0.095)
    nose = d.between(0.5, 0.53) if private else d.between(0.49, 0.51)
    s.lathe(
        "body",
        body,
        [
            (0.028, -0.5),
            (r * 0.6, -0.36),
            (r * 0.92, -0.22),
            (r, -0.1),
            (r, 0.3),
            (r * 0.88, 0.39),
            (r * 0.62, 0.455),
            (r * 0.25, nose),
        ],
        (0, 0, 0),
        axis="z",
    )
    glass = d.fixed("window", "black")
    s.box("windows", glass, (1.96 * r, 0.026, 0.5), (0, r * 0.28, 0.03), round=0.004)
    s.ball("cockpit", glass, (r * 1.25, r * 0.55, 0.09), (0, r * 0.55, 0.4))
    if jumbo:
        s.ball("body", body, (r * 1.5, r * 1.5, 0.36), (0, r * 0.72, 0.24), blend=0.02)
        s.ball("cockpit", glass, (r * 0.9, r * 0.36, 0.06), (0, r * 1.12, 0.37))
    paint = d.other("wings", same=0.5)
    word = d.pick("wings", long=1, medium=1.2, short=1)
    d.note("wing shape", "swept")
    span = d.between(*_WING_SPAN[word])
    root, sweep = d.between(0.2, 0.27), span / 2 * d.between(0.42, 0.7)
    z = d.between(0.0, 0.1)
    _wings(
        s,
        "wings",
        paint,
        span,
        root,
        root * d.between(0.3, 0.45),
        sweep,
        0.056,
        (0, -r * 0.45, z),
        raised=d.between(2, 7),
    )
    tail = d.other("tail", same=0.45)
    height = d.between(0.19, 0.26)
    _fin(s, "tail", tail, (0, r * 0.55, -0.38), height, 0.19, 0.1)
    high = d.flag("t-tail", 0.75 if private else 0.08)
    _wings(
        s,
        "tail",
        tail,
        d.between(0.32, 0.42),
        0.13,
        0.075,
        0.1,
        0.06,
        (0, r * 0.55 + height - 0.01 if high else r * 0.2, -0.45 if high else -0.41),
        raised=3,
    )
    engines = 4 if jumbo else 2 if private else int(d.rng.choice([2, 2, 4]))
    d.note("engines", engines)
    engine = d.other("engines", same=0.4)
    size = d.between(0.04, 0.05)
    if private:
        s.mirror(
            lambda: s.cone(
                "engines", engine, size * 0.8, size, 0.19, (r + size * 0.8, r * 0.35, -0.27), axis="z"
            )
        )
    else:
        for i in range(engines // 2):
            x = span / 2 * (0.33 if i == 0 else 0.66)
            front = z + root / 2 - sweep * x / (span / 2)
            y = -r * 0.45 - size * 0.75
            s.mirror(
                lambda x=x, y=y, f=front: s.cone(
                    "engines", engine, size * 0.75, size, 0.16, (x, y, f), axis="z"
                )
            )
    if d.flag("landing gear", 0.3):
        _gear(s, d, 0.09, 0.33, -0.03, -r * 0.4, r + 0.05)


def _fighter(s: Shape, d: Draw, body: Material) -> None:
    """A fighter jet: needle nose, delta wings, one or two fins."""
    r = d.between(0.06, 0.075)
    s.lathe(
        "body",
        body,
        [(r * 0.75, -0.46), (r, -0.35), (r * 1.08, -0.05), (r * 0.85, 0.2), (r * 0.5, 0.38), (0.022, 0.52)],
        (0, 0, 0),
        axis="z",
    )
    s.cylinder("exhaust", d.fixed("exhaust", "black"), r * 0.6, 0.06, (0, 0, -0.47), axis="z")
    s.mirror(
        lambda: s.box("body", body, (0.075, 0.095, 0.46), (r * 0.95, -0.01, -0.14), round=0.02, blend=0.02)
    )
    s.ball("cockpit", d.fixed("window", "black"), (0.085, 0.11, 0.23), (0, r * 0.75, 0.16))
    paint = d.other("wings", same=0.65)
    shape = d.pick("wing shape", delta=1.3, swept=1)
    word = d.pick("wings", medium=1, short=1.3)
    span = d.between(*_WING_SPAN[word])
    root = d.between(0.42, 0.52) if shape == "delta" else d.between(0.24, 0.3)
    sweep = root - 0.1 if shape == "delta" else d.between(0.16, 0.24)
    _wings(
        s,
        "wings",
        paint,
        span,
        root,
        0.075 if shape == "delta" else 0.11,
        sweep,
        0.054,
        (0, 0, -0.1),
        raised=d.between(-3, 2),
    )
    tail = d.other("tail", same=0.6)
    fins = d.count("tail fins", 1, 2)
    height = d.between(0.16, 0.23)
    if fins == 1:
        _fin(s, "tail", tail, (0, r * 0.8, -0.33), height, 0.2, 0.09)
    else:
        s.mirror(lambda: _fin(s, "tail", tail, (r * 1.1, 0.03, -0.33), height, 0.18, 0.08, lean=-_FIN_LEAN))
    if d.flag("tailplane", 0.6 if shape == "delta" else 1.0):
        _wings(s, "tail", tail, 0.42, 0.15, 0.07, 0.1, 0.06, (0, -0.005, -0.42))
    if d.flag("missiles", 0.45):
        rocket = d.other("missiles", same=0.1, colors=("white", "red", "gray", "yellow"))
        x = span * 0.36
        s.mirror(
            lambda: s.cone("missiles", rocket, 0.03, 0.022, 0.3, (x, -0.042, -0.17), axis="z", round=0.02)
        )
    d.note("engines", 1)


def _biplane(s: Shape, d: Draw, body: Material) -> None:
    """A biplane: two straight wings joined by struts, propeller, fixed wheels."""
    length = 0.86
    s.lathe(
        "body",
        body,
        [(0.035, -length / 2), (0.085, 0.0), (0.1, 0.25), (0.1, 0.36), (0.07, length / 2)],
        (0, 0, 0),
        axis="z",
    )
    word = d.pick("wings", medium=1.2, long=1)
    span = length * d.between(*_WING_SPAN[word])
    d.note("wing shape", "straight")
    d.note("pairs of wings", 2)
    paint = d.other("wings", same=0.45)
    chord, gap, z = d.between(0.17, 0.23), d.between(0.25, 0.32), 0.18
    top = -0.06 + gap
    s.box("wings", paint, (span, 0.062, chord), (0, -0.06, z - 0.02), round=0.025)
    s.box("wings", paint, (span * d.between(1.0, 1.1), 0.062, chord), (0, top, z + 0.03), round=0.025)
    strut = d.other("struts", same=0.2, colors=("brown", "black", "gray"))
    s.mirror(lambda: s.bar("struts", strut, (span * 0.37, -0.06, z), (span * 0.37, top, z + 0.02), 0.05))
    s.mirror(lambda: s.bar("struts", strut, (0.05, 0.05, z + 0.02), (0.1, top, z + 0.02), 0.05))
    tail = d.other("tail", same=0.45)
    _fin(s, "tail", tail, (0, 0.03, -length / 2 + 0.07), 0.17, 0.16, 0.1)
    s.box("tail", tail, (0.36, 0.062, 0.14), (0, 0.015, -length / 2 + 0.07), round=0.025)
    s.ball("cockpit", d.fixed("window", "black"), (0.1, 0.08, 0.13), (0, 0.08, -0.03))
    blades = d.count("propeller blades", 2, 4)
    _propeller(s, d, (0, 0, length / 2 + 0.02), d.between(0.15, 0.19), blades)
    _gear(s, d, 0.12, -length / 2 + 0.05, 0.26, -0.02, 0.2)
    d.note("landing gear", True)
    d.note("engines", 1)


def _glider(s: Shape, d: Draw, body: Material) -> None:
    """A glider: a slim body with very long straight wings and no engine."""
    s.lathe(
        "body",
        body,
        [(0.03, -0.5), (0.034, -0.2), (0.055, 0.02), (0.075, 0.18), (0.07, 0.3), (0.05, 0.38), (0.02, 0.43)],
        (0, 0, 0),
        axis="z",
    )
    s.ball("cockpit", d.fixed("window", "black"), (0.095, 0.1, 0.24), (0, 0.045, 0.26))
    paint = d.other("wings", same=0.6)
    d.note("wings", "long")
    d.note("wing shape", "straight")
    d.note("engines", 0)
    _wings(
        s,
        "wings",
        paint,
        d.between(1.2, 1.45),
        0.17,
        0.085,
        0.05,
        0.062,
        (0, 0.04, 0.1),
        raised=d.between(2, 7),
    )
    tail = d.other("tail", same=0.6)
    height = d.between(0.16, 0.21)
    _fin(s, "tail", tail, (0, 0.01, -0.43), height, 0.13, 0.09, thick=0.06)
    high = d.flag("t-tail", 0.6)
    _wings(s, "tail", tail, 0.36, 0.1, 0.07, 0.03, 0.06, (0, height if high else 0.02, -0.46))
    d.note("landing gear", False)


def _propeller_plane(s: Shape, d: Draw, body: Material) -> None:
    """A small plane with one nose propeller, or two on the wings."""
    r = d.between(0.08, 0.1)
    length = d.between(0.84, 0.96)
    s.lathe(
        "body",
        body,
        [
            (0.035, -length / 2),
            (r * 0.6, -0.2),
            (r, 0.02),
            (r, 0.26),
            (r * 0.75, length / 2 - 0.03),
            (r * 0.45, length / 2),
        ],
        (0, 0, 0),
        axis="z",
    )
    high = d.pick("wing position", high=1, low=1) == "high"
    glass = d.fixed("window", "black")
    if high:
        s.box("cockpit", glass, (r * 1.7, r * 1.1, 0.25), (0, r * 0.75, 0.1), round=0.03)
    else:
        s.ball("cockpit", glass, (r * 1.35, r * 1.6, 0.3), (0, r * 0.75, 0.03))
    paint = d.other("wings", same=0.5)
    word = d.pick("wings", long=1, medium=1.2, short=0.7)
    span = length * d.between(*_WING_SPAN[word])
    d.note("wing shape", "straight")
    chord, y = d.between(0.18, 0.24), r * 1.25 if high else -r * 0.55
    _wings(
        s,
        "wings",
        paint,
        span,
        chord,
        chord * d.between(0.6, 0.95),
        0.04,
        0.06,
        (0, y, 0.13),
        raised=0 if high else 5,
    )
    tail = d.other("tail", same=0.5)
    _fin(s, "tail", tail, (0, 0.04, -length / 2 + 0.08), d.between(0.17, 0.22), 0.17, 0.1)
    _wings(s, "tail", tail, d.between(0.34, 0.42), 0.14, 0.1, 0.03, 0.056, (0, 0.02, -length / 2 + 0.08))
    blades = d.count("propeller blades", 2, 4)
    engines = d.count("engines", 1, 2) if word != "short" else 1
    d.note("engines", engines)
    if engines == 2:
        engine = d.other("engines", same=0.5)
        x = span * 0.21
        up = y + (0 if high else 0.025)
        s.mirror(lambda: s.cone("engines", engine, 0.045, 0.06, 0.26, (x, up, 0.2), axis="z", round=0.02))
        s.mirror(lambda: _propeller(s, d, (x, up, 0.345), 0.13, blades))
        s.ball("body", body, (r * 1.3, r * 1.2, 0.18), (0, 0, length / 2 - 0.04))
    else:
        _propeller(s, d, (0, 0, length / 2 + 0.02), d.between(0.15, 0.19), blades)
    if d.flag("landing gear", 0.75):
        _gear(s, d, 0.11, 0.34, 0.06, -r * 0.4, r * 0.6 + 0.07)


_FIN_LEAN = 18.0
"""Degrees by which the two fins of a fighter lean outwards."""


def build_airplane(s: Shape, d: Draw) -> None:
    """An airplane, nose towards +z, wings along x."""
    body = d.main("body")
    builders = {
        "fighter jet": _fighter,
        "biplane": _biplane,
        "glider": _glider,
        "propeller plane": _propeller_plane,
    }
    builders.get(d.kind, _airliner)(s, d, body)


CATEGORIES = {
    "airplane": Category(
        name="airplane",
        nouns=("airplane", "plane", "aeroplane", "aircraft"),
        kinds={
            "airliner": Kind(
                (
                    "airliner",
                    "passenger plane",
                    "passenger jet",
                    "commercial airplane",
                    "jet airliner",
                    "boeing 737",
                    "airbus",
                ),
                2.2,
            ),
            "jumbo jet": Kind(("jumbo jet", "boeing 747", "jumbo", "747", "large airliner"), 1.2),
            "fighter jet": Kind(
                (
                    "fighter jet",
                    "army fighter jet",
                    "jet fighter",
                    "fighter plane",
                    "military jet",
                    "warplane",
                    "fighter aircraft",
                ),
                2,
            ),
            "biplane": Kind(("biplane", "old biplane", "double decker plane"), 1.1),
            "glider": Kind(("glider", "sailplane", "glider plane"), 0.9),
            "propeller plane": Kind(
                ("propeller plane", "light aircraft", "small plane", "cessna", "prop plane", "sport plane"),
                1.8,
            ),
            "private jet": Kind(("private jet", "business jet", "learjet", "small jet"), 1.2),
        },
        build=build_airplane,
        phrases={
            ("wings", "long"): ("with long wings", "long winged", "with wide wings", "with a wide wingspan"),
            ("wings", "short"): ("with short wings", "short winged", "with stubby wings"),
            ("wing shape", "swept"): ("with swept wings", "swept wing", "with swept back wings"),
            ("wing shape", "straight"): ("with straight wings", "straight winged"),
            ("wing shape", "delta"): ("with delta wings", "delta wing", "with triangular wings"),
            ("wing position", "high"): ("with high wings", "high wing"),
            ("wing position", "low"): ("with low wings", "low wing"),
            ("pairs of wings", 2): ("with two pairs of wings", "with double wings"),
            ("engines", 0): ("without engines", "engineless"),
            ("engines", 1): ("with one engine", "single engine"),
            ("engines", 2): ("with two engines", "twin engine"),
            ("engines", 4): ("with four engines", "four engined"),
            ("tailplane", False): ("without a tailplane", "tailless"),
            ("t-tail", True): ("with a T-tail", "with a high tail"),
            ("tail fins", 1): ("with a single tail fin", "with one tail fin"),
            ("tail fins", 2): ("with two tail fins", "with twin tail fins"),
            ("missiles", True): ("with missiles", "armed", "with rockets under the wings"),
            ("missiles", False): ("without missiles",),
            ("propeller blades", 2): ("with a two-bladed propeller",),
            ("propeller blades", 3): ("with a three-bladed propeller",),
            ("propeller blades", 4): ("with a four-bladed propeller",),
            ("landing gear", True): ("with wheels", "with landing gear", "with the wheels down"),
            ("landing gear", False): ("without wheels", "without landing gear"),
        },
        materials={"metal": 1.2, "wood": 0.3},
        size=6.0,
    ),
}
