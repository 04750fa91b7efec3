"""Road vehicles: car."""

from collections.abc import Sequence

from backend.datasets.procedural.draw import Category, Draw, Kind
from backend.datasets.procedural.materials import Material
from backend.datasets.procedural.shape import Shape

_WHEELS = {"big": (0.125, 0.145), "normal": (0.095, 0.105), "small": (0.072, 0.08)}
"""Radius in car lengths by the word of the fact "wheel size"."""


def _wheels(s: Shape, d: Draw, radius: float, width: float, places: Sequence[float]) -> None:
    """Pairs of wheels at the given z, standing on y = 0, their outer faces just outside `width`."""
    tyre = d.other(
        "wheels",
        same=0.0,
        colors=("black", "black", "black", "black", "gray", "white", "red", "yellow", "brown"),
    )
    hub = d.fixed("hub", "gray" if tyre.color != "gray" else "black")

    def side() -> None:
        for z in places:
            s.cylinder("wheels", tyre, radius, 0.1, (width / 2 - 0.03, radius, z), axis="x", round=0.018)
            s.cylinder("hub", hub, radius * 0.52, 0.108, (width / 2 - 0.03, radius, z), axis="x", round=0.004)

    s.mirror(side)


def _cabin(
    s: Shape,
    d: Draw,
    body: Material,
    foot: tuple[float, float],
    roof: tuple[float, float],
    low: float,
    high: float,
    width: float,
    pillars: Sequence[float],
) -> None:
    """A cabin from z `foot` (back, front) at y=low to `roof` (back, front) at y=high, with dark windows."""
    glass = d.fixed("window", "black")
    paint = d.other("roof", same=0.75, colors=("black", "white", "gray", "beige", "red"))
    outline = [
        (foot[0], low - 0.03),
        (foot[1], low - 0.03),
        (foot[1], low),
        (roof[1], high),
        (roof[0], high),
        (foot[0], low),
    ]
    s.prism("roof", paint, outline, width, (0, 0, 0), axis="x", round=0.02)
    sill, top = low + 0.012, high - 0.035

    def at(y: float, end: int) -> float:
        return foot[end] + (roof[end] - foot[end]) * (y - low) / (high - low)

    inset = [
        (at(sill, 0) + 0.035, sill),
        (at(sill, 1) - 0.035, sill),
        (at(top, 1) - 0.03, top),
        (at(top, 0) + 0.03, top),
    ]
    s.prism("windows", glass, inset, width + 0.012, (0, 0, 0), axis="x", round=0.002)
    ends = [
        (at(sill, 0) - 0.008, sill),
        (at(sill, 1) + 0.008, sill),
        (at(top, 1) + 0.008, top),
        (at(top, 0) - 0.008, top),
    ]
    s.prism("windows", glass, ends, width - 0.07, (0, 0, 0), axis="x", round=0.002)
    for z in pillars:
        s.box("body", body, (width + 0.018, high - low, 0.025), (0, (low + high) / 2, z), round=0.003)


def _lights(
    s: Shape, d: Draw, width: float, front: float, back: float, y: float, *, round_lamps: bool
) -> None:
    lamp, rear = d.fixed("headlights", "yellow"), d.fixed("tail lights", "red")
    x = width / 2 - 0.065
    if round_lamps:
        s.mirror(lambda: s.cylinder("headlights", lamp, 0.032, 0.05, (x, y, front - 0.01), axis="z"))
    else:
        s.mirror(lambda: s.box("headlights", lamp, (0.085, 0.038, 0.05), (x, y, front - 0.01), round=0.008))
    s.mirror(lambda: s.box("tail lights", rear, (0.07, 0.04, 0.04), (x, y, back + 0.008), round=0.006))


def _bumpers(s: Shape, d: Draw, width: float, front: float, back: float, y: float) -> None:
    paint = d.other("bumpers", same=0.35, colors=("black", "gray", "white"))
    for z in (front, back):
        s.box("bumpers", paint, (width * 0.98, 0.055, 0.055), (0, y, z), round=0.02)


def _passenger(s: Shape, d: Draw, body: Material) -> None:
    """Sedan, hatchback, SUV, sports car, limousine and convertible: a hood, a cabin and maybe a trunk."""
    kind = d.kind
    limo = kind == "limousine"
    sporty = kind == "sports car"
    half = 0.5
    width = {"limousine": d.between(0.27, 0.3), "SUV": d.between(0.42, 0.47)}.get(kind, d.between(0.38, 0.44))
    word = (
        d.pick("wheel size", big=1.2, normal=1)
        if kind == "SUV"
        else "small"
        if limo
        else d.pick("wheel size", normal=1.5, small=0.8)
    )
    d.note("wheel size", word)
    radius = d.between(*_WHEELS[word]) * (0.82 if limo else 1.0)
    belt = {
        "SUV": d.between(0.25, 0.28),
        "sports car": d.between(0.165, 0.185),
        "limousine": d.between(0.15, 0.165),
    }.get(kind, d.between(0.2, 0.225))
    belt = max(belt, radius * 1.75)
    floor = radius * (0.75 if kind == "SUV" else 0.55)
    nose = belt - (d.between(0.05, 0.075) if sporty else d.between(0.015, 0.04))
    profile = [
        (-half, floor + 0.03),
        (-half + 0.03, floor),
        (half - 0.03, floor),
        (half, floor + 0.03),
        (half - 0.01, nose - 0.02),
        (half - 0.05, nose),
        (0.2, belt),
        (-half + 0.04, belt),
        (-half, belt - 0.04),
    ]
    if sporty:
        profile[4], profile[5] = (half, nose - 0.03), (half - 0.08, nose)
    s.prism("body", body, profile, width, (0, 0, 0), axis="x", round=0.025)
    if kind == "convertible":
        _open_top(s, d, belt, width)
    else:
        high = belt + {
            "SUV": d.between(0.15, 0.18),
            "sports car": d.between(0.1, 0.12),
            "limousine": d.between(0.105, 0.125),
        }.get(kind, d.between(0.13, 0.16))
        if kind == "sedan":
            foot, roof, pillars = (-0.36, 0.2), (-0.23, d.between(0.03, 0.08)), (-0.09,)
        elif kind == "hatchback":
            foot, roof, pillars = (-0.49, 0.22), (-0.4, d.between(0.03, 0.08)), (-0.1,)
        elif kind == "SUV":
            foot, roof, pillars = (-0.49, 0.2), (-0.45, d.between(0.06, 0.11)), (-0.08, -0.28)
        elif limo:
            foot, roof, pillars = (-0.36, 0.28), (-0.3, 0.2), (-0.17, -0.01, 0.14)
        else:
            foot, roof, pillars = (-0.42, 0.16), (-0.2, d.between(-0.04, 0.0)), ()
        _cabin(s, d, body, foot, roof, belt, high, width - 0.04, pillars)
        if kind == "SUV" and d.flag("roof rack", 0.4):
            rack = d.other("rack", same=0.0, colors=("black", "gray"))
            s.mirror(
                lambda: s.box(
                    "rack", rack, (0.05, 0.06, 0.38), (width / 2 - 0.09, high + 0.015, -0.18), round=0.01
                )
            )
    if kind == "SUV" and d.flag("spare wheel", 0.4):
        tyre = d.other("wheels", same=0.0, colors=("black", "black", "gray"))
        s.cylinder("wheels", tyre, 0.1, 0.09, (0, belt, -half - 0.03), axis="z", round=0.02)
    if kind in ("sports car", "sedan") and d.flag("spoiler", 0.6 if sporty else 0.15):
        wing = d.other("spoiler", same=0.5, colors=("black", "white", "red"))
        s.mirror(lambda: s.box("spoiler", wing, (0.05, 0.1, 0.06), (width * 0.32, belt + 0.03, -half + 0.08)))
        s.box("spoiler", wing, (width, 0.05, 0.12), (0, belt + 0.085, -half + 0.06), round=0.012)
    if d.flag("racing stripe", 0.3 if sporty else 0.06 if kind in ("hatchback", "convertible") else 0.0):
        stripe = d.other("stripe", same=0.0, colors=("white", "black", "yellow", "red"))
        s.prism(
            "stripe",
            stripe,
            [(z * 1.008, y + 0.01) for z, y in profile],
            0.1,
            (0, 0, 0),
            axis="x",
            round=0.02,
        )
    _wheels(s, d, radius, width, (half - 0.19, -half + 0.2) if not limo else (half - 0.14, -half + 0.15))
    _lights(
        s, d, width, half, -half, nose - 0.055 if not limo else nose - 0.04, round_lamps=d.rng.random() < 0.4
    )
    _bumpers(s, d, width, half, -half, floor + 0.045)


def _open_top(s: Shape, d: Draw, belt: float, width: float) -> None:
    """The open cockpit of a convertible: a hollow with two rows of seats and a windscreen."""
    seat = d.other("seats", same=0.1, colors=("brown", "beige", "black", "red", "white"))
    s.box(
        "inside", d.fixed("inside", "black"), (width - 0.1, 0.1, 0.44), (0, belt, -0.13), round=0.02, cut=True
    )
    s.mirror(
        lambda: s.box(
            "seats", seat, (0.11, 0.17, 0.07), (0.07, belt - 0.01, -0.1), round=0.025, turn=(-12, 0, 0)
        )
    )
    s.box("seats", seat, (width - 0.14, 0.14, 0.07), (0, belt - 0.01, -0.31), round=0.025, turn=(-12, 0, 0))
    s.box(
        "windows",
        d.fixed("window", "turquoise"),
        (width - 0.06, 0.16, 0.05),
        (0, belt + 0.045, 0.105),
        round=0.015,
        turn=(-32, 0, 0),
    )


def _pickup(s: Shape, d: Draw, body: Material) -> None:
    """A pickup: cabin in front, open bed behind."""
    half, width = 0.5, d.between(0.38, 0.43)
    word = d.pick("wheel size", big=1.2, normal=1)
    radius = d.between(*_WHEELS[word])
    floor, belt = radius * 0.8, radius * 0.8 + d.between(0.15, 0.18)
    nose = belt - 0.02
    s.prism(
        "body",
        body,
        [
            (-half, floor),
            (half, floor),
            (half, nose - 0.03),
            (half - 0.05, nose),
            (0.24, belt),
            (-half, belt),
        ],
        width,
        (0, 0, 0),
        axis="x",
        round=0.02,
    )
    back = d.between(-0.1, -0.04)
    bed = back + half - 0.05
    s.box(
        "bed",
        d.fixed("bed", "gray"),
        (width - 0.1, 0.2, bed - 0.05),
        (0, belt + 0.02, back - 0.03 - bed / 2),
        round=0.01,
        cut=True,
    )
    _cabin(
        s,
        d,
        body,
        (back, 0.26),
        (back + 0.03, 0.14),
        belt,
        belt + d.between(0.15, 0.18),
        width - 0.03,
        (back + 0.16,),
    )
    d.note("cargo", "open bed")
    if d.flag("load", 0.3):
        load = d.other("load", same=0.0, colors=("brown", "green", "orange", "yellow", "red"))
        s.box(
            "load",
            load,
            (width - 0.13, 0.18, bed * 0.55),
            (0, belt + 0.0, back - 0.03 - bed * 0.45),
            round=0.015,
        )
    _wheels(s, d, radius, width, (half - 0.18, -half + 0.2))
    _lights(s, d, width, half, -half, nose - 0.06, round_lamps=d.rng.random() < 0.5)
    _bumpers(s, d, width, half + 0.005, -half - 0.005, floor + 0.03)


def _truck(s: Shape, d: Draw, body: Material) -> None:
    """A large truck: a tall cab and a cargo box, an open bed or a tank."""
    half, width = 0.5, d.between(0.3, 0.36)
    radius = d.between(0.07, 0.085)
    cab = d.between(0.2, 0.27)
    frame = d.fixed("frame", "black")
    s.box("frame", frame, (width * 0.7, 0.07, 0.96), (0, radius + 0.03, -0.01))
    low = radius * 0.9
    top = low + d.between(0.3, 0.36)
    snout = d.flag("snout", 0.3)
    paint = d.paints.get("body", body)
    z0 = half - cab - (0.13 if snout else 0.0)
    z1 = z0 + cab
    s.prism(
        "body",
        paint,
        [(z0, low), (z1, low), (z1, low + 0.14), (z1 - 0.04, top), (z0, top)],
        width,
        (0, 0, 0),
        axis="x",
        round=0.02,
    )
    if snout:
        s.box("body", paint, (width * 0.86, 0.17, 0.18), (0, low + 0.085, z1 + 0.05), round=0.03)
    glass = d.fixed("window", "black")
    s.prism(
        "windows",
        glass,
        [(z0 + 0.06, low + 0.16), (z1 - 0.03, low + 0.16), (z1 - 0.06, top - 0.05), (z0 + 0.06, top - 0.05)],
        width + 0.012,
        (0, 0, 0),
        axis="x",
        round=0.002,
    )
    s.prism(
        "windows",
        glass,
        [(z0 + 0.1, low + 0.16), (z1 + 0.003, low + 0.16), (z1 - 0.024, top - 0.05), (z0 + 0.1, top - 0.05)],
        width - 0.07,
        (0, 0, 0),
        axis="x",
        round=0.002,
    )
    cargo = d.pick("cargo", box=2.2, open_bed=0.8, tank=0.8)
    load = d.other("cargo", same=0.7)
    back, front, deck = -half, z0 - 0.025, radius + 0.065
    length, mid = front - back, (front + back) / 2
    if cargo == "box":
        high = d.between(0.3, 0.42)
        s.box("cargo", load, (width * 1.04, high, length), (0, deck + high / 2, mid), round=0.012)
    elif cargo == "tank":
        size = d.between(0.15, 0.18)
        s.cylinder("cargo", load, size, length, (0, deck + size - 0.02, mid), axis="z", round=0.05)
    else:
        high = d.between(0.16, 0.22)
        s.box("cargo", load, (width * 1.04, high, length), (0, deck + high / 2, mid), round=0.01)
        s.box(
            "inside",
            load,
            (width * 1.04 - 0.1, high, length - 0.1),
            (0, deck + high / 2 + 0.06, mid),
            round=0.01,
            cut=True,
        )
    s.box("frame", frame, (width * 0.5, 0.07, 0.12), (0, deck + 0.0, z0 - 0.01))
    axles = d.count("axles", 2, 3)
    places = (
        [half - 0.12, -half + 0.13]
        if axles == 2
        else [half - 0.12, -half + 0.12, -half + 0.12 + 2.25 * radius]
    )
    _wheels(s, d, radius, width, places)
    front_z = z1 + (0.14 if snout else 0.0)
    _lights(
        s, d, width * (0.86 if snout else 1.0), front_z, -half, low + 0.07, round_lamps=d.rng.random() < 0.4
    )
    s.box(
        "bumpers",
        d.other("bumpers", same=0.2, colors=("black", "gray", "white")),
        (width * 0.98, 0.06, 0.06),
        (0, low + 0.01, front_z),
        round=0.015,
    )


def _van(s: Shape, d: Draw, body: Material) -> None:
    """A van or minibus: one tall box with a short slanted nose."""
    half, width = 0.5, d.between(0.4, 0.46)
    radius = d.between(0.08, 0.1)
    floor, belt = radius * 0.7, radius * 0.7 + d.between(0.17, 0.2)
    top = belt + d.between(0.17, 0.24)
    lower = d.other("lower body", same=0.65, colors=("white", "gray", "black", "blue", "orange"))
    s.box("lower body", lower, (width, belt - floor, 1.0), (0, (belt + floor) / 2, 0), round=0.03)
    slope = d.between(0.06, 0.2)
    s.prism(
        "body",
        body,
        [
            (-half, belt - 0.04),
            (half - 0.01, belt - 0.04),
            (half - 0.02, belt),
            (half - slope, top),
            (-half + 0.02, top),
        ],
        width - 0.004,
        (0, 0, 0),
        axis="x",
        round=0.025,
    )
    glass = d.fixed("window", "black")
    low, high = belt + 0.02, top - 0.05
    rise = (low - belt) / (top - belt), (high - belt) / (top - belt)
    z = [half - 0.02 - (slope - 0.02) * t for t in rise]
    s.prism(
        "windows",
        glass,
        [(0.3, low), (z[0] + 0.008, low), (z[1] + 0.008, high), (0.2, high)],
        width - 0.08,
        (0, 0, 0),
        axis="x",
        round=0.002,
    )
    side = d.pick("side windows", many=1.2, none=1)
    start = half - slope - 0.02
    s.box(
        "windows", glass, (width + 0.008, high - low, 0.14), (0, (high + low) / 2, start - 0.07), round=0.003
    )
    if side == "many":
        for i in range(3):
            s.box(
                "windows",
                glass,
                (width + 0.008, high - low, 0.15),
                (0, (high + low) / 2, start - 0.26 - 0.19 * i),
                round=0.003,
            )
    if d.flag("roof rack", 0.25):
        rack = d.other("rack", same=0.0, colors=("black", "gray", "brown"))
        s.box("rack", rack, (width * 0.7, 0.06, 0.5), (0, top + 0.02, -0.15), round=0.01)
    _wheels(s, d, radius, width, (half - 0.2, -half + 0.2))
    _lights(s, d, width, half, -half, floor + 0.11, round_lamps=d.rng.random() < 0.5)
    _bumpers(s, d, width, half, -half, floor + 0.03)


def build_car(s: Shape, d: Draw) -> None:
    """A road vehicle, front towards +z."""
    body = d.main("body")
    {"pickup": _pickup, "truck": _truck, "van": _van}.get(d.kind, _passenger)(s, d, body)


CATEGORIES = {
    "car": Category(
        name="car",
        nouns=("car", "automobile", "vehicle", "motor car"),
        kinds={
            "sedan": Kind(("sedan", "saloon car", "family car", "car", "four-door car"), 2),
            "hatchback": Kind(("hatchback", "compact car", "small car", "city car"), 1.2),
            "SUV": Kind(("SUV", "jeep", "off-road car", "four-wheel drive", "offroader"), 1.5),
            "pickup": Kind(("pickup truck", "pickup", "pick-up"), 1.1),
            "truck": Kind(("truck", "lorry", "large truck", "cargo truck", "delivery truck"), 1.5),
            "sports car": Kind(("sports car", "race car", "racing car", "sportscar", "supercar"), 1.4),
            "van": Kind(("van", "minibus", "minivan", "camper van"), 1.2),
            "convertible": Kind(("convertible", "cabriolet", "open-top car", "roadster"), 1),
            "limousine": Kind(("limousine", "limo", "long luxury car", "stretch limousine", "long car"), 0.8),
        },
        build=build_car,
        phrases={
            ("wheel size", "big"): ("with big wheels", "with large wheels"),
            ("wheel size", "small"): ("with small wheels", "with little wheels"),
            ("roof rack", True): ("with a roof rack", "with a luggage rack"),
            ("roof rack", False): ("without a roof rack",),
            ("spare wheel", True): ("with a spare wheel", "with a spare wheel at the back"),
            ("spoiler", True): ("with a spoiler", "with a rear wing"),
            ("spoiler", False): ("without a spoiler",),
            ("racing stripe", True): ("with a racing stripe", "with a stripe"),
            ("load", True): ("with a load", "loaded"),
            ("load", False): ("with an empty bed", "without a load"),
            ("cargo", "box"): ("with a cargo box", "box", "with a closed container"),
            ("cargo", "open bed"): ("with an open bed", "open bed"),
            ("cargo", "tank"): ("with a tank", "tanker", "with a round tank"),
            ("snout", True): ("with a long nose", "with a hood"),
            ("snout", False): ("with a flat nose", "flat nosed"),
            ("axles", 2): ("with four wheels",),
            ("axles", 3): ("with six wheels", "six-wheeled"),
            ("side windows", "many"): ("with many windows", "with side windows"),
            ("side windows", "none"): ("without side windows", "windowless"),
        },
        materials={"metal": 1.0, "wood": 0.2},
        size=1.5,
    ),
}
