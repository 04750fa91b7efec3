"""Boats and ships: watercraft."""

from backend.datasets.procedural.draw import Category, Draw, Kind
from backend.datasets.procedural.materials import Material
from backend.datasets.procedural.shape import Shape
from backend.datasets.procedural.ships import cargo_ship, cruise_ship, deck_outline, ship_hull


def _open_hull(s: Shape, d: Draw, body: Material, length: float, width: float, height: float) -> None:
    """A rounded open boat: half an ellipsoid, hollowed; rim at y = height."""
    s.ball("hull", body, (width, 2 * height, length), (0, height, 0))
    inside = d.other("inside", same=0.15, colors=("brown", "beige", "white"))
    s.ball(
        "inside", inside, (width - 0.13, 2 * height - 0.14, length - 0.16), (0, height + 0.015, 0), cut=True
    )
    s.box("hull", body, (width * 1.2, height * 2, length * 1.2), (0, height * 2, 0), cut=True)


def _sail_boat(s: Shape, d: Draw, body: Material) -> None:
    """A sailing boat: a slim hull, one or two masts, triangular or square sails."""
    length, width = d.between(0.75, 0.92), d.between(0.24, 0.3)
    height = d.between(0.13, 0.17)
    s.prism(
        "hull",
        body,
        deck_outline(length * 0.9, width * 0.72, length * 0.45, 0.6),
        height * 0.5,
        (0, height * 0.28, -0.02),
        axis="y",
        round=0.02,
    )
    s.prism(
        "hull",
        body,
        deck_outline(length, width, length * 0.5, 0.7),
        height * 0.62,
        (0, height * 0.7, 0),
        axis="y",
        round=0.02,
    )
    deck = d.other("deck", same=0.15, colors=("brown", "beige", "white"), patterns=("wood",))
    s.prism(
        "deck",
        deck,
        deck_outline(length * 0.9, width * 0.8, length * 0.45, 0.7),
        0.05,
        (0, height, 0),
        axis="y",
    )
    if d.flag("cabin", 0.5):
        s.box(
            "cabin",
            d.other("cabin", same=0.3, colors=("white", "beige", "brown")),
            (width * 0.5, 0.09, length * 0.26),
            (0, height + 0.05, -length * 0.12),
            round=0.025,
        )
    mast, sail = (
        d.other("mast", same=0.1, colors=("brown", "beige", "white", "gray"), patterns=("wood",)),
        d.other("sail", same=0.25),
    )
    rig = d.pick("sails", triangular=2, square=0.8)
    top = d.between(0.92, 1.1)
    masts = d.count("masts", 1, 2)
    sails = 0
    for i in range(masts):
        z = (0.06 if rig == "triangular" else 0.0) if masts == 1 else (0.16, -0.22)[i]
        peak = top * (1.0 if i == 0 else d.between(0.75, 0.9))
        s.rod("mast", mast, (0, height * 0.5, z), (0, peak, z), 0.03)
        low = height + d.between(0.07, 0.11)
        if rig == "triangular":
            boom = length * (0.47 if masts == 1 else 0.31 if i == 0 else 0.26)
            s.prism(
                "sail",
                sail,
                [
                    (z - 0.01, low),
                    (z - 0.01, peak - 0.02),
                    (z - boom * 0.55, low + (peak - low) * 0.42),
                    (z - boom, low),
                ],
                0.055,
                (0, 0, 0),
                axis="x",
                round=0.008,
            )
            s.rod("mast", mast, (0, low - 0.01, z), (0, low - 0.01, z - boom), 0.029)
        else:
            wide = d.between(0.4, 0.5)
            for y, share in ((0.3, 1.0), (0.72, 0.75)):
                h = (peak - low) * 0.38
                s.box(
                    "sail",
                    sail,
                    (wide * share, h, 0.055),
                    (0, low + (peak - low) * y - 0.04, z + 0.035),
                    round=0.02,
                )
            sails += 1
        sails += 1
    if rig == "triangular" and d.flag("jib", 0.75):
        z = 0.06 if masts == 1 else 0.16
        tip = length / 2 - 0.04
        s.prism(
            "sail",
            sail,
            [(z + 0.02, height + 0.06), (tip, height - 0.01), (z + 0.02, top * 0.86)],
            0.055,
            (0, 0, 0),
            axis="x",
            round=0.008,
        )
        sails += 1
    d.note("sail count", sails)
    if d.flag("flag", 0.25):
        s.box(
            "flag",
            d.other("flag", same=0.0, colors=("red", "blue", "yellow", "white")),
            (0.05, 0.075, 0.13),
            (0, top + 0.0, (0.06 if masts == 1 else 0.16) - 0.06),
            round=0.005,
        )


def _yacht(s: Shape, d: Draw, body: Material) -> None:
    """A motor yacht or a speedboat: a sleek hull rising to the bow."""
    speed = d.kind == "speedboat"
    width, length = d.between(0.26, 0.34) if speed else d.between(0.24, 0.3), 1.0
    height = d.between(0.14, 0.18)
    s.prism(
        "keel",
        d.other("keel", same=0.5, colors=("black", "blue", "red")),
        deck_outline(length * 0.82, width * 0.78, 0.4),
        height * 0.5,
        (0, height * 0.25, -0.06),
        axis="y",
        round=0.03,
    )
    s.prism(
        "hull",
        body,
        deck_outline(length * 0.96, width, 0.46),
        height * 0.6,
        (0, height * 0.68, -0.02),
        axis="y",
        round=0.025,
    )
    s.prism(
        "hull",
        body,
        [
            (0.0, height * 0.6),
            (0.36, height * 0.6),
            (0.49, height * 1.32),
            (0.2, height * 1.2),
            (0.0, height * 0.95),
        ],
        width * 0.4,
        (0, 0, 0),
        axis="x",
        round=0.03,
        blend=0.05,
    )
    glass = d.fixed("window", "black")
    top = height * 0.96
    if speed:
        seat = d.other("seats", same=0.0, colors=("white", "red", "black", "beige", "brown"))
        s.box(
            "inside",
            d.fixed("inside", "gray"),
            (width - 0.12, 0.12, 0.44),
            (0, top, -0.19),
            round=0.02,
            cut=True,
        )
        s.box("seats", seat, (width - 0.11, 0.13, 0.07), (0, top - 0.02, -0.16), round=0.025)
        s.box("seats", seat, (width - 0.11, 0.13, 0.08), (0, top - 0.01, -0.38), round=0.025)
        s.box(
            "windshield",
            glass,
            (width * 0.75, 0.13, 0.05),
            (0, top + 0.05, 0.06),
            round=0.015,
            turn=(-38, 0, 0),
        )
        if d.flag("outboard motor", 0.7):
            motor = d.other("motor", same=0.1, colors=("black", "gray", "white", "red"))
            s.box("motor", motor, (0.09, 0.13, 0.1), (0, top + 0.05, -0.53), round=0.03)
            s.box("motor", motor, (0.055, 0.2, 0.06), (0, top - 0.1, -0.54), round=0.015)
        return
    house = d.other("cabin", same=0.4, colors=("white", "beige", "gray", "brown"))
    levels = d.count("decks", 1, 2)
    back, front, y = -0.4, d.between(0.16, 0.24), top - 0.01
    for i in range(levels):
        high, w = 0.105, width * (0.74 - 0.14 * i)
        outline = [(back, y), (front, y), (front - 0.11, y + high), (back + 0.02, y + high)]
        s.prism("cabin", house, outline, w, (0, 0, 0), axis="x", round=0.012)
        s.prism(
            "windows",
            glass,
            [
                (back + 0.06, y + 0.036),
                (front - 0.028, y + 0.036),
                (front - 0.075, y + 0.078),
                (back + 0.06, y + 0.078),
            ],
            w + 0.012,
            (0, 0, 0),
            axis="x",
            round=0.002,
        )
        y += high - 0.008
        back, front = back + 0.08, front - d.between(0.14, 0.18)
    s.prism(
        "cabin",
        house,
        [(back, y - 0.02), (back + 0.08, y - 0.02), (back + 0.03, y + 0.1), (back - 0.03, y + 0.1)],
        width * 0.4,
        (0, 0, 0),
        axis="x",
        round=0.01,
    )


def _rowing_boat(s: Shape, d: Draw, body: Material) -> None:
    """An open boat with thwarts and oars; long and low as a canoe."""
    canoe = d.kind == "canoe"
    length, width, height = (
        1.0,
        d.between(0.25, 0.3) if canoe else d.between(0.38, 0.48),
        d.between(0.14, 0.19) if canoe else d.between(0.2, 0.27),
    )
    _open_hull(s, d, body, length, width, height)
    if canoe:
        s.mirror(
            lambda: s.rod(
                "hull",
                body,
                (0, height * 0.4, length * 0.4),
                (0, height * 1.35, length * 0.49),
                0.04,
                blend=0.03,
            ),
            axis="z",
        )
    seat = d.other("seats", same=0.3, colors=("brown", "beige", "white", "red"), patterns=("wood",))
    seats = d.count("seats", 1, 3)
    for i in range(seats):
        z = 0.22 * (i - (seats - 1) / 2)
        inner = width * (1 - (2 * z / length) ** 2) ** 0.5 - 0.05
        s.box("seats", seat, (inner, 0.05, 0.08), (0, height - 0.045, z), round=0.01)
    if d.flag("oars", 0.35 if canoe else 0.65):
        oar = d.other("oars", same=0.15, colors=("brown", "beige", "red", "yellow"), patterns=("wood",))
        reach = width / 2 + d.between(0.13, 0.2)

        def pair() -> None:
            s.rod("oars", oar, (width * 0.2, height + 0.07, 0.02), (reach, height * 0.35, -0.12), 0.03)
            s.ball("oars", oar, (0.12, 0.065, 0.15), (reach, height * 0.35, -0.13), turn=(0, 30, -25))

        s.mirror(pair)


def _tug_boat(s: Shape, d: Draw, body: Material) -> None:
    """A tug or fishing boat: short and tubby, a wheelhouse, a chimney or a mast."""
    width, height = d.between(0.36, 0.44), d.between(0.2, 0.26)
    length = d.between(0.85, 1.0)
    deck = ship_hull(s, d, body, length, width, height, d.between(0.3, 0.38))
    house = d.other("cabin", same=0.15, colors=("white", "beige", "yellow", "brown", "red"))
    fishing = d.kind == "fishing boat"
    z = d.between(-0.22, -0.14) if fishing else d.between(0.0, 0.06)
    tall = d.between(0.2, 0.26)
    s.box("cabin", house, (width * 0.56, tall, 0.25), (0, deck + tall / 2 - 0.02, z), round=0.012)
    s.box(
        "windows",
        d.fixed("window", "black"),
        (width * 0.56 + 0.012, 0.07, 0.17),
        (0, deck + tall - 0.1, z),
        round=0.004,
    )
    s.box(
        "windows",
        d.fixed("window", "black"),
        (width * 0.42, 0.07, 0.262),
        (0, deck + tall - 0.1, z),
        round=0.004,
    )
    s.box(
        "roof",
        d.other("roof", same=0.4, colors=("white", "red", "brown", "black")),
        (width * 0.66, 0.055, 0.31),
        (0, deck + tall, z),
        round=0.012,
    )
    if fishing:
        mast = d.other("mast", same=0.1, colors=("brown", "white", "yellow"), patterns=("wood",))
        s.rod("mast", mast, (0, deck - 0.05, 0.1), (0, deck + d.between(0.42, 0.55), 0.1), 0.03)
        s.rod("mast", mast, (0, deck + 0.12, 0.1), (0, deck + 0.36, 0.3), 0.027)
        d.note("chimney", False)
    else:
        chimney = d.other("chimney", same=0.2, colors=("red", "black", "yellow", "orange"))
        s.cylinder(
            "chimney", chimney, 0.06, tall + 0.2, (0, deck + tall / 2 + 0.08, z - 0.19), turn=(-5, 0, 0)
        )
        d.note("chimney", True)
        if d.flag("tyres", 0.5):
            tyre = d.fixed("tyres", "black")
            s.mirror(
                lambda: (
                    [
                        s.ring("tyres", tyre, 0.06, 0.05, (width / 2 - 0.005, deck - 0.09, zz), axis="x")
                        for zz in (-0.2, 0.02)
                    ]
                    and None
                )
            )


def build_watercraft(s: Shape, d: Draw) -> None:
    """A boat or ship, bow towards +z."""
    body = d.main("hull")
    builders = {
        "sail boat": _sail_boat,
        "cargo ship": cargo_ship,
        "cruise ship": cruise_ship,
        "yacht": _yacht,
        "speedboat": _yacht,
        "rowing boat": _rowing_boat,
        "canoe": _rowing_boat,
        "tug boat": _tug_boat,
        "fishing boat": _tug_boat,
    }
    builders[d.kind](s, d, body)


CATEGORIES = {
    "watercraft": Category(
        name="watercraft",
        nouns=("boat", "watercraft", "vessel"),
        kinds={
            "sail boat": Kind(
                ("sail boat", "sailboat", "sailing boat", "boat with sail", "sailing ship"), 2.4
            ),
            "cargo ship": Kind(
                (
                    "cargo ship",
                    "big ship for transportation",
                    "freighter",
                    "container ship",
                    "big ship",
                    "transport ship",
                ),
                1.6,
            ),
            "cruise ship": Kind(
                ("cruise ship", "ferry", "ocean liner", "passenger ship", "steamship", "ship"), 1.3
            ),
            "yacht": Kind(("yacht", "motor yacht", "luxury yacht"), 1.2),
            "speedboat": Kind(("speedboat", "motor boat", "powerboat"), 1.1),
            "rowing boat": Kind(("rowing boat", "rowboat", "small boat", "wooden boat", "dinghy"), 1.5),
            "canoe": Kind(("canoe", "kayak"), 0.7),
            "tug boat": Kind(("tug boat", "tugboat", "tug"), 1),
            "fishing boat": Kind(("fishing boat", "trawler", "fishing vessel"), 0.9),
        },
        build=build_watercraft,
        phrases={
            ("sails", "triangular"): ("with triangular sails", "with sails", "with a sail"),
            ("sails", "square"): ("with square sails", "square rigged"),
            ("sail count", 1): ("with one sail", "with a single sail"),
            ("sail count", 2): ("with two sails",),
            ("sail count", 3): ("with three sails",),
            ("sail count", 4): ("with four sails",),
            ("masts", 1): ("with one mast", "single-masted"),
            ("masts", 2): ("with two masts", "two-masted"),
            ("cabin", True): ("with a cabin",),
            ("cabin", False): ("without a cabin",),
            ("flag", True): ("with a flag",),
            ("cargo", "containers"): ("with containers", "loaded with containers"),
            ("cargo", "cranes"): ("with cranes", "without containers"),
            ("rows of containers", 3): ("with three rows of containers",),
            ("rows of containers", 4): ("with four rows of containers",),
            ("decks", 1): ("with one deck",),
            ("decks", 2): ("with two decks", "with double decks"),
            ("decks", 3): ("with three decks",),
            ("decks", 4): ("with four decks",),
            ("funnels", 1): ("with one funnel", "with a chimney"),
            ("funnels", 2): ("with two funnels", "with two chimneys"),
            ("funnels", 3): ("with three funnels", "with three chimneys"),
            ("outboard motor", True): ("with an outboard motor", "with a motor"),
            ("outboard motor", False): ("without an outboard motor",),
            ("oars", True): ("with oars", "with paddles"),
            ("oars", False): ("without oars", "without paddles"),
            ("seats", 1): ("with one seat", "with one bench"),
            ("seats", 2): ("with two seats", "with two benches"),
            ("seats", 3): ("with three seats", "with three benches"),
            ("chimney", True): ("with a chimney", "with a smokestack"),
            ("chimney", False): ("without a chimney",),
            ("tyres", True): ("with tyres on the sides", "with fenders"),
        },
        materials={"wood": 2.0, "metal": 0.6},
        size=8.0,
    ),
}
