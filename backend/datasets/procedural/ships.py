"""Ships: the hulls that boats share, cargo ships and cruise ships (kinds of watercraft)."""

from backend.datasets.procedural.draw import Draw
from backend.datasets.procedural.materials import Material
from backend.datasets.procedural.shape import Shape


def deck_outline(length: float, width: float, bow: float, stern: float = 0.85) -> list[tuple[float, float]]:
    """A boat seen from above, (x, z): pointed bow towards +z, its curve `bow` long."""
    w, h = width / 2, length / 2
    return [
        (-w * stern, -h),
        (w * stern, -h),
        (w, -h * 0.6),
        (w, h - bow),
        (w * 0.8, h - bow * 0.55),
        (w * 0.4, h - bow * 0.18),
        (0.0, h),
        (-w * 0.4, h - bow * 0.18),
        (-w * 0.8, h - bow * 0.55),
        (-w, h - bow),
        (-w, -h * 0.6),
    ]


def ship_hull(
    s: Shape, d: Draw, body: Material, length: float, width: float, height: float, bow: float
) -> float:
    """A ship's hull in three layers, keel on y = 0; returns the deck's height."""
    keel = d.other("keel", same=0.35, colors=("red", "black", "blue", "green", "brown"))
    s.prism(
        "keel",
        keel,
        deck_outline(length * 0.93, width * 0.86, bow),
        height * 0.36,
        (0, height * 0.18, -length * 0.02),
        axis="y",
        round=0.015,
    )
    s.prism(
        "hull",
        body,
        deck_outline(length * 0.97, width, bow),
        height * 0.68,
        (0, height * 0.64, -length * 0.01),
        axis="y",
        round=0.012,
    )
    # The bow rises above the deck.
    z = length / 2 - bow * 0.98
    s.prism(
        "hull",
        body,
        [
            (z, height * 0.7),
            (z + bow * 0.86, height * 0.7),
            (z + bow * 0.98, height * 1.35),
            (z + bow * 0.45, height * 1.22),
            (z, height * 0.98),
        ],
        width * 0.36,
        (0, 0, 0),
        axis="x",
        round=0.02,
        blend=0.03,
    )
    return height * 0.98


def cargo_ship(s: Shape, d: Draw, body: Material) -> None:
    """A freighter: long hull, bridge at the stern, containers or cranes."""
    width, height = d.between(0.17, 0.22), d.between(0.11, 0.15)
    deck = ship_hull(s, d, body, 1.0, width, height, d.between(0.18, 0.26))
    house = d.other("bridge", same=0.15, colors=("white", "beige", "yellow", "gray"))
    tall = d.between(0.15, 0.24)
    s.box("bridge", house, (width * 0.86, tall, 0.11), (0, deck + tall / 2 - 0.02, -0.37), round=0.01)
    s.box(
        "windows",
        d.fixed("window", "black"),
        (width * 0.78, 0.028, 0.122),
        (0, deck + tall - 0.05, -0.37),
        round=0.002,
    )
    funnel = d.other("funnel", same=0.2, colors=("red", "black", "blue", "orange", "yellow"))
    s.box("funnel", funnel, (0.065, tall * 0.8, 0.065), (0, deck + tall * 0.55, -0.455), round=0.02)
    cargo = d.pick("cargo", containers=1.6, cranes=0.8)
    if cargo == "containers":
        rows, wide = d.count("rows of containers", 3, 4), width * 0.43
        size = 0.58 / rows
        colors = ("red", "blue", "orange", "green", "yellow", "gray", "white", "turquoise", "brown")
        for i in range(rows):
            z = -0.29 + size * (i + 0.5)
            for side in (-1, 1):
                high = 0.085 * int(d.rng.integers(1, 4))
                paint = d.fixed("containers", str(d.rng.choice(colors)))
                s.box(
                    "containers",
                    paint,
                    (wide, high + 0.03, size - 0.02),
                    (side * wide * 0.5, deck + high / 2 - 0.01, z),
                    round=0.006,
                )
    else:
        crane = d.other("cranes", same=0.1, colors=("yellow", "orange", "white", "black"))
        for z in (-0.16, 0.12):
            s.box("cranes", crane, (0.06, 0.26, 0.06), (0, deck + 0.11, z))
            s.bar("cranes", crane, (0, deck + 0.15, z), (0, deck + 0.25, z + 0.19), 0.052)
        hatch = d.other("hatches", same=0.3, colors=("brown", "gray", "green"))
        for z in (-0.24, -0.05, 0.22):
            s.box("hatches", hatch, (width * 0.75, 0.07, 0.11), (0, deck + 0.015, z), round=0.01)


def cruise_ship(s: Shape, d: Draw, body: Material) -> None:
    """A cruise ship or ferry: decks stacked on a long hull, funnels."""
    width, height = d.between(0.17, 0.22), d.between(0.11, 0.14)
    deck = ship_hull(s, d, body, 1.0, width, height, d.between(0.2, 0.28))
    house, glass = (
        d.other("decks", same=0.35, colors=("white", "white", "beige", "gray")),
        d.fixed("window", "black"),
    )
    floors = d.count("decks", 2, 4)
    back, front = -0.44, d.between(0.22, 0.3)
    y = deck - 0.02
    for i in range(floors):
        w = width * (0.9 - 0.08 * i)
        length = front - back
        s.box("decks", house, (w, 0.075, length), (0, y + 0.0375, (front + back) / 2), round=0.015)
        s.box(
            "windows",
            glass,
            (w + 0.01, 0.024, length * 0.93),
            (0, y + 0.042, (front + back) / 2),
            round=0.002,
        )
        y += 0.068
        back, front = back + d.between(0.03, 0.06), front - d.between(0.05, 0.09)
    funnels = d.count("funnels", 1, 3)
    paint = d.other("funnel", same=0.2, colors=("red", "black", "blue", "orange", "yellow"))
    for i in range(funnels):
        z = (back + front) / 2 + 0.15 * (i - (funnels - 1) / 2)
        s.cylinder("funnel", paint, 0.042, 0.17, (0, y + 0.05, z), turn=(-12, 0, 0))
