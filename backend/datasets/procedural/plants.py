"""Plants: tree. The main material is that of the leaves (of the trunk where the tree is bare)."""

import math

from backend.datasets.procedural.draw import Category, Draw, Kind
from backend.datasets.procedural.materials import Material
from backend.datasets.procedural.shape import Shape


def _pine(s: Shape, d: Draw, leaves: Material, trunk: Material) -> None:
    tiers, wide = d.count("tiers", 2, 5), d.between(0.24, 0.38)
    low = d.between(0.12, 0.24)
    s.cone("trunk", trunk, d.between(0.06, 0.085), 0.05, low + 0.2, (0, (low + 0.2) / 2, 0))
    step = (1.0 - low) / (tiers + 0.6)
    for i in range(tiers):
        radius = wide * (1 - 0.72 * i / tiers)
        tall = step * 1.6
        s.cone(
            "leaves",
            leaves,
            radius,
            radius * 0.12 if i == tiers - 1 else radius * 0.32,
            tall,
            (0, low + step * i + tall / 2, 0),
            round=0.012,
        )
    if d.flag("star", 0.12):
        s.ball(
            "star",
            d.other("star", same=0.0, colors=("yellow", "red"), patterns=("gold",)),
            (0.13, 0.13, 0.13),
            (0, 1.02, 0),
        )


def _broadleaf(s: Shape, d: Draw, leaves: Material, trunk: Material) -> None:
    tall, wide = d.between(0.3, 0.46), d.between(0.5, 0.8)
    s.cone("trunk", trunk, d.between(0.065, 0.1), 0.055, tall + 0.25, (0, (tall + 0.25) / 2, 0))
    form = d.pick("crown", round=2, cloudy=2.5, flat=1, oval=1)
    if form == "round":
        s.ball("leaves", leaves, (wide, wide * 0.95, wide), (0, tall + wide * 0.42, 0))
    elif form == "oval":
        s.ball("leaves", leaves, (wide * 0.8, wide * 1.15, wide * 0.8), (0, tall + wide * 0.48, 0))
    elif form == "flat":
        s.ball("leaves", leaves, (wide * 1.25, wide * 0.5, wide * 1.25), (0, tall + wide * 0.22, 0))
        s.ball("leaves", leaves, (wide * 0.7, wide * 0.42, wide * 0.7), (0.05, tall + wide * 0.42, 0))
    else:
        s.ball("leaves", leaves, (wide * 0.75, wide * 0.7, wide * 0.75), (0, tall + wide * 0.55, 0))
        number = int(d.between(3, 6))
        for i in range(number):
            angle = 2 * math.pi * (i + d.between(-0.2, 0.2)) / number
            size = wide * d.between(0.48, 0.64)
            reach = wide * 0.31
            s.ball(
                "leaves",
                leaves,
                (size, size, size),
                (reach * math.cos(angle), tall + wide * d.between(0.22, 0.4), reach * math.sin(angle)),
                blend=0.03,
            )
    if d.flag("fruit", 0.2):
        fruit = d.other("fruit", same=0.0, colors=("red", "orange", "yellow"))
        height, flat = (
            tall + wide * (0.24 if form == "flat" else 0.42),
            {"flat": 0.58, "oval": 0.38}.get(form, 0.47),
        )
        start = d.between(0, 60)
        s.around(5, lambda: s.ball("fruit", fruit, (0.1, 0.1, 0.1), (0, height, wide * flat)), start)
        s.around(
            4,
            lambda: s.ball("fruit", fruit, (0.1, 0.1, 0.1), (0, height + wide * 0.2, wide * flat * 0.78)),
            start + 40,
        )
    if d.flag("branches", 0.3):
        s.rod("trunk", trunk, (0, tall * 0.6, 0), (wide * 0.3, tall + wide * 0.24, 0), 0.04)


def _palm(s: Shape, d: Draw, leaves: Material, trunk: Material) -> None:
    top, lean = d.between(0.6, 0.76), d.between(0, 0.22)
    x = [0.0, lean * 0.3, lean]
    s.rod("trunk", trunk, (x[0], 0.06, 0), (x[1], top * 0.5, 0), 0.066, end_radius=0.052)
    s.rod("trunk", trunk, (x[1], top * 0.5, 0), (x[2], top, 0), 0.052, end_radius=0.042)
    number = d.count("fronds", 5, 8)
    reach, droop = d.between(0.34, 0.44), d.between(0.06, 0.2)

    def frond() -> None:
        s.ball("leaves", leaves, (0.13, 0.065, reach * 0.75), (0, 0.075, reach * 0.3), turn=(-18, 0, 0))
        s.ball(
            "leaves",
            leaves,
            (0.12, 0.06, reach * 0.75),
            (0, 0.09 - droop * 0.5, reach * 0.78),
            turn=(24 + 90 * droop, 0, 0),
        )

    s.move(lambda: s.around(number, frond, d.between(0, 60)), (x[2], top, 0))
    s.ball("leaves", leaves, (0.14, 0.14, 0.14), (x[2], top + 0.04, 0))
    if d.flag("coconuts", 0.4):
        fruit = d.other("coconuts", same=0.0, colors=("brown", "orange", "yellow"))
        s.move(
            lambda: s.around(3, lambda: s.ball("coconuts", fruit, (0.11, 0.11, 0.11), (0, -0.03, 0.07))),
            (x[2], top, 0),
        )


def _cypress(s: Shape, d: Draw, leaves: Material, trunk: Material) -> None:
    wide, low = d.between(0.11, 0.2), d.between(0.08, 0.16)
    s.cylinder("trunk", trunk, 0.05, low + 0.1, (0, low / 2 + 0.05, 0))
    if d.pick("crown", pointed=2, oval=1) == "pointed":
        s.lathe(
            "leaves",
            leaves,
            [
                (wide * 0.5, low),
                (wide * 0.85, low + 0.07),
                (wide, low + 0.18),
                (wide * 0.97, 0.4),
                (wide * 0.83, 0.58),
                (wide * 0.6, 0.76),
                (wide * 0.34, 0.9),
                (0.03, 1.0),
            ],
            (0, 0, 0),
        )
    else:
        s.ball("leaves", leaves, (2 * wide, 1.0 - low, 2 * wide), (0, low + (1 - low) / 2, 0))


def _bare(s: Shape, d: Draw, wood: Material) -> None:
    split = d.between(0.36, 0.48)
    s.rod("trunk", wood, (0, 0.09, 0), (0, split, 0), 0.09, end_radius=0.07)
    number = d.count("branches", 3, 5)
    for i in range(number):
        angle = 2 * math.pi * (i + d.between(-0.15, 0.15)) / number
        out, up = d.between(0.2, 0.3), d.between(0.16, 0.26)
        c, z = math.cos(angle), math.sin(angle)
        elbow = (out * c, split + up, out * z)
        s.rod("branches", wood, (0, split - 0.06, 0), elbow, 0.056, end_radius=0.042)
        for twist in (-0.5, 0.5):
            c2, z2 = math.cos(angle + twist), math.sin(angle + twist)
            tip = (elbow[0] + 0.17 * c2, elbow[1] + d.between(0.12, 0.24), elbow[2] + 0.17 * z2)
            s.rod("branches", wood, elbow, tip, 0.04, end_radius=0.03)
    s.rod("branches", wood, (0, split - 0.04, 0), (0.03, split + 0.42, 0.02), 0.06, end_radius=0.032)


def _bonsai(s: Shape, d: Draw, leaves: Material, trunk: Material) -> None:
    bend = d.between(0.12, 0.24)
    low = 0.05
    if d.flag("pot", 0.6):
        pot = d.other("pot", same=0.0)
        low = 0.2
        s.prism("pot", pot, [(0.34, 0.2), (0.27, 0), (-0.27, 0), (-0.34, 0.2)], 0.44, (0, 0, 0), round=0.02)
    s.rod("trunk", trunk, (-0.05, low, 0), (bend, low + 0.2, 0), 0.075, end_radius=0.06)
    s.rod("trunk", trunk, (bend, low + 0.2, 0), (-bend * 0.5, low + 0.48, 0), 0.06, end_radius=0.045)
    s.rod("trunk", trunk, (bend, low + 0.2, 0), (bend + 0.22, low + 0.36, 0), 0.045)
    size = d.between(0.4, 0.55)
    s.ball("leaves", leaves, (size * 1.2, size * 0.55, size), (-bend * 0.5, low + 0.56, 0))
    s.ball("leaves", leaves, (size * 0.85, size * 0.42, size * 0.75), (bend + 0.24, low + 0.4, 0.02))
    if d.flag("left branch", 0.6):
        s.rod("trunk", trunk, (0.02, low + 0.36, 0), (-bend - 0.2, low + 0.3, 0.04), 0.042)
        s.ball("leaves", leaves, (size * 0.7, size * 0.38, size * 0.65), (-bend - 0.22, low + 0.33, 0.04))


def _topiary(s: Shape, d: Draw, leaves: Material, trunk: Material) -> None:
    number, size = d.count("balls", 1, 3), d.between(0.4, 0.52)
    s.cylinder("trunk", trunk, 0.055, 0.5, (0, 0.25, 0))
    low = d.between(0.16, 0.34)
    if d.flag("pot", 0.5):
        s.cone("pot", d.other("pot", same=0.0), 0.17, 0.23, 0.26, (0, 0.13, 0), round=0.015)
        low = max(low, 0.3)
    y = low
    for i in range(number):
        across = size * (1 - 0.22 * i)
        s.ball("leaves", leaves, (across, across, across), (0, y + across / 2, 0))
        y += across * 0.92


def build_tree(s: Shape, d: Draw) -> None:
    """A tree of the drawn kind."""
    if d.kind == "bare tree":
        wood = d.main("trunk")
        if wood.pattern == "leaf":
            del d.paints["trunk"]
            wood = d.other(
                "trunk", same=0.0, colors=("brown", "brown", "gray", "white", "black"), patterns=("wood",)
            )
        _bare(s, d, wood)
        return
    leaves = d.main("leaves")
    trunk = d.other(
        "trunk", same=0.0, colors=("brown", "brown", "gray", "white", "black"), patterns=("wood",)
    )
    builders = {
        "pine": _pine,
        "broadleaf tree": _broadleaf,
        "palm": _palm,
        "cypress": _cypress,
        "bonsai": _bonsai,
        "topiary": _topiary,
    }
    builders[d.kind](s, d, leaves, trunk)


CATEGORIES = {
    "tree": Category(
        name="tree",
        nouns=("tree",),
        kinds={
            "pine": Kind(("pine", "fir", "pine tree", "fir tree", "christmas tree", "conifer"), 2),
            "broadleaf tree": Kind(
                ("broadleaf tree", "oak tree", "apple tree", "leafy tree", "deciduous tree"), 2.5
            ),
            "palm": Kind(("palm", "palm tree", "coconut palm"), 1.5),
            "cypress": Kind(("cypress", "poplar", "cypress tree", "poplar tree"), 1.1),
            "bare tree": Kind(("bare tree", "dead tree", "leafless tree", "tree without leaves"), 1),
            "bonsai": Kind(("bonsai", "bonsai tree"), 1),
            "topiary": Kind(("topiary tree", "topiary", "ball tree", "bush on a trunk"), 0.9),
        },
        build=build_tree,
        phrases={
            ("tiers", 2): ("with two tiers", "with two layers"),
            ("tiers", 3): ("with three tiers", "with three layers"),
            ("tiers", 4): ("with four tiers", "with four layers"),
            ("tiers", 5): ("with five tiers",),
            ("star", True): ("with a ball on top",),
            ("crown", "round"): ("with a round crown", "with a ball shaped crown"),
            ("crown", "cloudy"): ("with a cloud shaped crown", "with a bushy crown"),
            ("crown", "flat"): ("with a flat crown", "with an umbrella crown"),
            ("crown", "oval"): ("with an oval crown",),
            ("crown", "pointed"): ("with a pointed crown",),
            ("fruit", True): ("with fruit", "with apples"),
            ("fruit", False): ("without fruit",),
            ("coconuts", True): ("with coconuts",),
            ("coconuts", False): ("without coconuts",),
            ("fronds", 5): ("with five fronds",),
            ("fronds", 8): ("with eight fronds", "with many fronds"),
            ("branches", 3): ("with three branches",),
            ("branches", 5): ("with many branches",),
            ("pot", True): ("in a pot",),
            ("pot", False): ("without a pot",),
            ("balls", 1): ("with one ball", "with a single ball"),
            ("balls", 2): ("with two balls",),
            ("balls", 3): ("with three balls",),
        },
        materials={"leaf": 5.0},
        size=5.0,
    ),
}
