"""Lounging furniture: sofa, bed. Built with the longest side about 1, so that nothing is too thin."""

from backend.datasets.procedural.draw import Category, Draw, Kind
from backend.datasets.procedural.legs import LEG_PHRASES, accent, four_legs, leg_form
from backend.datasets.procedural.materials import Material
from backend.datasets.procedural.shape import Shape


def _arm(s: Shape, d: Draw, paint: Material, x: float, low: float, high: float, depth: float, width: float) -> None:
    """One armrest at x, its outline by the fact "arm form"."""
    s.box("armrests", paint, (width, high - low, depth), (x, (high + low) / 2, 0), round=0.02)
    if d.facts["arm form"] == "round":
        s.cylinder("armrests", paint, width * 0.62, depth + 0.01, (x, high - width * 0.1, 0), axis="z", round=0.02)


def _foot(s: Shape, d: Draw, length: float, depth: float) -> float:
    """Legs of a sofa, or none; returns the height of its underside."""
    if not d.flag("legs", 0.7):
        return 0.0
    high = d.pick("legs", little=1.5, long=0.7) == "long"
    foot = d.between(0.11, 0.15) if high else d.between(0.06, 0.09)
    four_legs(s, accent(d, same=0.1), leg_form(d), length / 2 - 0.06, depth / 2 - 0.05, foot + 0.02, 0.062)
    return foot


def _row(s: Shape, paint: Material, name: str, count: int, length: float, size: tuple[float, float],
         at: tuple[float, float], round: float, lean: float = 0.0) -> None:  # fmt: skip
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
        s.box("back", back_paint, (length, top - foot, 0.09), (0, (top + foot) / 2, -depth / 2 + 0.045), round=0.02)
        if d.flag("pillows", 0.7):
            pillow = d.other("pillows", same=0.1)
            s.mirror(lambda: s.cylinder("pillows", pillow, 0.065, depth * 0.75, (inner / 2 - 0.07, seat + 0.05, 0.03), axis="z",
                                        round=0.03))  # fmt: skip
    else:
        s.box("back", back_paint, (length, top - foot - 0.03, 0.1), (0, (top + foot - 0.03) / 2, -depth / 2 + 0.05), round=0.03)
        if chesterfield:
            s.cylinder("back", back_paint, 0.075, length, (0, top - 0.02, -depth / 2 + 0.04), axis="x", round=0.02)
        else:
            _row(s, back_paint, "back", count, inner, (top - seat + 0.03, 0.11), ((top + seat) / 2, -depth / 2 + 0.12), 0.04, 8)
    rise = top - 0.03 if chesterfield else min(top - 0.03, seat + d.between(0.08, 0.13))
    if d.kind == "corner sofa":
        side = 1 if d.pick("corner", right=1, left=1) == "right" else -1
        wide, reach = d.between(0.34, 0.4), d.between(0.42, 0.62)
        x = side * (length - wide) / 2
        z = depth / 2 + reach / 2 - 0.04
        s.box("seat", paint, (wide, seat - foot - 0.06, reach + 0.08), (x, (seat + foot - 0.06) / 2, z), round=0.02)
        s.box("cushions", cushions, (wide - 0.02, 0.1, reach + 0.04), (x, seat - 0.045, z + 0.01), round=0.03)
        if foot:
            ends = z + reach / 2 - 0.03
            for dx in (-1, 1):
                s.box("legs", d.other("legs"), (0.06, foot + 0.02, 0.06), (x + dx * (wide / 2 - 0.06), foot / 2 + 0.01, ends))
        if d.facts["armrests"]:
            _arm(s, d, paint, -side * (length - arm) / 2, foot, rise, depth, arm)
        if d.flag("back on the long side", 0.6):
            s.box("back", back_paint, (0.1, top - foot - 0.03, reach + depth), (side * (length / 2 - 0.05), (top + foot - 0.03) / 2,
                  reach / 2), round=0.03)  # fmt: skip
    elif arms:
        s.mirror(lambda: _arm(s, d, paint, (length - arm) / 2, foot, rise, depth, arm))
    if d.kind != "daybed" and d.flag("pillows", 0.4):
        pillow = d.other("pillows", same=0.05)
        x = inner / 2 - 0.12
        s.mirror(lambda: s.box("pillows", pillow, (0.18, 0.17, 0.07), (x, seat + 0.08, -depth / 2 + 0.2), round=0.033,
                               turn=(-20, 0, 12)))  # fmt: skip


def _chaise(s: Shape, d: Draw, paint: Material, length: float, foot: float) -> None:
    """A long seat with one raised end, and often half a back."""
    depth, seat = 0.42, foot + d.between(0.16, 0.2)
    d.note("armrests", False)
    side = 1 if d.pick("corner", right=1, left=1) == "right" else -1
    s.box("seat", paint, (length, seat - foot - 0.05, depth), (0, (seat + foot - 0.05) / 2, 0), round=0.025)
    s.box("cushions", d.other("cushions", same=0.7), (length - 0.02, 0.1, depth - 0.01), (0, seat - 0.045, 0), round=0.04)
    tall = d.between(0.26, 0.36)
    s.box("back", paint, (0.12, tall + 0.1, depth), (side * (length / 2 - 0.03), seat + tall / 2 - 0.05, 0), round=0.05,
          turn=(0, 0, -side * d.between(8, 24)))  # fmt: skip
    if d.flag("side back", 0.6):
        part = length * d.between(0.45, 0.75)
        outline = [(-part / 2, 0.0), (part / 2, 0.0), (part / 2, tall * 0.85), (part * 0.1, tall * 0.75), (-part / 2, 0.08)]
        outline = outline if side > 0 else [(-x, y) for x, y in reversed(outline)]
        s.prism("back", paint, outline, 0.09, (side * (length - part) / 2, seat - 0.06, -depth / 2 + 0.045), round=0.03)
    if d.flag("pillows", 0.6):
        s.cylinder("pillows", d.other("pillows", same=0.1), 0.065, depth * 0.85, (side * (length / 2 - 0.17), seat + 0.06, 0),
                   axis="z", round=0.03)  # fmt: skip


def _headboard(s: Shape, paint: Material, form: str, width: float, height: float, z: float) -> None:
    """A board across the bed's end at z, standing on the ground."""
    if form == "slatted":
        s.mirror(lambda: s.box("headboard", paint, (0.07, height, 0.07), (width / 2 - 0.035, height / 2, z)))
        s.box("headboard", paint, (width, 0.07, 0.065), (0, height - 0.035, z))
        for i in range(4):
            s.box("headboard", paint, (0.055, height - 0.1, 0.05), ((i - 1.5) * width * 0.2, height / 2, z))
    elif form == "arched":
        half, rise = width / 2, height * 0.35
        edge = [(half, 0.0), (half, height - rise), (half * 0.85, height - rise * 0.5), (half * 0.5, height - rise * 0.13)]
        outline = [*edge, (0.0, height), *[(-x, y) for x, y in reversed(edge)]]
        s.prism("headboard", paint, outline, 0.08, (0, 0, z), round=0.02)
    elif form == "padded":
        s.box("headboard", paint, (width, height * 0.6, 0.07), (0, height * 0.3, z), round=0.02)
        for x in (-0.25, 0.25):
            s.box("headboard", paint, (width / 2 - 0.01, height * 0.62, 0.12), (x * width, height * 0.69, z + 0.01), round=0.055)
    else:
        s.box("headboard", paint, (width, height, 0.08), (0, height / 2, z), round=0.015)


def _bedding(s: Shape, d: Draw, width: float, length: float, low: float, thick: float) -> None:
    """Mattress, pillows and blanket on a frame whose top is at `low`; the head lies at -z."""
    sheet = d.other("mattress", same=0.0, colors=("white", "white", "beige", "gray"))
    top = low + thick
    s.box("mattress", sheet, (width, thick + 0.02, length), (0, low + thick / 2 - 0.01, 0), round=0.035)
    if not d.flag("blanket", 0.85):
        cover = 0.0
    else:
        cover = length * d.between(0.5, 0.72)
        hard = d.paints["frame"].pattern in ("wood", "metal")
        soft = d.other("blanket", same=0.0 if hard else 0.75)
        s.box("blanket", soft, (width + 0.03, thick, cover), (0, top - thick / 2 + 0.02, (length - cover) / 2 + 0.01), round=0.035)
    pillow = d.other("pillows", same=0.15, colors=("white", "white", "gray", "beige", "red", "blue"))
    z = -length / 2 + 0.12
    if d.count("pillow count", 1, 2 if width > 0.45 else 1) == 2:
        s.mirror(lambda: s.box("pillows", pillow, (width * 0.4, 0.09, 0.17), (width * 0.24, top + 0.025, z), round=0.04,
                               turn=(12, 0, 0)))  # fmt: skip
    else:
        s.box("pillows", pillow, (min(width * 0.75, 0.42), 0.09, 0.18), (0, top + 0.025, z), round=0.04, turn=(12, 0, 0))


def build_bed(s: Shape, d: Draw) -> None:
    """A bed with its head at -z and its foot towards the front."""
    frame = d.main("frame")
    length = d.between(0.95, 1.05)
    width = {"double bed": d.between(0.72, 0.98), "single bed": d.between(0.42, 0.52), "bunk bed": d.between(0.44, 0.52),
             "four poster bed": d.between(0.7, 0.9), "platform bed": d.between(0.7, 0.9), "crib": d.between(0.55, 0.65),
             }[d.kind]  # fmt: skip
    if d.kind == "crib":
        _crib(s, d, width)
        return
    if d.kind == "bunk bed":
        _bunk(s, d, frame, width, length)
        return
    low = d.between(0.12, 0.2)
    if d.kind == "platform bed":
        s.box("frame", frame, (width + 0.14, 0.09, length + 0.12), (0, low - 0.02, 0.02), round=0.012)
        s.box("frame", frame, (width * 0.75, low, length * 0.8), (0, low / 2 - 0.03, 0), round=0.01)
        d.note("legs", False)
    elif d.flag("drawers", 0.25):
        s.box("frame", frame, (width + 0.04, low + 0.05, length), (0, (low + 0.05) / 2, 0), round=0.012)
        front = d.other("drawers", same=0.4, patterns=("wood",), colors=("white", "black", "gray"))
        for z in (-0.2, 0.24):
            s.mirror(lambda z=z: s.box("drawers", front, (0.05, low - 0.02, length * 0.38), (width / 2 + 0.015, low / 2 + 0.015, z)))
    else:
        legs = d.other("legs", same=0.6, colors=("black",), patterns=("wood", "metal"))
        four_legs(s, legs, leg_form(d), width / 2 - 0.03, length / 2 - 0.05, low, 0.075)
        s.box("frame", frame, (width + 0.04, 0.1, length + 0.02), (0, low + 0.01, 0), round=0.012)
    _bedding(s, d, width, length - 0.04, low + (0.02 if d.kind == "platform bed" else 0.05), d.between(0.1, 0.15))
    back = -length / 2 - 0.03
    if d.kind == "four poster bed":
        d.note("headboard", True)
        height = d.between(0.78, 0.95)
        x = width / 2 + 0.01
        for z in (back, -back):
            s.mirror(lambda z=z: s.box("posts", frame, (0.07, height, 0.07), (x, height / 2, z)))
            s.box("posts", frame, (2 * x, 0.06, 0.06), (0, height - 0.03, z))
        s.mirror(lambda: s.box("posts", frame, (0.06, 0.06, -2 * back), (x, height - 0.03, 0)))
        if d.flag("canopy", 0.45):
            roof = d.other("canopy", same=0.4, colors=("white", "beige", "red", "pink", "blue"))
            s.box("canopy", roof, (2 * x + 0.04, 0.055, -2 * back + 0.04), (0, height, 0), round=0.02)
        s.box("headboard", frame, (2 * x, d.between(0.42, 0.55), 0.07), (0, 0.23, back), round=0.015)
        return
    if d.flag("headboard", 0.88):
        form = d.pick("headboard form", solid=1, slatted=0.8, arched=1, padded=0.8)
        height = d.between(0.55, 0.72) if d.pick("headboard height", high=1, low=1) == "high" else d.between(0.4, 0.48)
        _headboard(s, frame, form, width + 0.04, height, back)
        if d.kind != "platform bed" and d.flag("footboard", 0.4):
            _headboard(s, frame, "solid" if form == "padded" else form, width + 0.04, d.between(0.32, 0.38), -back)


def _crib(s: Shape, d: Draw, width: float) -> None:
    """A baby's bed with bars on all sides."""
    frame, length, low, top = d.paints["frame"], d.between(0.88, 0.98), 0.2, d.between(0.6, 0.72)
    half, back = width / 2, length / 2
    for z in (back, -back):
        s.mirror(lambda z=z: s.box("frame", frame, (0.065, top + 0.02, 0.065), (half, top / 2 + 0.01, z)))
        for y in (low, top):
            s.box("bars", frame, (width, 0.06, 0.06), (0, y, z))
        for i in (-1, 0, 1):
            s.box("bars", frame, (0.05, top - low, 0.05), (i * width * 0.25, (top + low) / 2, z))

    def side() -> None:
        for y in (low, top):
            s.box("bars", frame, (0.06, 0.06, length), (half, y, 0))
        for i in range(5):
            s.box("bars", frame, (0.05, top - low, 0.05), (half, (top + low) / 2, (i - 2) * length / 6))

    s.mirror(side)
    sheet = d.other("mattress", same=0.0, colors=("white", "white", "pink", "blue", "yellow"))
    s.box("mattress", sheet, (width, 0.13, length), (0, low + 0.05, 0), round=0.03)
    s.box("pillows", d.other("pillows", same=0.2), (width * 0.6, 0.08, 0.18), (0, low + 0.14, -back + 0.14), round=0.035)


def _bunk(s: Shape, d: Draw, frame: Material, width: float, length: float) -> None:
    """Two beds one above the other, with a ladder at the right side."""
    height, x, z = d.between(0.82, 0.98), width / 2, length / 2
    sheet, blanket = d.other("mattress", same=0.0, colors=("white", "beige", "gray")), d.other("blanket", same=0.3)
    for end in (z, -z):
        s.mirror(lambda end=end: s.box("frame", frame, (0.07, height, 0.07), (x, height / 2, end)))
        for y in (0.3, height - 0.04):
            s.box("frame", frame, (width, 0.1, 0.055), (0, y, end))
    for y in (0.14, height - 0.24):
        s.box("frame", frame, (width + 0.05, 0.08, length), (0, y, 0), round=0.01)
        s.box("mattress", sheet, (width - 0.02, 0.09, length - 0.04), (0, y + 0.07, 0), round=0.03)
        s.box("blanket", blanket, (width, 0.09, length * 0.6), (0, y + 0.085, length * 0.17), round=0.03)
        s.box("pillows", d.other("pillows", same=0.1, colors=("white",)), (width * 0.7, 0.08, 0.17), (0, y + 0.14, -z + 0.14),
              round=0.035)  # fmt: skip
    s.mirror(lambda: s.box("frame", frame, (0.055, 0.06, length * 0.66), (x, height - 0.06, -length * 0.16)))
    ladder = d.other("ladder", same=0.6, colors=("black", "white"), patterns=("metal", "wood"))
    d.note("ladder", True)
    for dz in (0.0, 0.2):
        s.box("ladder", ladder, (0.055, height - 0.02, 0.055), (x + 0.05, height / 2 - 0.01, z - 0.06 - dz))
    for i in range(3):
        s.box("ladder", ladder, (0.05, 0.055, 0.2), (x + 0.05, height * (0.22 + 0.22 * i), z - 0.16))


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
    "bed": Category(
        name="bed",
        nouns=("bed",),
        kinds={
            "double bed": Kind(("double bed", "queen bed", "king size bed", "bed"), 3),
            "single bed": Kind(("single bed", "twin bed", "narrow bed"), 1.5),
            "bunk bed": Kind(("bunk bed", "double decker bed"), 1),
            "four poster bed": Kind(("four poster bed", "canopy bed", "four-poster"), 1),
            "platform bed": Kind(("platform bed", "low bed", "futon bed"), 1),
            "crib": Kind(("crib", "baby bed", "cot"), 0.8),
        },
        build=build_bed,
        phrases={
            **LEG_PHRASES,
            ("headboard", True): ("with a headboard",),
            ("headboard", False): ("without a headboard",),
            ("headboard form", "solid"): ("with a solid headboard", "with a flat headboard"),
            ("headboard form", "slatted"): ("with a slatted headboard", "with bars in the headboard"),
            ("headboard form", "arched"): ("with an arched headboard", "with a rounded headboard"),
            ("headboard form", "padded"): ("with a padded headboard", "with an upholstered headboard"),
            ("headboard height", "high"): ("with a high headboard", "with a tall headboard"),
            ("headboard height", "low"): ("with a low headboard",),
            ("footboard", True): ("with a footboard",),
            ("footboard", False): ("without a footboard",),
            ("pillow count", 1): ("with one pillow", "with a single pillow"),
            ("pillow count", 2): ("with two pillows",),
            ("blanket", True): ("with a blanket", "with a duvet"),
            ("blanket", False): ("without a blanket",),
            ("drawers", True): ("with drawers", "with drawers underneath"),
            ("canopy", True): ("with a canopy", "with a roof"),
            ("canopy", False): ("without a canopy",),
            ("ladder", True): ("with a ladder",),
        },
        materials={"wood": 1.8, "metal": 0.6, "fabric": 0.6},
        size=0.9,
    ),
}
