"""Lighting: lamp. Floor, table, desk, mushroom, pillar and street lamps, and lanterns."""

from backend.datasets.procedural.draw import Category, Draw, Kind
from backend.datasets.procedural.materials import Material
from backend.datasets.procedural.shape import Point, Shape, smooth_profile

_STAND_COLORS = ("black", "white", "brown", "gray", "blue", "red")
_STAND_PATTERNS = ("metal", "gold", "wood")


def _shade(s: Shape, d: Draw, paint: Material, radius: float, height: float, at: Point) -> None:
    """A lampshade of a drawn form; `at` is the middle of its lower rim."""
    x, y, z = at
    form = d.pick("shade", cone=3, drum=2, dome=1.5, ball=1.5, square=1.3, bell=1.2)
    if form == "cone":
        s.cone("shade", paint, radius, radius * d.between(0.35, 0.62), height, (x, y + height / 2, z))
    elif form == "drum":
        s.cylinder("shade", paint, radius, height, (x, y + height / 2, z))
    elif form == "dome":
        tall = max(height * 0.9, radius * 0.7)
        s.lathe(
            "shade",
            paint,
            [
                (radius, 0),
                (radius * 0.97, tall * 0.3),
                (radius * 0.8, tall * 0.66),
                (radius * 0.5, tall * 0.91),
                (radius * 0.12, tall),
            ],
            at,
        )
    elif form == "ball":
        size = max(height, radius * 1.5)
        s.ball("shade", paint, (size * 1.04, size, size * 1.04), (x, y + size / 2 - 0.02, z))
    elif form == "square":
        side = radius * 0.92
        s.box("shade", paint, (2 * side, height, 2 * side), (x, y + height / 2, z), round=0.012)
    else:
        s.lathe(
            "shade",
            paint,
            [
                (radius, 0),
                (radius * 0.72, height * 0.22),
                (radius * 0.56, height * 0.6),
                (radius * 0.42, height),
            ],
            at,
        )
    if form in ("drum", "cone", "square") and d.flag("trim", 0.25):
        trim = d.other("trim", same=0.0)
        thick = height * 0.16
        if form == "square":
            s.box("trim", trim, (2 * radius * 0.96, thick, 2 * radius * 0.96), (x, y + thick / 2, z))
        else:
            s.cylinder("trim", trim, radius * 1.03, thick, (x, y + thick / 2, z))


def _base(s: Shape, d: Draw, paint: Material, radius: float, height: float) -> None:
    """A foot plate of a drawn form standing on the ground."""
    form = d.pick("base", round=3, square=2, domed=1.2)
    if form == "round":
        s.cylinder("base", paint, radius, height, (0, height / 2, 0), round=0.012)
    elif form == "square":
        s.box("base", paint, (1.8 * radius, height, 1.8 * radius), (0, height / 2, 0), round=0.012)
    else:
        s.lathe(
            "base",
            paint,
            [(radius, 0), (radius, height * 0.4), (radius * 0.7, height * 1.2), (radius * 0.3, height * 1.7)],
            (0, 0, 0),
        )


def _floor_lamp(s: Shape, d: Draw) -> None:
    shade, stand = d.main("shade"), d.other("stand", same=0.2, colors=_STAND_COLORS, patterns=_STAND_PATTERNS)
    height = d.between(0.2, 0.34)
    top = 1.0 - height
    thick = d.between(0.032, 0.044)
    s.cylinder("stand", stand, thick, top + 0.04, (0, top / 2 + 0.02, 0))
    if d.flag("tripod", 0.33):
        spread, joint = d.between(0.2, 0.3), d.between(0.4, 0.62)
        s.parts.pop()
        s.cylinder("stand", stand, thick, top - joint + 0.08, (0, (top + joint) / 2, 0))
        s.around(3, lambda: s.rod("stand", stand, (0, joint, 0), (0, 0.034, spread), 0.034), d.between(0, 60))
    else:
        _base(s, d, stand, d.between(0.15, 0.22), d.between(0.05, 0.07))
    _shade(s, d, shade, d.between(0.18, 0.29), height, (0, top, 0))


def _table_lamp(s: Shape, d: Draw) -> None:
    shade, body = d.main("shade"), d.other("body", same=0.2, colors=_STAND_COLORS, patterns=_STAND_PATTERNS)
    height, tall = d.between(0.34, 0.46), d.between(0.42, 0.58)
    wide = d.between(0.13, 0.22)
    form = d.pick("body", vase=2, ball=2, column=1.5, cone=1.2, block=1.2, stacked_balls=1)
    if form == "vase":
        profile = [
            (wide * 0.6, 0),
            (wide * 0.75, 0.03),
            (wide * 1.1, tall * 0.4),
            (wide * 0.95, tall * 0.6),
            (wide * 0.4, tall * 0.85),
            (wide * 0.38, tall),
        ]
        s.lathe("body", body, smooth_profile(profile), (0, 0, 0))
    elif form == "ball":
        size = min(2.3 * wide, tall * 0.85)
        s.cylinder("body", body, wide * 0.75, 0.06, (0, 0.03, 0), round=0.01)
        s.ball("body", body, (size * 1.1, size, size * 1.1), (0, 0.03 + size / 2, 0))
    elif form == "column":
        s.cylinder("body", body, wide * 0.48, tall, (0, tall / 2, 0))
        s.cylinder("body", body, wide * 1.05, 0.07, (0, 0.035, 0), round=0.012)
    elif form == "cone":
        s.cone("body", body, wide * 1.1, 0.05, tall, (0, tall / 2, 0))
    elif form == "block":
        s.box("body", body, (1.5 * wide, tall * 0.85, 1.5 * wide), (0, tall * 0.425, 0), round=0.02)
    else:
        step = tall * 0.33
        for i, share in enumerate((1.0, 0.85, 0.7)):
            s.ball("body", body, (2 * wide * share, step * 1.2, 2 * wide * share), (0, step * (i + 0.58), 0))
        s.cylinder("body", body, wide * 0.8, 0.055, (0, 0.0275, 0), round=0.01)
    s.cylinder("body", body, 0.036, tall * 0.5 + 0.1, (0, tall * 0.75 + 0.05, 0))
    _shade(s, d, shade, d.between(0.25, 0.36), height, (0, tall + 0.02, 0))


def _desk_lamp(s: Shape, d: Draw) -> None:
    head, base = d.main("head"), d.other("base", same=0.5, colors=_STAND_COLORS, patterns=_STAND_PATTERNS)
    arm = d.other("arm", same=0.35, colors=_STAND_COLORS, patterns=_STAND_PATTERNS)
    _base(s, d, base, d.between(0.18, 0.25), d.between(0.06, 0.09))
    joint = d.pick("arm", bent=3, straight=1.2, curved=1)
    reach, top = d.between(0.22, 0.36), d.between(0.68, 0.86)
    if joint == "bent":
        elbow = (0, top * d.between(0.5, 0.62), -d.between(0.16, 0.28))
        s.rod("arm", arm, (0, 0.05, 0), elbow, 0.032)
        s.rod("arm", arm, elbow, (0, top, reach * 0.75), 0.032)
        s.ball("joint", base, (0.105, 0.105, 0.105), elbow)
    elif joint == "straight":
        s.rod("arm", arm, (0, 0.05, 0), (0, top, 0.0), 0.034)
        s.rod("arm", arm, (0, top, 0), (0, top, reach), 0.034)
    else:
        radius = reach * 0.5
        s.rod("arm", arm, (0, 0.05, 0), (0, top - radius + 0.01, 0), 0.034)
        s.arc("arm", arm, radius, 0.068, 90, (0, top - radius, radius), turn=(0, 90, 0))
        top -= radius
        reach = 2 * radius
    end = reach * 0.75 if joint == "bent" else reach
    form = d.pick("head", cone=2.5, dome=1.5, bar=1, ball=0.8)
    wide, tall = d.between(0.16, 0.23), d.between(0.2, 0.28)
    tilt = (-d.between(15, 40), 0, 0) if joint != "curved" else (0, 0, 0)
    if form == "cone":
        s.cone("head", head, wide, wide * 0.36, tall, (0, top - tall * 0.25, end + 0.06), turn=tilt)
    elif form == "dome":
        s.lathe(
            "head",
            head,
            [
                (wide, -tall * 0.5),
                (wide * 0.95, -tall * 0.2),
                (wide * 0.7, tall * 0.18),
                (wide * 0.3, tall * 0.4),
            ],
            (0, top - tall * 0.2, end + 0.06),
            turn=tilt,
        )
    elif form == "bar":
        s.box("head", head, (0.15, 0.085, 2.3 * wide), (0, top, end + wide * 0.5), round=0.02)
    else:
        s.ball("head", head, (1.5 * wide, 1.5 * wide, 1.5 * wide), (0, top, end + 0.04))


def _mushroom_lamp(s: Shape, d: Draw) -> None:
    cap, stem = (
        d.main("shade"),
        d.other("stem", same=0.4, colors=("white", "black", "beige", "gray"), patterns=("gold",)),
    )
    wide, tall = d.between(0.34, 0.48), d.between(0.36, 0.62)
    high = d.between(0.24, 0.4)
    foot = d.between(0.12, 0.24)
    neck = d.between(0.06, 0.12)
    s.lathe(
        "stem",
        stem,
        [
            (foot, 0),
            (foot * 0.97, 0.05),
            (neck * 1.2, tall * 0.35),
            (neck, tall * 0.7),
            (neck * 1.3, tall + 0.05),
        ],
        (0, 0, 0),
    )
    form = d.pick("cap", domed=3, flat=1.2, pointed=1)
    lip = 0.04
    if form == "domed":
        profile = [
            (wide * 0.93, -lip),
            (wide, 0.02),
            (wide * 0.94, high * 0.36),
            (wide * 0.74, high * 0.7),
            (wide * 0.42, high * 0.93),
            (wide * 0.1, high),
        ]
    elif form == "flat":
        high *= 0.55
        profile = [
            (wide * 0.95, -lip),
            (wide, 0.01),
            (wide * 0.93, high * 0.5),
            (wide * 0.6, high * 0.92),
            (0.02, high),
        ]
    else:
        profile = [
            (wide * 0.95, -lip),
            (wide, 0.01),
            (wide * 0.72, high * 0.45),
            (wide * 0.32, high * 0.95),
            (0.02, high * 1.2),
        ]
    s.lathe("shade", cap, smooth_profile(profile), (0, tall, 0))
    if d.flag("spots", 0.25):
        spots = d.other("spots", same=0.0, colors=("white", "yellow", "black"))
        size, k = wide * 0.3, 0.72 if form == "domed" else 0.45
        s.around(
            5,
            lambda: s.ball("spots", spots, (size, size, size), (0, tall + high * k * 0.82, wide * 0.66)),
            36,
        )


def _pillar_lamp(s: Shape, d: Draw) -> None:
    shade, pillar = (
        d.main("shade"),
        d.other("pillar", same=0.25, patterns=("wood", "metal", "marble", "gold"), colors=_STAND_COLORS),
    )
    height = d.between(0.18, 0.28)
    top = 1.0 - height
    thick = d.between(0.055, 0.085)
    form = d.pick("pillar", round=2, square=1.5, stacked_balls=1, tapered=1)
    if form == "round":
        s.cylinder("pillar", pillar, thick, top, (0, top / 2, 0))
    elif form == "square":
        s.box("pillar", pillar, (1.8 * thick, top, 1.8 * thick), (0, top / 2, 0))
    elif form == "tapered":
        s.cone("pillar", pillar, thick * 1.4, thick * 0.6, top, (0, top / 2, 0))
    else:
        number = int(d.between(4, 7))
        step = (top - 0.04) / number
        for i in range(number):
            s.ball("pillar", pillar, (2.3 * thick, step * 1.25, 2.3 * thick), (0, 0.05 + step * (i + 0.5), 0))
    _base(s, d, pillar, d.between(0.14, 0.2), d.between(0.05, 0.08))
    _shade(s, d, shade, d.between(0.17, 0.26), height, (0, top - 0.005, 0))


def _lantern(s: Shape, d: Draw) -> None:
    frame, glass = (
        d.main("frame"),
        d.other("glass", same=0.0, colors=("yellow", "white", "orange"), patterns=("glass",)),
    )
    wide, tall = d.between(0.2, 0.28), d.between(0.42, 0.6)
    round_body = d.pick("plan", square=2, round=1.5) == "round"
    roof = d.between(0.18, 0.28)
    if round_body:
        s.cylinder("frame", frame, wide * 1.2, 0.1, (0, 0.05, 0), round=0.015)
        s.cylinder("glass", glass, wide * 0.88, tall, (0, 0.1 + tall / 2, 0))
        s.cone("roof", frame, wide * 1.3, 0.06, roof, (0, 0.1 + tall + roof / 2, 0))
        s.around(4, lambda: s.cylinder("frame", frame, 0.034, tall + 0.05, (0, 0.1 + tall / 2, wide * 0.92)))
    else:
        s.box("frame", frame, (2.3 * wide, 0.1, 2.3 * wide), (0, 0.05, 0), round=0.012)
        s.box("glass", glass, (1.72 * wide, tall, 1.72 * wide), (0, 0.1 + tall / 2, 0))
        s.box("roof", frame, (2.3 * wide, 0.07, 2.3 * wide), (0, 0.12 + tall, 0))
        s.cone("roof", frame, wide * 1.1, 0.06, roof, (0, 0.12 + tall + roof / 2, 0))
        at = wide * 0.87
        s.around(4, lambda: s.box("frame", frame, (0.09, tall + 0.04, 0.09), (at, 0.1 + tall / 2, at)))
    if d.flag("ring", 0.7):
        s.ring("handle", frame, 0.1, 0.06, (0, 0.1 + tall + roof + 0.08, 0), axis="z")


def _street_lamp(s: Shape, d: Draw) -> None:
    post = d.main("post")
    bulb = d.other("bulb", same=0.0, colors=("white", "yellow", "orange"))
    thick = d.between(0.036, 0.05)
    heads = d.pick("heads", single=2, double=2, hanging=1.2)
    top = d.between(0.74, 0.84)
    s.lathe(
        "post",
        post,
        [(0.13, 0), (0.13, 0.06), (0.08, 0.1), (0.07, 0.2), (thick, 0.24), (thick, top)],
        (0, 0, 0),
    )

    def head(x: float, y: float) -> None:
        s.cylinder("post", post, 0.07, 0.05, (x, y, 0))
        s.ball("bulb", bulb, (0.19, 0.19, 0.19), (x, y + 0.1, 0))
        s.cone("post", post, 0.115, 0.04, 0.08, (x, y + 0.19, 0))

    if heads == "single":
        head(0, top)
        s.cylinder("post", post, 0.055, 0.05, (0, top - 0.08, 0))
    elif heads == "double":
        wide = d.between(0.18, 0.26)
        s.bar("post", post, (-wide, top - 0.04, 0), (wide, top - 0.04, 0), 0.062)
        s.mirror(lambda: head(wide, top))
        s.ball("post", post, (0.13, 0.13, 0.13), (0, top + 0.01, 0))
    else:
        reach = d.between(0.12, 0.17)
        s.arc("post", post, reach, 0.068, 90, (reach, top, 0))
        s.cone("post", post, 0.13, 0.045, 0.12, (2 * reach, top - 0.03, 0))
        s.ball("bulb", bulb, (0.16, 0.16, 0.16), (2 * reach, top - 0.11, 0))


_BUILDERS = {
    "floor lamp": _floor_lamp,
    "table lamp": _table_lamp,
    "desk lamp": _desk_lamp,
    "mushroom lamp": _mushroom_lamp,
    "pillar lamp": _pillar_lamp,
    "lantern": _lantern,
    "street lamp": _street_lamp,
}


def build_lamp(s: Shape, d: Draw) -> None:
    """A lamp of the drawn kind; the main material is that of the shade (of the frame where there is none)."""
    _BUILDERS[d.kind](s, d)


CATEGORIES = {
    "lamp": Category(
        name="lamp",
        nouns=("lamp", "light", "luminaire"),
        kinds={
            "floor lamp": Kind(("floor lamp", "standing lamp", "standard lamp", "torchiere"), 2),
            "table lamp": Kind(("table lamp", "bedside lamp", "nightstand lamp", "reading lamp"), 3),
            "desk lamp": Kind(("desk lamp", "office lamp", "work lamp", "desk lamp with an arm"), 2.5),
            "mushroom lamp": Kind(("mushroom lamp", "mushroom-like lamp", "mushroom shaped lamp"), 1.5),
            "pillar lamp": Kind(
                ("pillar lamp", "lamp supported by a long pillar", "lamp on a long pillar", "column lamp"),
                1.5,
            ),
            "lantern": Kind(("lantern", "oil lamp", "camping lantern"), 1.2),
            "street lamp": Kind(("street lamp", "street light", "lamp post", "streetlight"), 1.2),
        },
        build=build_lamp,
        phrases={
            ("shade", "cone"): ("with a conical shade", "with a cone shaped shade", "with a tapered shade"),
            ("shade", "drum"): ("with a drum shade", "with a cylindrical shade", "with a round shade"),
            ("shade", "dome"): ("with a domed shade", "with a dome shade", "with a hemispherical shade"),
            ("shade", "ball"): ("with a ball shade", "with a spherical shade", "with a globe shade"),
            ("shade", "square"): ("with a square shade", "with a box shaped shade"),
            ("shade", "bell"): ("with a bell shade", "with a bell shaped shade"),
            ("trim", True): ("with a trim on the shade",),
            ("base", "round"): ("with a round base", "with a circular base"),
            ("base", "square"): ("with a square base",),
            ("base", "domed"): ("with a domed base",),
            ("tripod", True): ("with a tripod", "with three legs", "on a tripod"),
            ("tripod", False): ("without a tripod",),
            ("body", "vase"): ("with a vase shaped body",),
            ("body", "ball"): ("with a round body", "with a ball shaped body"),
            ("body", "column"): ("with a slim column",),
            ("body", "cone"): ("with a conical body",),
            ("body", "block"): ("with a block shaped body", "with a square body"),
            ("body", "stacked balls"): ("with a body of stacked balls",),
            ("arm", "bent"): ("with a bent arm", "with a jointed arm", "with an elbow"),
            ("arm", "straight"): ("with a straight arm",),
            ("arm", "curved"): ("with a curved neck", "with a gooseneck"),
            ("head", "cone"): ("with a conical head",),
            ("head", "dome"): ("with a domed head",),
            ("head", "bar"): ("with a bar shaped head", "with a light bar"),
            ("head", "ball"): ("with a ball shaped head",),
            ("cap", "domed"): ("with a domed cap",),
            ("cap", "flat"): ("with a flat cap",),
            ("cap", "pointed"): ("with a pointed cap",),
            ("spots", True): ("with spots", "with dots on the cap"),
            ("pillar", "round"): ("with a round pillar", "with a cylindrical pillar"),
            ("pillar", "square"): ("with a square pillar",),
            ("pillar", "stacked balls"): ("with a pillar of stacked balls",),
            ("pillar", "tapered"): ("with a tapered pillar",),
            ("plan", "square"): ("square",),
            ("plan", "round"): ("round", "cylindrical"),
            ("ring", True): ("with a ring handle", "with a ring on top"),
            ("ring", False): ("without a ring",),
            ("heads", "single"): ("with a single light",),
            ("heads", "double"): ("with two lights", "double headed"),
            ("heads", "hanging"): ("with a hanging light", "with a curved post"),
        },
        materials={"metal": 0.6, "glass": 0.4, "fabric": 0.6, "wood": 0.3},
        size=1.0,
    ),
}
