"""Buildings: house. Cottages, barns, towers, skyscrapers, castles, modern houses and churches."""

from backend.datasets.procedural.draw import Category, Draw, Kind
from backend.datasets.procedural.materials import Material
from backend.datasets.procedural.shape import Shape

_ROOFS = ("red", "brown", "black", "gray", "blue", "green", "orange")


def _gable(
    s: Shape, paint: Material, wide: float, deep: float, low: float, rise: float, eave: float = 0.06
) -> None:
    """A gable roof whose ridge runs along x: the slopes look to the front and back."""
    half = deep / 2 + eave
    drop = rise * eave / half
    s.prism(
        "roof",
        paint,
        [(half, low - drop), (0, low + rise), (-half, low - drop)],
        wide + 2 * eave,
        (0, 0, 0),
        axis="x",
    )


def _gable_front(
    s: Shape, paint: Material, wall: Material, wide: float, deep: float, low: float, rise: float
) -> None:
    """A gable roof whose ridge runs along z, with the wall's triangle seen from the front."""
    half = wide / 2
    s.prism("walls", wall, [(half, low - 0.02), (0, low + rise), (-half, low - 0.02)], deep, (0, 0, 0))
    thick, eave = 0.075, 0.09
    slope = rise / half
    x, y = half + eave, low - slope * eave
    s.mirror(
        lambda: s.prism(
            "roof",
            paint,
            [(x, y), (0, low + rise), (0, low + rise + thick * 1.3), (x, y + thick)],
            deep + 0.12,
            (0, 0, 0),
        )
    )


def _hipped(s: Shape, paint: Material, wide: float, deep: float, low: float, rise: float, hip: float) -> None:
    """A roof sloping to all four sides, `hip` of the length at each end sloped. It cuts: build it first."""
    half, top = wide / 2, low + rise
    s.prism("roof", paint, [(deep / 2, low), (0, top), (-deep / 2, low)], wide, (0, 0, 0), axis="x")
    beyond = [
        (half, low),
        (half + 0.3, low - 0.1),
        (half + 0.3, top + 0.1),
        (half - hip * 1.1, low + rise * 1.1),
    ]
    s.prism("roof", paint, beyond, deep * 1.2, (0, 0, 0), cut=True)
    s.prism("roof", paint, [(-x, y) for x, y in beyond], deep * 1.2, (0, 0, 0), cut=True)


def _window(s: Shape, paint: Material, x: float, y: float, z: float, wide: float, tall: float) -> None:
    s.box("windows", paint, (wide, tall, 0.03), (x, y, z), round=0.004)


def _chimney(s: Shape, d: Draw, x: float, low: float, top: float, z: float) -> None:
    if d.flag("chimney", 0.55):
        paint = d.other("chimney", same=0.2, colors=("gray", "red", "brown", "white"), patterns=("brick",))
        s.box("chimney", paint, (0.12, top - low, 0.12), (x, (top + low) / 2, z))


def _cottage(s: Shape, d: Draw, walls: Material, roof: Material, door: Material, glass: Material) -> None:
    wide, deep = d.between(0.75, 1.0), d.between(0.55, 0.8)
    stories = d.count("stories", 1, 2)
    tall, rise = d.between(0.34, 0.42) * (1 if stories == 1 else 1.75), d.between(0.26, 0.42)
    form = d.pick("roof", gabled=2, front_gable=2, hipped=1.3)
    if form == "hipped":
        _hipped(s, roof, wide + 0.14, deep + 0.14, tall - 0.005, rise, wide * d.between(0.25, 0.45))
    s.box("walls", walls, (wide, tall, deep), (0, tall / 2, 0))
    front = deep / 2
    if form == "gabled":
        _gable(s, roof, wide, deep, tall, rise)
    elif form == "front gable":
        _gable_front(s, roof, walls, wide, deep, tall, rise)
    _chimney(s, d, wide * 0.3, tall, tall + rise + 0.12, -deep * 0.1 if form != "front gable" else 0)
    at = d.pick("door", center=2, side=1)
    x = 0.0 if at == "center" else -wide * 0.27
    s.box("door", door, (0.15, 0.26, 0.04), (x, 0.13, front))
    for place in (-0.3, 0.0, 0.3):
        if abs(place * wide - x) > 0.15:
            _window(s, glass, place * wide, 0.2, front, 0.13, 0.13)
        if stories == 2:
            _window(s, glass, place * wide, tall * 0.72, front, 0.13, 0.14)
    s.mirror(lambda: s.box("windows", glass, (0.03, 0.13, 0.13), (wide / 2, tall * 0.55, 0), round=0.004))
    if d.flag("porch", 0.35):
        porch = d.other("porch", same=0.3, colors=("white", "brown"), patterns=("wood",))
        span, out = d.between(0.34, 0.5), 0.2
        s.box("porch", porch, (span, 0.06, out + 0.04), (x, 0.3, front + out / 2), round=0.01)
        s.box("porch", porch, (span, 0.05, out + 0.04), (x, 0.025, front + out / 2))
        for side in (-1, 1):
            s.box("porch", porch, (0.06, 0.3, 0.06), (x + side * (span / 2 - 0.04), 0.15, front + out - 0.02))


def _barn(s: Shape, d: Draw, walls: Material, roof: Material, door: Material, glass: Material) -> None:
    wide, deep, tall = d.between(0.6, 0.75), d.between(0.75, 1.0), d.between(0.36, 0.46)
    knee, rise = d.between(0.14, 0.2), d.between(0.26, 0.34)
    half = wide / 2
    s.prism(
        "walls",
        walls,
        [
            (half, 0),
            (half, tall),
            (half * 0.62, tall + knee),
            (0, tall + rise),
            (-half * 0.62, tall + knee),
            (-half, tall),
            (-half, 0),
        ],
        deep,
        (0, 0, 0),
    )
    t = 0.07
    s.mirror(
        lambda: s.prism(
            "roof",
            roof,
            [
                (half + 0.05, tall - 0.05),
                (half * 0.62, tall + knee),
                (0, tall + rise),
                (0, tall + rise + t),
                (half * 0.62 + 0.04, tall + knee + t),
                (half + 0.11, tall - 0.03),
            ],
            deep + 0.1,
            (0, 0, 0),
        )
    )
    s.box("door", door, (wide * 0.46, tall * 0.8, 0.05), (0, tall * 0.4, deep / 2))
    _window(s, glass, 0, tall + knee * 0.5, deep / 2, 0.15, 0.13)
    if d.flag("silo", 0.4):
        radius, high = d.between(0.13, 0.18), d.between(0.65, 0.9)
        silo = d.other("silo", same=0.3, colors=("white", "gray", "red"), patterns=("metal",))
        s.cylinder("silo", silo, radius, high, (half + radius - 0.02, high / 2, 0))
        s.ball("silo", silo, (2 * radius, 1.4 * radius, 2 * radius), (half + radius - 0.02, high, 0))


def _tower_house(s: Shape, d: Draw, walls: Material, roof: Material, door: Material, glass: Material) -> None:
    round_plan = d.pick("plan", round=1, square=1) == "round"
    stories = d.count("stories", 2, 4)
    radius, tall, rise = d.between(0.2, 0.27), d.between(0.6, 0.72), d.between(0.26, 0.42)
    form = d.pick("roof", pointed=2.5, flat=1, domed=1)
    if form == "pointed":
        if round_plan:
            s.cone("roof", roof, radius * 1.35, 0.025, rise, (0, tall + rise / 2, 0))
        else:
            _hipped(s, roof, 2.6 * radius, 2.6 * radius, tall, rise, 1.3 * radius)
    elif form == "domed":
        s.ball("roof", roof, (2.3 * radius, 2.0 * radius, 2.3 * radius), (0, tall, 0))
    else:
        s.cylinder("roof", roof, radius * 1.4, 0.09, (0, tall + 0.03, 0))
    if round_plan:
        s.cone("walls", walls, radius * 1.1, radius, tall + 0.01, (0, tall / 2, 0))
    else:
        s.box("walls", walls, (2 * radius, tall + 0.01, 2 * radius), (0, tall / 2, 0))
    front = radius * (1.08 if round_plan else 1.0)
    s.box("door", door, (0.14, 0.22, 0.08), (0, 0.11, front - 0.01))
    step = (tall - 0.3) / max(stories - 1, 1)
    for i in range(stories - 1):
        y = 0.33 + step * i
        for x, z in ((0, 1), (1, 0), (-1, 0)):
            s.box(
                "windows",
                glass,
                (0.11, 0.11, 0.06) if z else (0.06, 0.11, 0.11),
                (x * front * 0.96, y, z * front * 0.96),
                round=0.004,
            )


def _skyscraper(s: Shape, d: Draw, walls: Material, roof: Material, door: Material, glass: Material) -> None:
    wide, form = d.between(0.24, 0.34), d.pick("form", box=2, stepped=1.3, round=1, tapered=1)
    bands = d.count("window rows", 4, 7)
    radius = wide / 2
    top = 0.9
    if form == "round":
        s.cylinder("walls", walls, radius, top, (0, top / 2, 0))
    elif form == "tapered":
        s.prism(
            "walls",
            walls,
            [(radius * 1.2, 0), (radius * 0.6, top), (-radius * 0.6, top), (-radius * 1.2, 0)],
            wide,
            (0, 0, 0),
        )
    elif form == "stepped":
        s.box("walls", walls, (wide * 1.35, top * 0.42, wide * 1.35), (0, top * 0.21, 0))
        s.box("walls", walls, (wide, top * 0.75, wide), (0, top * 0.375, 0))
        s.box("walls", walls, (wide * 0.65, top, wide * 0.65), (0, top / 2, 0))
    else:
        s.box("walls", walls, (wide, top, wide * d.between(0.7, 1.1)), (0, top / 2, 0))
    deepest = max(p.params[2] for p in s.parts if p.kind == "box") * 2 if form in ("box", "stepped") else wide
    step = (top - 0.16) / bands
    for i in range(bands):
        y = 0.14 + step * (i + 0.4)
        t = step * 0.42
        if form == "round":
            s.cylinder("windows", glass, radius * 1.03, t, (0, y, 0))
        elif form == "box":
            s.box("windows", glass, (wide * 1.03, t, deepest + wide * 0.03), (0, y, 0), round=0.002)
        elif form == "stepped":
            share = 1.38 if y < top * 0.4 else 1.03 if y < top * 0.73 else 0.68
            s.box("windows", glass, (wide * share, t, wide * share), (0, y, 0), round=0.002)
        else:
            share = 2 * radius * (1.2 - 0.6 * y / top) * 1.03
            s.box("windows", glass, (share, t, wide * 1.03), (0, y, 0), round=0.002)
    if d.flag("spire", 0.45):
        s.cone("roof", roof, 0.07, 0.035, 0.26, (0, top + 0.12, 0))
    if d.flag("podium", 0.35):
        s.box("roof", roof, (wide * 1.7, 0.1, wide * 1.7), (0, 0.05, 0))


def _castle(s: Shape, d: Draw, walls: Material, roof: Material, door: Material, glass: Material) -> None:
    wide, deep, tall = d.between(0.62, 0.8), d.between(0.5, 0.7), d.between(0.34, 0.48)
    s.box("walls", walls, (wide, tall, deep), (0, tall / 2, 0))
    towers = 4 if d.pick("towers", four=1, two=1) == "four" else 2
    radius, high = d.between(0.11, 0.14), tall + d.between(0.12, 0.26)
    pointed = d.flag("pointed roofs", 0.6)
    if not pointed:
        d.paints.pop("roof")

    def tower(x: float, z: float, tip: float) -> None:
        s.cylinder("walls", walls, radius, tip, (x, tip / 2, z))
        if pointed:
            s.cone("roof", roof, radius * 1.35, 0.02, 0.26, (x, tip + 0.13, z))
        else:
            s.cylinder("walls", walls, radius * 1.22, 0.1, (x, tip, z))
            s.box("walls", walls, (radius * 3, 0.05, 0.06), (x, tip + 0.04, z), cut=True)

    for z in (deep / 2, -deep / 2)[: towers // 2]:
        tower(wide / 2, z, high)
        tower(-wide / 2, z, high)
    if d.flag("keep", 0.55):
        keep = tall + d.between(0.22, 0.36)
        s.box("walls", walls, (wide * 0.4, keep, deep * 0.45), (0, keep / 2, -deep * 0.12))
        if pointed:
            outline = [(wide * 0.25, keep), (0, keep + 0.2), (-wide * 0.25, keep)]
            s.prism("roof", roof, outline, deep * 0.55, (0, 0, -deep * 0.12))
        _window(s, glass, 0, tall + 0.12, deep * 0.11, 0.1, 0.13)
    for i in range(4):
        s.box(
            "walls",
            walls,
            (wide * 0.13, 0.1, 0.09),
            (wide * (0.22 * i - 0.33), tall + 0.03, deep / 2 - 0.045),
        )
    s.box("door", door, (0.18, 0.22, 0.05), (0, 0.11, deep / 2))
    s.cylinder("door", door, 0.09, 0.05, (0, 0.22, deep / 2), axis="z")


def _modern(s: Shape, d: Draw, walls: Material, roof: Material, door: Material, glass: Material) -> None:
    wide, deep, tall = d.between(0.8, 1.0), d.between(0.55, 0.75), d.between(0.28, 0.36)
    stories = d.count("stories", 1, 3)
    shift, front = 0.0, deep / 2
    for i in range(stories):
        share = 1 - 0.22 * i
        shift = d.between(-0.1, 0.1) * wide if i else 0.0
        low = i * (tall + 0.05)
        s.box("walls", walls, (wide * share, tall + 0.06, deep * share), (shift, low + tall / 2, 0))
        s.box(
            "roof",
            roof,
            (wide * share + 0.12, 0.06, deep * share + 0.12),
            (shift, low + tall + 0.02, 0),
            round=0.006,
        )
        s.box(
            "windows",
            glass,
            (wide * share * 0.42, tall * 0.58, 0.03),
            (shift + wide * share * 0.2, low + tall * 0.5, front * share),
            round=0.004,
        )
        if i:
            s.box(
                "windows",
                glass,
                (wide * share * 0.2, tall * 0.5, 0.03),
                (shift - wide * share * 0.28, low + tall * 0.5, front * share),
            )
    d.note("roof", "flat")
    s.box("door", door, (0.14, tall * 0.8, 0.04), (-wide * 0.22, tall * 0.4, front))
    if d.flag("garage", 0.75 if stories == 1 else 0.3):
        garage = d.other("garage", same=0.5, colors=("white", "gray", "black"))
        s.box("garage", garage, (0.34, tall * 0.85, deep * 0.8), (-wide / 2 - 0.13, tall * 0.425, 0))


def _church(s: Shape, d: Draw, walls: Material, roof: Material, door: Material, glass: Material) -> None:
    wide, deep, tall, rise = (
        d.between(0.34, 0.44),
        d.between(0.6, 0.85),
        d.between(0.3, 0.38),
        d.between(0.2, 0.3),
    )
    s.box("walls", walls, (wide, tall, deep), (0, tall / 2, 0))
    _gable_front(s, roof, walls, wide, deep, tall, rise)
    side, high = d.between(0.22, 0.28), d.between(0.6, 0.72)
    z = deep / 2
    s.box("walls", walls, (side, high, side), (0, high / 2, z))
    s.cone("roof", roof, side * 0.78, 0.03, 0.34, (0, high + 0.16, z))
    if d.flag("cross", 0.6):
        paint = d.other("cross", same=0.0, colors=("white", "black"), patterns=("gold",))
        s.box("cross", paint, (0.055, 0.22, 0.055), (0, high + 0.4, z))
        s.box("cross", paint, (0.16, 0.055, 0.055), (0, high + 0.42, z))
    s.box("door", door, (side * 0.55, 0.22, 0.04), (0, 0.11, z + side / 2))
    _window(s, glass, 0, high * 0.72, z + side / 2, 0.1, 0.14)
    for place in (-0.3, -0.02):
        s.mirror(
            lambda place=place: s.box(
                "windows", glass, (0.03, 0.17, 0.1), (wide / 2, tall * 0.55, place * deep)
            )
        )


_BUILDERS = {
    "cottage": _cottage,
    "barn": _barn,
    "tower house": _tower_house,
    "skyscraper": _skyscraper,
    "castle": _castle,
    "modern house": _modern,
    "church": _church,
}


def build_house(s: Shape, d: Draw) -> None:
    """A building of the drawn kind; the main material is that of the walls."""
    walls = d.main("walls")
    roof = d.other("roof", same=0.1, colors=_ROOFS)
    door = d.other(
        "door", same=0.0, colors=("brown", "red", "white", "blue", "green", "black"), patterns=("wood",)
    )
    if d.kind == "skyscraper":
        d.paints.pop("door")
        d.paints.pop("roof")
    windows = d.fixed("windows", "black" if walls.color != "black" else "yellow")
    _BUILDERS[d.kind](s, d, walls, roof, door, windows)


CATEGORIES = {
    "house": Category(
        name="house",
        nouns=("house", "building", "home"),
        kinds={
            "cottage": Kind(("cottage", "family house", "small house", "country house"), 3),
            "barn": Kind(("barn", "farm house", "farm building"), 1.2),
            "tower house": Kind(("tower house", "tower", "lighthouse-like tower"), 1.3),
            "skyscraper": Kind(("skyscraper", "high rise", "office tower", "tall building"), 1.3),
            "castle": Kind(("castle", "fortress", "medieval castle"), 1.2),
            "modern house": Kind(("modern house", "villa", "bungalow"), 1.4),
            "church": Kind(("church", "chapel"), 0.9),
        },
        build=build_house,
        phrases={
            ("roof", "gabled"): ("with a gabled roof", "with a pitched roof", "with a saddle roof"),
            ("roof", "front gable"): ("with a front gable", "with a pointed gable"),
            ("roof", "hipped"): ("with a hipped roof", "with a hip roof"),
            ("roof", "pointed"): ("with a pointed roof",),
            ("roof", "flat"): ("with a flat roof", "flat roofed"),
            ("roof", "domed"): ("with a domed roof", "with a dome"),
            ("stories", 1): ("single story", "one story"),
            ("stories", 2): ("two story", "with two floors"),
            ("stories", 3): ("three story", "with three floors"),
            ("stories", 4): ("with four floors",),
            ("chimney", True): ("with a chimney",),
            ("chimney", False): ("without a chimney",),
            ("porch", True): ("with a porch", "with a veranda"),
            ("porch", False): ("without a porch",),
            ("door", "center"): ("with a door in the middle",),
            ("door", "side"): ("with a door on the side",),
            ("silo", True): ("with a silo",),
            ("silo", False): ("without a silo",),
            ("plan", "round"): ("round", "cylindrical"),
            ("plan", "square"): ("square",),
            ("form", "box"): ("box shaped",),
            ("form", "stepped"): ("stepped",),
            ("form", "round"): ("round", "cylindrical"),
            ("form", "tapered"): ("tapered",),
            ("spire", True): ("with a spire", "with an antenna on top"),
            ("spire", False): ("without a spire",),
            ("podium", True): ("with a wide ground floor",),
            ("towers", "four"): ("with four towers",),
            ("towers", "two"): ("with two towers",),
            ("pointed roofs", True): ("with pointed towers", "with pointed tower roofs"),
            ("pointed roofs", False): ("with flat towers",),
            ("keep", True): ("with a keep", "with a central keep"),
            ("garage", True): ("with a garage",),
            ("garage", False): ("without a garage",),
            ("cross", True): ("with a cross",),
        },
        materials={"brick": 1.5, "wood": 1.0, "concrete": 0.5},
        size=8.0,
    ),
}
