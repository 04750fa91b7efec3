"""Weapons: rifle, sword."""

import math

from backend.datasets.procedural.draw import Category, Draw, Kind
from backend.datasets.procedural.shape import Shape

_BARREL = {"long": (0.5, 0.6), "medium": (0.32, 0.4), "short": (0.14, 0.2)}
"""Free barrel in units of receiver plus stock (about 0.62) by the word of the fact "barrel"."""


def build_rifle(s: Shape, d: Draw) -> None:
    """A rifle lying level, muzzle towards +z, sights up. The receiver spans z = 0 to `front`."""
    body = d.main("body")
    kind = d.kind
    word = {
        "sniper rifle": "long",
        "short carbine": "short",
        "hunting rifle": d.pick("barrel", long=1, medium=1),
        "shotgun": d.pick("barrel", long=0.8, medium=1, short=0.5),
    }.get(kind) or d.pick("barrel", medium=1, short=1)
    d.note("barrel", word)
    barrel_length = d.between(*_BARREL[word])
    classic = kind in ("hunting rifle", "shotgun")
    tall, wide = d.between(0.1, 0.125), d.between(0.08, 0.095)
    front = d.between(0.22, 0.28)
    s.box("body", body, (wide, tall, front), (0, 0, front / 2), round=0.012)
    metal = d.other("barrel", same=0.45, colors=("black", "gray", "black"), patterns=("metal",))
    r = 0.04 if not classic else 0.038
    double = kind == "shotgun" and d.flag("double barrel", 0.5)
    y = 0.015
    end = front + barrel_length
    if double:
        s.mirror(
            lambda: s.cylinder(
                "barrel",
                metal,
                r,
                barrel_length + 0.06,
                (r * 0.9, y, front + barrel_length / 2 - 0.03),
                axis="z",
            )
        )
    else:
        s.cylinder(
            "barrel", metal, r, barrel_length + 0.06, (0, y, front + barrel_length / 2 - 0.03), axis="z"
        )
    # The fore-end under the barrel.
    grip_length = min(barrel_length * d.between(0.5, 0.7), 0.24)
    fore = d.other("foregrip", same=0.7, patterns=("wood",), colors=("black", "brown", "green", "gray"))
    s.box(
        "foregrip",
        fore,
        (wide * 0.95 if not double else 0.135, 0.085, grip_length + 0.04),
        (0, -0.012, front + grip_length / 2 - 0.02),
        round=0.02,
    )
    if kind == "shotgun" and not double and d.flag("pump", 0.7):
        s.cylinder(
            "foregrip", fore, 0.055, 0.15, (0, -0.03, front + barrel_length * 0.55), axis="z", round=0.015
        )
        s.cylinder(
            "barrel", metal, 0.035, barrel_length * 0.8, (0, -0.04, front + barrel_length * 0.38), axis="z"
        )
    # The stock, behind z = 0.
    form = "solid" if classic or kind == "sniper rifle" else d.pick("stock", solid=1.2, skeleton=1, none=0.5)
    d.note("stock", form)
    stock = (
        body
        if form == "none"
        else d.other("stock", same=0.7, patterns=("wood",), colors=("black", "brown", "green", "gray"))
    )
    length = d.between(0.27, 0.34) if kind != "short carbine" else d.between(0.2, 0.25)
    butt = d.between(0.12, 0.15)
    if classic:
        s.prism(
            "stock",
            stock,
            [
                (0.03, 0.04),
                (0.03, -0.045),
                (-0.1, -0.075),
                (-length, -0.05 - butt),
                (-length, -0.02),
                (-0.1, 0.01),
            ],
            wide * 0.95,
            (0, 0, 0),
            axis="x",
            round=0.02,
        )
    elif form == "solid":
        s.prism(
            "stock",
            stock,
            [
                (0.02, 0.035),
                (0.02, -0.03),
                (-length * 0.55, -0.045),
                (-length * 0.7, -butt),
                (-length, -butt - 0.01),
                (-length, 0.04),
            ],
            wide * 0.95,
            (0, 0, 0),
            axis="x",
            round=0.012,
        )
    elif form == "skeleton":
        s.bar("stock", stock, (0, 0.015, 0.01), (0, 0.015, -length), 0.062)
        s.bar("stock", stock, (0, -0.03, 0.0), (0, -butt + 0.02, -length), 0.062)
        s.box("stock", stock, (0.066, butt + 0.06, 0.062), (0, -butt / 2 + 0.02, -length), round=0.012)
    if not classic:
        grip = d.other("grip", same=0.6, colors=("black", "brown", "gray"))
        s.box("grip", grip, (0.066, 0.17, 0.085), (0, -0.1, 0.015), round=0.018, turn=(18, 0, 0))
    s.arc(
        "trigger guard",
        d.fixed("guard", "black"),
        0.05,
        0.052,
        95,
        (0, -tall / 2 - 0.005, 0.1),
        turn=(180, 90, 0),
    )
    magazine = "none"
    if kind in ("assault rifle", "short carbine"):
        magazine = d.pick("magazine", straight=1, curved=1.3, drum=0.35)
    elif kind == "sniper rifle":
        magazine = d.pick("magazine", straight=1, none=0.6)
    d.note("magazine", magazine)
    paint = (
        body
        if magazine == "none"
        else d.other("magazine", same=0.45, colors=("black", "gray", "brown", "orange"))
    )
    z, drop = front - 0.065, d.between(0.15, 0.21) if kind != "sniper rifle" else 0.12
    if magazine == "straight":
        s.box(
            "magazine",
            paint,
            (0.068, drop + 0.04, 0.095),
            (0, -drop / 2 - 0.025, z),
            round=0.008,
            turn=(-8, 0, 0),
        )
    elif magazine == "curved":
        s.prism(
            "magazine",
            paint,
            [
                (z + 0.042, 0.0),
                (z - 0.045, 0.0),
                (z - 0.03, -drop * 0.6),
                (z + 0.02, -drop * 1.25),
                (z + 0.095, -drop * 1.1),
                (z + 0.055, -drop * 0.55),
            ],
            0.068,
            (0, 0, 0),
            axis="x",
            round=0.008,
        )
    elif magazine == "drum":
        s.cylinder("magazine", paint, 0.095, 0.09, (0, -0.12, z), axis="x", round=0.015)
    chance = {
        "sniper rifle": 1.0,
        "assault rifle": 0.4,
        "short carbine": 0.35,
        "hunting rifle": 0.55,
        "shotgun": 0.0,
    }[kind]
    if d.flag("scope", chance):
        scope, size = (
            d.other("scope", same=0.2, colors=("black", "black", "gray")),
            d.between(0.16, 0.24) + (0.06 if kind == "sniper rifle" else 0.0),
        )
        up, mid = tall / 2 + 0.06, front * 0.55
        s.cylinder("scope", scope, 0.037, size, (0, up, mid), axis="z")
        s.cone("scope", scope, 0.037, 0.054, 0.07, (0, up, mid + size / 2), axis="z")
        s.cylinder("scope", scope, 0.047, 0.055, (0, up, mid - size / 2), axis="z")
        s.box("scope", scope, (0.055, 0.08, 0.055), (0, up - 0.035, mid - size * 0.25))
        s.box("scope", scope, (0.055, 0.08, 0.055), (0, up - 0.035, mid + size * 0.25))
    else:
        s.box("sight", metal, (0.045, 0.07, 0.05), (0, 0.05, end - 0.06), round=0.005)
    if kind in ("assault rifle", "short carbine") and not d.facts["scope"] and d.flag("carry handle", 0.4):
        s.box("body", body, (0.05, 0.045, front * 0.75), (0, tall / 2 + 0.065, front / 2), round=0.01)
        s.mirror(
            lambda: s.box("body", body, (0.05, 0.08, 0.05), (0, tall / 2 + 0.03, front * 0.17), round=0.008),
            axis="x",
        )
        s.box("body", body, (0.05, 0.08, 0.05), (0, tall / 2 + 0.03, front * 0.83), round=0.008)
    if kind != "shotgun" and d.flag("silencer", 0.3 if not classic else 0.08):
        s.cylinder(
            "silencer",
            d.other("silencer", same=0.1, colors=("black", "gray")),
            0.055,
            0.18,
            (0, y, end + 0.06),
            axis="z",
            round=0.012,
        )
    if kind in ("sniper rifle", "assault rifle") and d.flag(
        "bipod", 0.65 if kind == "sniper rifle" else 0.15
    ):
        leg, z = d.fixed("bipod", "black"), front + min(barrel_length * 0.5, grip_length)
        s.mirror(lambda: s.rod("bipod", leg, (0.015, 0.0, z), (0.12, -0.23, z + 0.03), 0.032))


_BLADES = {
    "longsword": (0.68, 0.74),
    "broadsword": (0.68, 0.74),
    "katana": (0.68, 0.74),
    "cutlass": (0.66, 0.72),
    "rapier": (0.72, 0.78),
    "dagger": (0.5, 0.58),
}
"""Blade's share of the whole length (1)."""


def build_sword(s: Shape, d: Draw) -> None:
    """A sword standing on its pommel, point up, the flat of the blade towards +z."""
    d.main("blade")
    kind = d.kind
    share = d.between(*_BLADES[kind])
    hilt = 1.0 - share
    widths = {
        "longsword": (0.1, 0.13),
        "broadsword": (0.17, 0.23),
        "katana": (0.09, 0.11),
        "cutlass": (0.1, 0.12),
        "rapier": (0.072, 0.08),
        "dagger": (0.13, 0.18),
    }
    width = d.between(*widths[kind])
    d.note("blade width", "broad" if width > 0.145 else "narrow" if width < 0.095 else "medium")
    curve = {"katana": d.between(0.07, 0.12), "cutlass": d.between(0.24, 0.36)}.get(kind, 0.0)
    d.note("blade", "curved" if curve else "straight")
    handle = d.other(
        "handle", same=0.05, colors=("black", "brown", "red", "blue", "gray"), patterns=("leather", "wood")
    )
    guard = d.other(
        "guard", same=0.3, colors=("black", "brown", "yellow", "gray"), patterns=("gold", "metal")
    )
    _blade(s, d, kind, width, share, hilt, curve)
    radius = d.between(0.038, 0.046)
    s.cylinder("handle", handle, radius, hilt - 0.02, (0, hilt / 2 + 0.01, 0), round=0.01)
    if kind not in ("katana", "rapier"):
        for i in range(d.count("grip rings", 0, 2)):
            s.cylinder("handle", guard, radius + 0.012, 0.035, (0, hilt * (0.35 + 0.3 * i), 0), round=0.01)
    _guard(s, d, kind, width, hilt)
    form = "none" if kind == "katana" else d.pick("pommel", round=1.6, diamond=0.8, none=0.3)
    d.note("pommel", form)
    if form == "round":
        size = d.between(0.105, 0.135)
        s.ball("pommel", guard, (size, size, size * 0.9), (0, 0.0, 0))
    elif form == "diamond":
        s.box("pommel", guard, (0.095, 0.095, 0.085), (0, 0, 0), round=0.01, turn=(0, 0, 45))
    if kind in ("longsword", "broadsword", "dagger") and d.flag("gem", 0.3):
        gem = d.other("gem", same=0.0, colors=("red", "blue", "green", "purple"))
        s.ball("gem", gem, (0.085, 0.085, 0.12), (0, hilt, 0))


def _blade(s: Shape, d: Draw, kind: str, width: float, share: float, hilt: float, curve: float) -> None:
    """The blade as one outline; curved ones bend sideways along a parabola, edge outwards."""
    blade, w, foot = d.paints["blade"], width / 2, hilt - 0.02
    if curve:
        right, left = [], []
        for i in range(9):
            t = i / 8
            bend = curve * t * t - (0.55 * curve * t if kind == "cutlass" else 0.2 * curve * t)
            swell = 1 + (0.3 * math.sin(math.pi * min(t * 1.15, 1.0)) ** 2 if kind == "cutlass" else 0.0)
            taper = 1.0 if t < 0.8 else 1 - ((t - 0.8) / 0.2) ** 1.5
            right.append((-bend + w * swell, foot + share * (t * 0.92)))
            left.append(
                (
                    -bend + w * swell - 2 * w * swell * max(taper, 0.04),
                    foot + share * t * (1.0 if t > 0.99 else 0.985),
                )
            )
        s.prism("blade", blade, [*right[:-1], left[-1], *left[-2::-1]], 0.075, (0, 0, 0), round=0.01)
        return
    tip = {"rapier": 0.14, "dagger": d.between(0.14, 0.26), "broadsword": d.between(0.1, 0.16)}.get(
        kind, d.between(0.12, 0.2)
    )
    end = d.between(0.75, 1.0) if kind != "dagger" else d.between(0.6, 0.95)
    end = max(end, 0.065 / width)
    s.prism(
        "blade",
        blade,
        [(w, foot), (w * end, 1 - tip), (0.008, 1.0), (-0.008, 1.0), (-w * end, 1 - tip), (-w, foot)],
        0.075,
        (0, 0, 0),
        round=0.01,
    )
    if kind in ("longsword", "broadsword", "dagger") and d.flag("fuller", 0.6):
        groove = d.other("fuller", same=0.0, colors=("gray", "black", "white"))
        s.box("fuller", groove, (width * 0.28, share * 0.62, 0.084), (0, foot + share * 0.36, 0), round=0.004)


def _guard(s: Shape, d: Draw, kind: str, width: float, hilt: float) -> None:
    """Cross, disc or basket between handle and blade."""
    guard = d.paints["guard"]
    at = (0.0, hilt, 0.0)
    if kind == "katana":
        d.note("guard", "disc")
        s.cylinder("guard", guard, d.between(0.09, 0.115), 0.058, at)
    elif kind in ("cutlass", "rapier"):
        d.note("guard", "basket")
        s.ball("guard", guard, (0.23, 0.11, 0.19), (0, hilt - 0.01, 0))
        s.arc("guard", guard, hilt * 0.45, 0.055, 88, (0.02, hilt * 0.5, 0), turn=(0, 0, -90))
        if kind == "rapier":
            s.rod("guard", guard, (-0.14, hilt + 0.02, 0), (0.14, hilt + 0.02, 0), 0.032)
    else:
        form = d.pick("guard", cross=1.5, curved=1)
        reach = d.between(0.14, 0.21) if kind != "dagger" else d.between(0.11, 0.16)
        reach = max(reach, width / 2 + 0.06)
        if form == "cross":
            s.box("guard", guard, (2 * reach, 0.07, 0.095), at, round=0.015)
        else:
            s.mirror(
                lambda: s.rod(
                    "guard",
                    guard,
                    (0, hilt, 0),
                    (reach, hilt + (0.06 if kind == "dagger" else 0.08), 0),
                    0.045,
                    end_radius=0.034,
                )
            )


CATEGORIES = {
    "rifle": Category(
        name="rifle",
        nouns=("rifle", "gun", "firearm"),
        kinds={
            "sniper rifle": Kind(("sniper rifle", "military sniper rifle", "sniper gun", "sniper"), 1.6),
            "assault rifle": Kind(
                (
                    "assault rifle",
                    "machine gun",
                    "military rifle",
                    "army rifle",
                    "automatic rifle",
                    "ak-47",
                    "m16",
                ),
                2,
            ),
            "short carbine": Kind(("short rifle", "carbine", "short carbine", "submachine gun"), 1.4),
            "hunting rifle": Kind(("hunting rifle", "classic rifle", "musket"), 1.3),
            "shotgun": Kind(("shotgun", "rifle shotgun", "hunting shotgun"), 1.4),
        },
        build=build_rifle,
        phrases={
            ("barrel", "long"): ("with a long barrel", "long barreled", "long"),
            ("barrel", "medium"): ("with a medium barrel",),
            ("barrel", "short"): ("with a short barrel", "short barreled", "short"),
            ("double barrel", True): ("with two barrels", "double-barreled", "with a double barrel"),
            ("double barrel", False): ("with one barrel", "single-barreled"),
            ("pump", True): ("with a pump", "pump-action"),
            ("stock", "solid"): ("with a solid stock", "with a stock"),
            ("stock", "skeleton"): ("with a skeleton stock", "with an open stock"),
            ("stock", "none"): ("without a stock", "stockless"),
            ("magazine", "straight"): ("with a straight magazine", "with magazines", "with a magazine"),
            ("magazine", "curved"): (
                "with a curved magazine",
                "with magazines",
                "with a banana magazine",
                "with a magazine",
            ),
            ("magazine", "drum"): ("with a drum magazine", "with a round magazine"),
            ("magazine", "none"): ("without a magazine", "without magazines"),
            ("scope", True): ("with a scope", "with a telescopic sight", "with a riflescope"),
            ("scope", False): ("without a scope",),
            ("carry handle", True): ("with a carry handle",),
            ("silencer", True): ("with a silencer", "silenced", "with a suppressor"),
            ("silencer", False): ("without a silencer",),
            ("bipod", True): ("with a bipod", "on a bipod"),
            ("bipod", False): ("without a bipod",),
        },
        materials={"metal": 1.5, "wood": 1.0},
        size=0.3,
    ),
    "sword": Category(
        name="sword",
        nouns=("sword", "blade"),
        kinds={
            "longsword": Kind(
                ("longsword", "long sword", "knight's sword", "medieval sword", "arming sword"), 1.8
            ),
            "katana": Kind(("katana", "samurai sword", "japanese sword"), 1.4),
            "dagger": Kind(("dagger", "knife", "short sword"), 1.3),
            "cutlass": Kind(("cutlass", "pirate sword", "sabre", "scimitar"), 1.3),
            "broadsword": Kind(("broadsword", "greatsword", "claymore", "wide sword"), 1.3),
            "rapier": Kind(("rapier", "fencing sword", "epee", "thin sword"), 1),
        },
        build=build_sword,
        phrases={
            ("blade", "curved"): ("with a curved blade", "curved"),
            ("blade", "straight"): ("with a straight blade", "straight"),
            ("blade width", "broad"): ("with a broad blade", "with a wide blade", "wide"),
            ("blade width", "narrow"): ("with a narrow blade", "with a slim blade", "narrow"),
            ("guard", "cross"): ("with a cross guard", "with a straight guard"),
            ("guard", "curved"): ("with a curved guard",),
            ("guard", "disc"): ("with a round guard", "with a disc guard"),
            ("guard", "basket"): ("with a basket hilt", "with a knuckle guard"),
            ("pommel", "round"): ("with a round pommel", "with a ball pommel"),
            ("pommel", "diamond"): ("with a diamond pommel", "with a square pommel"),
            ("pommel", "none"): ("without a pommel",),
            ("gem", True): ("with a gem", "with a jewel", "jeweled"),
            ("gem", False): ("without a gem",),
            ("fuller", True): ("with a groove along the blade", "with a fuller"),
            ("grip rings", 0): ("with a plain grip",),
            ("grip rings", 2): ("with two rings on the grip",),
        },
        materials={"metal": 4.0, "gold": 0.6, "wood": 0.3},
        size=1.0,
    ),
}
