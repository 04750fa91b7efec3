"""Beds. Built with the longest side about 1, so that nothing is too thin."""

from backend.datasets.procedural.draw import Category, Draw, Kind
from backend.datasets.procedural.legs import LEG_PHRASES, four_legs, leg_form
from backend.datasets.procedural.materials import Material
from backend.datasets.procedural.shape import Shape


def _headboard(s: Shape, paint: Material, form: str, width: float, height: float, z: float) -> None:
    """A board across the bed's end at z, standing on the ground."""
    if form == "slatted":
        s.mirror(lambda: s.box("headboard", paint, (0.07, height, 0.07), (width / 2 - 0.035, height / 2, z)))
        s.box("headboard", paint, (width, 0.07, 0.065), (0, height - 0.035, z))
        for i in range(4):
            s.box("headboard", paint, (0.055, height - 0.1, 0.05), ((i - 1.5) * width * 0.2, height / 2, z))
    elif form == "arched":
        half, rise = width / 2, height * 0.35
        edge = [
            (half, 0.0),
            (half, height - rise),
            (half * 0.85, height - rise * 0.5),
            (half * 0.5, height - rise * 0.13),
        ]
        outline = [*edge, (0.0, height), *[(-x, y) for x, y in reversed(edge)]]
        s.prism("headboard", paint, outline, 0.08, (0, 0, z), round=0.02)
    elif form == "padded":
        s.box("headboard", paint, (width, height * 0.6, 0.07), (0, height * 0.3, z), round=0.02)
        for x in (-0.25, 0.25):
            s.box(
                "headboard",
                paint,
                (width / 2 - 0.01, height * 0.62, 0.12),
                (x * width, height * 0.69, z + 0.01),
                round=0.055,
            )
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
        s.box(
            "blanket",
            soft,
            (width + 0.03, thick, cover),
            (0, top - thick / 2 + 0.02, (length - cover) / 2 + 0.01),
            round=0.035,
        )
    pillow = d.other("pillows", same=0.15, colors=("white", "white", "gray", "beige", "red", "blue"))
    z = -length / 2 + 0.12
    if d.count("pillow count", 1, 2 if width > 0.45 else 1) == 2:
        s.mirror(
            lambda: s.box(
                "pillows",
                pillow,
                (width * 0.4, 0.09, 0.17),
                (width * 0.24, top + 0.025, z),
                round=0.04,
                turn=(12, 0, 0),
            )
        )
    else:
        s.box(
            "pillows",
            pillow,
            (min(width * 0.75, 0.42), 0.09, 0.18),
            (0, top + 0.025, z),
            round=0.04,
            turn=(12, 0, 0),
        )


def build_bed(s: Shape, d: Draw) -> None:
    """A bed with its head at -z and its foot towards the front."""
    frame = d.main("frame")
    length = d.between(0.95, 1.05)
    width = {
        "double bed": d.between(0.72, 0.98),
        "single bed": d.between(0.42, 0.52),
        "bunk bed": d.between(0.44, 0.52),
        "four poster bed": d.between(0.7, 0.9),
        "platform bed": d.between(0.7, 0.9),
        "crib": d.between(0.55, 0.65),
    }[d.kind]
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
            s.mirror(
                lambda z=z: s.box(
                    "drawers",
                    front,
                    (0.05, low - 0.02, length * 0.38),
                    (width / 2 + 0.015, low / 2 + 0.015, z),
                )
            )
    else:
        legs = d.other("legs", same=0.6, colors=("black",), patterns=("wood", "metal"))
        four_legs(s, legs, leg_form(d), width / 2 - 0.03, length / 2 - 0.05, low, 0.075)
        s.box("frame", frame, (width + 0.04, 0.1, length + 0.02), (0, low + 0.01, 0), round=0.012)
    _bedding(
        s, d, width, length - 0.04, low + (0.02 if d.kind == "platform bed" else 0.05), d.between(0.1, 0.15)
    )
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
        height = (
            d.between(0.55, 0.72)
            if d.pick("headboard height", high=1, low=1) == "high"
            else d.between(0.4, 0.48)
        )
        _headboard(s, frame, form, width + 0.04, height, back)
        if d.kind != "platform bed" and d.flag("footboard", 0.4):
            _headboard(
                s, frame, "solid" if form == "padded" else form, width + 0.04, d.between(0.32, 0.38), -back
            )


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
    s.box(
        "pillows",
        d.other("pillows", same=0.2),
        (width * 0.6, 0.08, 0.18),
        (0, low + 0.14, -back + 0.14),
        round=0.035,
    )


def _bunk(s: Shape, d: Draw, frame: Material, width: float, length: float) -> None:
    """Two beds one above the other, with a ladder at the right side."""
    height, x, z = d.between(0.82, 0.98), width / 2, length / 2
    sheet, blanket = (
        d.other("mattress", same=0.0, colors=("white", "beige", "gray")),
        d.other("blanket", same=0.3),
    )
    for end in (z, -z):
        s.mirror(lambda end=end: s.box("frame", frame, (0.07, height, 0.07), (x, height / 2, end)))
        for y in (0.3, height - 0.04):
            s.box("frame", frame, (width, 0.1, 0.055), (0, y, end))
    for y in (0.14, height - 0.24):
        s.box("frame", frame, (width + 0.05, 0.08, length), (0, y, 0), round=0.01)
        s.box("mattress", sheet, (width - 0.02, 0.09, length - 0.04), (0, y + 0.07, 0), round=0.03)
        s.box("blanket", blanket, (width, 0.09, length * 0.6), (0, y + 0.085, length * 0.17), round=0.03)
        s.box(
            "pillows",
            d.other("pillows", same=0.1, colors=("white",)),
            (width * 0.7, 0.08, 0.17),
            (0, y + 0.14, -z + 0.14),
            round=0.035,
        )
    s.mirror(lambda: s.box("frame", frame, (0.055, 0.06, length * 0.66), (x, height - 0.06, -length * 0.16)))
    ladder = d.other("ladder", same=0.6, colors=("black", "white"), patterns=("metal", "wood"))
    d.note("ladder", True)
    for dz in (0.0, 0.2):
        s.box("ladder", ladder, (0.055, height - 0.02, 0.055), (x + 0.05, height / 2 - 0.01, z - 0.06 - dz))
    for i in range(3):
        s.box("ladder", ladder, (0.05, 0.055, 0.2), (x + 0.05, height * (0.22 + 0.22 * i), z - 0.16))


CATEGORIES = {
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
