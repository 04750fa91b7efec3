"""Musical instruments: guitar."""

from backend.datasets.procedural.draw import Category, Draw, Kind
from backend.datasets.procedural.materials import Material
from backend.datasets.procedural.shape import Shape


def _hollow_body(s: Shape, d: Draw, body: Material, size: float, depth: float) -> float:
    """The figure-eight body of an acoustic guitar or ukulele, bottom at y = 0; returns its top."""
    low, high = size * d.between(0.94, 1.05), size * d.between(0.68, 0.78)
    top = 2 * low + high * 1.05
    s.cylinder("body", body, low, depth, (0, low, 0), axis="z", round=0.02)
    s.cylinder("body", body, high, depth, (0, top - high, 0), axis="z", round=0.02, blend=0.07)
    if d.flag("cutaway", 0.3):
        s.cylinder(
            "body", body, high * 0.62, depth * 2, (high * 1.02, top - high * 0.05, 0), axis="z", cut=True
        )
    s.cylinder(
        "sound hole",
        d.fixed("hole", "black"),
        size * d.between(0.3, 0.36),
        0.04,
        (0, low * 1.62, depth / 2 - 0.015),
        axis="z",
        round=0.002,
    )
    bridge = d.other("bridge", same=0.0, colors=("brown", "black", "beige"))
    s.box("bridge", bridge, (size * 0.8, 0.045, 0.045), (0, low * 0.72, depth / 2), round=0.008)
    if d.flag("pick guard", 0.35):
        s.ball(
            "pick guard",
            d.other("pick guard", same=0.0, colors=("black", "brown", "red", "white")),
            (size * 0.5, size * 0.75, 0.03),
            (size * 0.42, low * 1.2, depth / 2),
            turn=(0, 0, 20),
        )
    d.note("sound hole", True)
    return top


def _solid_body(s: Shape, d: Draw, body: Material, depth: float) -> float:
    """The board of an electric guitar or bass; returns the height at which the neck leaves it."""
    w, h = d.between(0.185, 0.22), d.between(0.43, 0.5)
    form = {"flying V": "V"}.get(d.kind) or d.pick("body shape", double_cut=1.5, single_cut=1)
    d.note("body shape", form)
    if form == "V":
        spread, inner = d.between(0.25, 0.34), d.between(0.17, 0.24)
        s.prism(
            "body",
            body,
            [
                (0.075, 0.46),
                (spread + 0.02, 0.03),
                (spread - 0.12, 0.0),
                (0, inner),
                (-spread + 0.12, 0.0),
                (-spread - 0.02, 0.03),
                (-0.075, 0.46),
            ],
            depth,
            (0, 0, 0),
            round=0.02,
        )
        return 0.42
    s.cylinder("body", body, w, depth, (0, w, 0), axis="z", round=0.018)
    s.cylinder("body", body, w * 0.82, depth, (0, h - w * 0.95, 0), axis="z", round=0.018, blend=0.06)
    left, right = d.between(0.06, 0.1), d.between(0.0, 0.045)
    # The horns: one on each side of the neck, or one only.
    s.rod(
        "body",
        body,
        (-w * 0.5, h - w * 0.7, 0),
        (-w * 0.72, h - 0.04 + (left if form == "double cut" else -0.03), 0),
        depth * 0.5,
        end_radius=depth * 0.42,
        blend=0.03,
    )
    if form == "double cut":
        s.rod(
            "body",
            body,
            (w * 0.5, h - w * 0.7, 0),
            (w * 0.74, h - 0.04 + right, 0),
            depth * 0.5,
            end_radius=depth * 0.4,
            blend=0.03,
        )
    else:
        s.rod(
            "body",
            body,
            (w * 0.55, h - w * 0.9, 0),
            (w * 0.8, h - 0.09, 0),
            depth * 0.48,
            end_radius=depth * 0.4,
            blend=0.02,
        )
    if d.flag("pick guard", 0.55):
        s.ball(
            "pick guard",
            d.other("pick guard", same=0.0, colors=("white", "black", "beige", "red")),
            (w * 1.15, h * 0.6, 0.04),
            (w * 0.22, h * 0.5, depth / 2 - 0.006),
            turn=(0, 0, 12),
        )
    return h - 0.02


def build_guitar(s: Shape, d: Draw) -> None:
    """A guitar standing upright, strings towards +z."""
    body = d.main("body")
    hollow = d.kind in ("acoustic guitar", "ukulele")
    if hollow:
        size = d.between(0.17, 0.2) if d.kind == "acoustic guitar" else d.between(0.155, 0.185)
        depth = d.between(0.1, 0.14)
        top = _hollow_body(s, d, body, size, depth)
    else:
        depth = d.between(0.075, 0.095)
        top = _solid_body(s, d, body, depth)
    neck_top = {"bass guitar": d.between(1.0, 1.08), "ukulele": top + d.between(0.24, 0.3)}.get(
        d.kind, d.between(0.84, 0.92)
    )
    word = "long" if d.kind == "bass guitar" else "short" if d.kind == "ukulele" else "medium"
    d.note("neck", word)
    neck = d.other("neck", same=0.15, colors=("brown", "beige", "black"), patterns=("wood",))
    board = d.other("fretboard", same=0.0, colors=("brown", "black", "black", "beige"))
    face = depth / 2
    start = top - (0.16 if not hollow else 0.1)
    s.box(
        "neck", neck, (0.07, neck_top - start, 0.066), (0, (neck_top + start) / 2, face - 0.012), round=0.012
    )
    s.box(
        "fretboard",
        board,
        (0.068, neck_top - start, 0.03),
        (0, (neck_top + start) / 2, face + 0.012),
        round=0.004,
    )
    low = 0.15 if not hollow else size * 0.72
    s.box(
        "strings",
        d.fixed("strings", "gray"),
        (0.022, neck_top - low, 0.03),
        (0, (neck_top + low) / 2, face + 0.016),
        round=0.003,
    )
    head = d.other("head", same=0.45, colors=("brown", "black", "beige"), patterns=("wood",))
    pegs = d.other("pegs", same=0.0, colors=("gray", "white", "black", "yellow"))
    z = face - 0.015
    form = d.pick("head", straight=1, pointed=0.6) if not hollow else "straight"
    d.note("head", form)
    tall = d.between(0.13, 0.16)
    if form == "straight":
        s.prism(
            "head",
            head,
            [
                (0.034, neck_top - 0.02),
                (0.06, neck_top + 0.03),
                (0.055, neck_top + tall),
                (-0.055, neck_top + tall),
                (-0.06, neck_top + 0.03),
                (-0.034, neck_top - 0.02),
            ],
            0.062,
            (0, 0, z),
            round=0.01,
        )
    else:
        s.prism(
            "head",
            head,
            [
                (0.034, neck_top - 0.02),
                (0.055, neck_top + 0.03),
                (-0.02, neck_top + tall + 0.03),
                (-0.085, neck_top + 0.06),
                (-0.034, neck_top - 0.02),
            ],
            0.062,
            (0, 0, z),
            round=0.01,
        )
    count = 4 if d.kind in ("bass guitar", "ukulele") else 6
    d.note("pegs", count)
    for i in range(count // 2):
        y = neck_top + 0.045 + (tall - 0.07) * i / max(count // 2 - 1, 1)
        s.mirror(
            lambda y=y: s.box(
                "pegs", pegs, (0.07, 0.034 if count == 4 else 0.028, 0.045), (0.06, y, z), round=0.01
            )
        )
    if not hollow:
        dark = d.other("pickups", same=0.0, colors=("black", "white", "gray"))
        for i in range(d.count("pickups", 1, 3)):
            s.box("pickups", dark, (0.11, 0.042, 0.04), (0, 0.2 + 0.075 * i, face), round=0.008)
        s.box("bridge", d.fixed("bridge", "gray"), (0.1, 0.04, 0.045), (0, 0.13, face), round=0.006)
        if d.kind != "flying V":
            knob = d.fixed("knobs", "gray")
            for y in (0.07, 0.125):
                s.cylinder("knobs", knob, 0.022, 0.05, (0.105, y, face), axis="z")


CATEGORIES = {
    "guitar": Category(
        name="guitar",
        nouns=("guitar", "musical instrument", "string instrument"),
        kinds={
            "acoustic guitar": Kind(
                ("acoustic guitar", "classical guitar", "folk guitar", "spanish guitar", "western guitar"),
                1.8,
            ),
            "electric guitar": Kind(("electric guitar", "e-guitar", "rock guitar", "stratocaster"), 2),
            "flying V": Kind(("flying V guitar", "V-shaped guitar", "heavy metal guitar"), 1),
            "bass guitar": Kind(("bass guitar", "electric bass", "bass"), 1.1),
            "ukulele": Kind(("ukulele", "small guitar", "uke"), 1.1),
        },
        build=build_guitar,
        phrases={
            ("body shape", "double cut"): ("with two horns", "double-cut", "with a double cutaway"),
            ("body shape", "single cut"): ("with one horn", "single-cut", "with a single cutaway"),
            ("body shape", "V"): ("with a V-shaped body", "V-shaped"),
            ("cutaway", True): ("with a cutaway",),
            ("cutaway", False): ("without a cutaway",),
            ("sound hole", True): ("with a sound hole", "with a round hole"),
            ("pick guard", True): ("with a pickguard",),
            ("pick guard", False): ("without a pickguard",),
            ("neck", "long"): ("with a long neck", "long necked"),
            ("neck", "short"): ("with a short neck", "short necked"),
            ("head", "pointed"): ("with a pointed head", "with a pointed headstock"),
            ("pegs", 4): ("with four strings", "with four tuning pegs"),
            ("pegs", 6): ("with six strings", "with six tuning pegs"),
            ("pickups", 1): ("with one pickup",),
            ("pickups", 2): ("with two pickups",),
            ("pickups", 3): ("with three pickups",),
        },
        materials={"wood": 3.0},
        size=1.0,
    ),
}
